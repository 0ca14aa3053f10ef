"""Where the trunk is in the state dict of a whole model, and what its parts are called there.

A file's layout is recognised by one or two keys that only that code writes. What belongs to no
trunk, such as heads, stays behind.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from backbone.blocks import FirstBlock
from backbone.wrappings import under

STAGES = tuple((f"layer{number}.", f"layer{number}.") for number in (1, 2, 3, 4))


class Layout(NamedTuple):
    """How one code base calls the parts of a trunk."""

    marks: tuple[str, ...]
    """Keys that a state dict of this layout has."""
    renamed: tuple[tuple[str, str], ...]
    """Beginnings of the trunk's keys and what stands for them here; the first that fits counts."""
    first_block: FirstBlock | None = None
    """The rule of first blocks (`Bottle2neck`) of that code; None where several codes write this
    layout, or where weights only were renamed, so that the layout does not say it."""


_DEEP_STEM = (("stem.7.", "bn1."), ("stem.", "conv1."))
_DEEP_STEM_WITHIN = (("backbone.stem.7.", "bn1."), ("backbone.stem.", "conv1."))

LAYOUTS = (
    # A classifier of mmpretrain, whose code pools always, and a detector of mmdetection, whose
    # code pools where the stride is above 1. Both call the deep stem so.
    Layout(
        ("backbone.stem.7.weight", "head.fc.weight"),
        (*_DEEP_STEM_WITHIN, ("backbone.", "")),
        "pooled",
    ),
    Layout(("backbone.stem.7.weight",), (*_DEEP_STEM_WITHIN, ("backbone.", "")), "strided"),
    # A bare trunk under these names: mmdetection starts from the official weights, renamed.
    Layout(("stem.7.weight", "layer1.0.conv1.weight"), (*_DEEP_STEM, ("", ""))),
    # FCA-Net: the trunk in two parts.
    Layout(
        ("backbone_pre.bn1.weight", "backbone_last.layer4.0.conv1.weight"),
        (("backbone_pre.", ""), ("backbone_last.", "")),
        "strided",
    ),
    # ModelScope's SENet. Its head has parts such as layer1_enhance and layer2_decoder.
    Layout(
        ("layer0_1.1.weight", "layer1.0.conv1.weight"),
        (("layer0_1.0.", "conv1."), ("layer0_1.1.", "bn1."), *STAGES),
        "pooled",
    ),
    # 3D-Speaker's and WeSpeaker's small nets, whose blocks have other rules of their own.
    Layout(
        ("seg_1.weight", "layer1.0.conv1.weight"),
        (
            ("conv1.", "conv1."),
            ("bn1.", "bn1."),
            *STAGES,
            *((f"layer{n}_downsample.", f"fusion.layer{n}_downsample.") for n in (1, 2, 3)),
            ("layer3_ds.", "fusion.layer3_ds."),
            ("fuse", "fusion.fuse"),
        ),
    ),
    # PraNet, Inf-Net, SINet-V2, MSNet and many others.
    Layout(("resnet.bn1.weight", "resnet.layer4.0.conv1.weight"), (("resnet.", ""),)),
)


def trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trunk in a whole model's weights, under this project's names.

    In no layout of others it is the part under `backbone.`, as in this project's own models and in
    mmpretrain's. Where there is no such part, all is given back as it is: a bare trunk, with or
    without a classifier, or something else.
    """
    found = _layout(state)
    if found is None:
        return under("backbone.", state) or dict(state)
    named = ((_renamed(key, found), value) for key, value in state.items())
    return {key: value for key, value in named if key is not None}


def first_block(state: Mapping[str, Tensor]) -> FirstBlock | None:
    """The rule of first blocks that the layout of a state dict says, if it says one."""
    found = _layout(state)
    return None if found is None else found.first_block


def _layout(state: Mapping[str, Tensor]) -> Layout | None:
    return next((one for one in LAYOUTS if all(mark in state for mark in one.marks)), None)


def _renamed(key: str, layout: Layout) -> str | None:
    """A key of the trunk under this project's names; None for a key of something else."""
    return next(
        (new + key.removeprefix(old) for old, new in layout.renamed if key.startswith(old)), None
    )
