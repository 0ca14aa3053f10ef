"""The small nets of WeSpeaker and 3D-Speaker by name, and which of them weights are of."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from backbone.detect import PREFIX
from backbone.trunk import Trunk
from tasks.speaker.eres2net import FusedEnd, FusedStages, Size, blocks_of
from tasks.speaker.wespeaker import BasicBlock, SmallTrunk, SplitBlock

NETS: dict[str, Callable[..., Trunk]] = {
    "wespeaker_res2net34": partial(SmallTrunk, (SplitBlock,) * 4),
    "wespeaker_resnet34": partial(SmallTrunk, (BasicBlock,) * 4),
    "eres2net": partial(SmallTrunk, blocks_of(Size(32, 2, 2)), FusedStages),
    "eres2net_common": partial(SmallTrunk, blocks_of(Size(24, 3, 4)), FusedStages, width=64),
    "eres2netv2": partial(SmallTrunk, blocks_of(Size(26, 2, 2)), FusedEnd, width=64),
    "eres2netv2_w24s4ep4": partial(SmallTrunk, blocks_of(Size(24, 4, 4)), FusedEnd, width=64),
}
"""Trunks by the name that --backbone takes; of width 64, `eres2net` is the "large" one."""


def settings_of(state: Mapping[str, Tensor]) -> str | None:
    """The flags with which a small net of these weights is built; None of any other net.

    Args:
        state: a whole model's weights under this project's names.
    """
    trunk = {key.removeprefix(PREFIX): state[key] for key in state if key.startswith(PREFIX)}
    if "bn1.weight" not in trunk:
        return None
    width, found = len(trunk["bn1.weight"]), _shapes(trunk)
    for name, make in NETS.items():
        with torch.device("meta"):
            own = _shapes(make(width=width).state_dict())
        if own == found:
            embedding = state.get("embedding.weight")
            flags = f"--backbone {name} --model.width {width}"
            return flags if embedding is None else f"{flags} --model.embedding {len(embedding)}"
    return None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Shapes by name; files of old versions hold no counts of batches."""
    return {name: value.shape for name, value in state.items() if value.ndim}
