"""PaddlePaddle's `.pdparams`, under the names of the official weights.

Its Res2Nets (PaddleClas) have another rule of first blocks, and otherwise the same function: their
shortcuts average as v1b's do, and not at all where the stride is 1.
"""

import re
from pathlib import Path

from torch import Tensor

from backbone import arrays
from backbone.blocks import FirstBlock
from backbone.errors import WeightsError

SUFFIX = ".pdparams"
FIRST_BLOCK: FirstBlock = "summed"
"""The rule of first blocks (`Bottle2neck`) of all of PaddlePaddle's Res2Nets."""

_PARTS = {
    "_conv.weight": (0, "weight"),
    "_batch_norm.weight": (1, "weight"),
    "_batch_norm.bias": (1, "bias"),
    "_batch_norm._mean": (1, "running_mean"),
    "_batch_norm._variance": (1, "running_var"),
}
"""Of a layer: whether its convolution (0) or its norm (1), and what it is called there."""
_BLOCK = re.compile(r"bb_([0-3])_(\d+)\.(.+)")
_CHUNK = re.compile(r"res[2-5].\d*_branch2b_([1-9]\d*)")
_STEM = {
    "conv1": ("conv1", "bn1"),
    "conv1_1": ("conv1.0", "conv1.1"),
    "conv1_2": ("conv1.3", "conv1.4"),
    "conv1_3": ("conv1.6", "bn1"),
}
"""Convolution and norm of each layer of a plain stem, and of a deep one ("vd")."""


def read(path: Path) -> dict[str, Tensor]:
    """The weights in a file, a classifier's too, under the names of the official ones.

    What is in no Res2Net keeps its name.

    Raises:
        WeightsError: cut short, no such file, or it would run code.
    """
    found = arrays.read(path)
    deep = "conv1_1._conv.weight" in found
    state: dict[str, Tensor] = {}
    for key, value in found.items():
        name = official_name(key, deep=deep)
        if name in state:
            raise WeightsError(f"{path}: has {name} twice, the second time as {key}")
        # A linear layer is kept the other way round there.
        state[name] = value.T.contiguous() if key == "out.weight" and value.ndim == 2 else value
    return state


def official_name(key: str, *, deep: bool) -> str:
    """What a weight is called in the official files; the key itself where it is in no Res2Net.

    Args:
        key: in a file of PaddlePaddle.
        deep: whether its network has a deep stem and averaging shortcuts.
    """
    if key in ("out.weight", "out.bias"):
        return key.replace("out", "fc")
    block = _BLOCK.fullmatch(key)
    prefix, inner = (f"layer{int(block[1]) + 1}.{int(block[2])}.", block[3]) if block else ("", key)
    layer, _, part = inner.partition(".")
    pair = _within_block(layer, deep=deep) if block else _STEM.get(layer)
    if pair is None or part not in _PARTS:
        return key
    which, name = _PARTS[part]
    return f"{prefix}{pair[which]}.{name}"


def _within_block(layer: str, *, deep: bool) -> tuple[str, str] | None:
    """Convolution and norm of a layer of a block; None where blocks have no such layer."""
    chunk = _CHUNK.fullmatch(layer)
    if chunk:
        index = int(chunk[1]) - 1
        return f"convs.{index}", f"bns.{index}"
    shortcut = ("downsample.1", "downsample.2") if deep else ("downsample.0", "downsample.1")
    return {"conv0": ("conv1", "bn1"), "conv2": ("conv3", "bn3"), "short": shortcut}.get(layer)
