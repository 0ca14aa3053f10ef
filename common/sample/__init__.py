"""Generated data sets: photographs to draw on, and a folder in the user's cache to keep them."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError


def backgrounds() -> dict[str, NDArray[np.uint8]]:
    """Photographs (H, W, 3) in RGB that scikit-image ships, none with a person: no download.

    "coffee", "cat" and "rocket" show scenes, "brick", "grass" and "gravel" are grey textures.
    """
    # Imported here: it takes a second that only the generation of sample data has to pay.
    from skimage import data

    photographs = {
        "coffee": data.coffee(),
        "cat": data.chelsea(),
        "rocket": data.rocket(),
        "brick": data.brick(),
        "grass": data.grass(),
        "gravel": data.gravel(),
    }
    return {
        name: photograph if photograph.ndim == 3 else cv2.cvtColor(photograph, cv2.COLOR_GRAY2RGB)
        for name, photograph in photographs.items()
    }


def cache() -> Path:
    """Where generated sets live: RES2NET_CACHE, or else `~/.cache/res2net`.

    Raises:
        UserError: neither is known, as of a container's user who has a number and no name.
    """
    chosen = os.environ.get("RES2NET_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "res2net"
    except RuntimeError as error:
        raise UserError(
            "the sample data has no place, for this user has no home folder; name a folder for it "
            "in RES2NET_CACHE, or data of your own by --data.root"
        ) from error


def cached(name: str, version: int, write: Callable[[Path], None]) -> Path:
    """Folder of a generated data set, written once into the user's cache folder.

    A new version of the generator takes a new folder. `write` fills a temporary folder that is
    renamed when it is complete, so that a kill leaves no half set, and of several processes that
    write at once one wins and the others use its set.
    """
    place = cache()
    folder = place / f"{name}-v{version}"
    if folder.is_dir():
        return folder
    try:
        place.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=place))
    except OSError as error:
        raise UserError(
            f"{place}: the sample data cannot be written ({error.strerror}); "
            "set RES2NET_CACHE to a folder that can"
        ) from None
    print(f"Writing generated sample data, not the benchmark, to {folder}", flush=True)
    try:
        write(unfinished)
        # mkdtemp lets the owner alone in; a cache may be shared.
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except OSError as error:
        # A folder that is there now is another process's complete set.
        if not folder.is_dir():
            raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


@dataclass(frozen=True, kw_only=True)
class SampleFlags:
    """What every sample command takes; the tasks add how much of what is generated."""

    out: tuple[Path, ...]
    """New folder."""
    seed: int = 0
    """Another seed gives another set."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 0:
                raise UserError(f"--{name} {value}: must not be negative")


def new_folder(out: Sequence[Path], command: str) -> Path:
    """The one folder that a sample command was given to write into.

    Raises:
        UserError: none or several were given, or it is not empty.
    """
    if len(out) != 1:
        raise UserError(f"{command} takes one folder, found {len(out)}")
    if out[0].exists() and (not out[0].is_dir() or any(out[0].iterdir())):
        raise UserError(f"{out[0]}: is not empty; name a new folder")
    return out[0]
