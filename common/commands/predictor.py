"""What the tasks' predictors share: how one is opened, and what its trunk is given."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor, nn

from backbone import Pyramid
from common.commands import trained
from common.commands.settings import TrainedFlags
from common.reading import image
from common.reading.image import Picture
from common.reading.orientation import Orientation

Flags = TypeVar("Flags", bound=TrainedFlags)
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16"]
Pass = Callable[[Tensor], Pyramid[Tensor]]
"""From what a trunk is given, (B, C, h, w), to its features."""


@dataclass(frozen=True)
class TrunkInput:
    """All that decides what a trunk makes of a picture; equal ones can share one pass."""

    trunk: str
    """Hash of its layers (strides, dilations, pools) and of its weights."""
    colour: Literal["RGB", "BGR"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Normalisation: (x / 255 - mean) / std, by channel."""
    resize: str
    """How a picture is brought to the size of the network's input, in words that are equal where
    the way is."""
    padding: str
    """What is added to the resized picture, in such words."""
    precision: Precision
    """Of the features."""


def scaled(short_side: int) -> str:
    """How pictures are resized by `windows.resized`, in a `TrunkInput`; 0: not at all."""
    return f"short side {short_side}, by area or else bilinear, in bytes" if short_side else "none"


def padded(multiple: int) -> str:
    """How pictures are padded by `layers.pad_to_multiple`, in a `TrunkInput`."""
    return f"right and below, to multiples of {multiple}, with the mean" if multiple > 1 else "none"


def fingerprint(trunk: nn.Module) -> str:
    """Hash of a trunk's layers and weights; equal for two that infer the same, bit for bit."""
    # Whether BatchNorm may learn is no matter of inference, nor how long it has.
    digest = hashlib.sha256(repr(trunk).replace("FrozenBatchNorm2d", "BatchNorm2d").encode())
    for name, tensor in sorted(trunk.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def flags_of(
    kind: type[Flags],
    source: str | Path,
    checkpoint: str,
    device: Device,
    precision: Precision,
    compile: bool,
    flags: Sequence[str],
) -> Flags:
    """The config of a run, as evaluate reads it.

    Args:
        kind: the task's config class with the `TrainedFlags` added.
        source: run directory, or the name of a published model.
        checkpoint: best, last or a file.
        device: where the model runs; auto takes a GPU where there is one.
        precision: of the forward pass.
        compile: whether to compile the network at its first call.
        flags: further ones, as on evaluate's command line.

    Raises:
        UserError: there is no such run, or a flag is wrong.
    """
    words = ["--run", str(source), "--checkpoint", checkpoint, "--engine.device", device]
    words += ["--precision", precision, "--compile", str(compile).lower()]
    return trained.parse(kind, [*words, *flags])


def picture_of(picture: Picture | Path | str, orientation: Orientation | None = None) -> Picture:
    """A picture (H, W, 3), RGB, 0..255: itself, or that of a file, as `image.shown` shows it.

    Raises:
        DamagedFile: the file cannot be read.
        ValueError: it is neither, or an array of another shape or type.
    """
    if isinstance(picture, str | Path):
        return image.shown(picture, orientation)
    if not isinstance(picture, np.ndarray):
        raise ValueError(
            f"the picture is a {type(picture).__name__}; needed: a path, or uint8 (H, W, 3), RGB"
        )
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != "uint8" or not picture.size:
        raise ValueError(
            f"the picture is {picture.dtype} of shape {picture.shape}; needed: uint8 (H, W, 3), "
            "RGB, of at least one pixel"
        )
    # As PyTorch takes it: views that run backwards and read-only arrays are copied.
    return np.require(picture, requirements=["C", "W"])


def groups(kinds: Sequence[Hashable], most: int) -> list[list[int]]:
    """Places of equal kinds, at most so many together: what can be stacked into one batch."""
    places: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        places.setdefault(kind, []).append(place)
    return [
        members[start : start + most]
        for members in places.values()
        for start in range(0, len(members), most)
    ]
