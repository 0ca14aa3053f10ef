"""Reading MATLAB's files, in which older data sets keep their annotations."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile


def read_mat(file: Path, what: str, squeeze: bool = False) -> dict[str, Any]:
    """The variables of a .mat file by name; squeeze drops axes of length one.

    `what` is the file that is wanted, such as "MPII's ground truth file", for the message.

    Raises:
        DamagedFile: it is missing, cut short, damaged or of MATLAB's version 7.3.
    """
    # Imported here: SciPy's reader takes a moment that only who has such a file should pay.
    from scipy.io import loadmat

    try:
        with file.open("rb") as stream:
            content: dict[str, Any] = loadmat(stream, squeeze_me=squeeze)
    except FileNotFoundError:
        raise DamagedFile(f"{file}: no such file") from None
    except NotImplementedError:
        raise DamagedFile(f"{file}: is of MATLAB's version 7.3; save it with -v7 there") from None
    except Exception as error:  # cut at the wrong byte, it fails in a dozen different ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFile(f"{file}: is not {what}, or damaged ({reason})") from None
    return content


def read_sbd_map(file: Path, kind: Literal["GTcls", "GTinst"]) -> NDArray[np.integer]:
    """The map (H, W) of classes or of objects in a file of SBD.

    Raises:
        DamagedFile: it is missing, or no such file.
    """
    if not file.exists():
        raise DamagedFile(f"{file}: no such label map")
    what = "a label file of SBD"
    content = read_mat(file, what, squeeze=True)
    try:
        return np.asarray(content[kind]["Segmentation"].item())
    except (ValueError, TypeError, LookupError) as error:
        raise DamagedFile(f"{file}: is not {what} ({error})") from None
