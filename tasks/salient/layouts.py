"""The key layouts of published networks on Res2Net-50 v1b: whose a file is, and our names for it.

The first matching start of a key is replaced, then every word within the rest.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from backbone.detect import hint
from tasks.salient.model import NetworkName

Pairs = tuple[tuple[str, str], ...]


class Names(NamedTuple):
    """The names of one network: its authors', and those of this project."""

    known_by: str
    """A key that files of this network have, and of no other."""
    starts: Pairs
    """What their keys begin with, and what ours do."""
    words: Pairs = ()
    """What their keys hold further on, and what ours do."""
    unused: tuple[str, ...] = ()
    """Starts and words of keys that the published network carries along and does not use."""


CLASSIFIER = "resnet.fc."
"""ImageNet's classifier, which published files carry along and nothing uses."""
_TRUNK: Pairs = (("resnet.", "backbone."),)
_RECEPTIVE: Pairs = tuple((f"rfb{place + 2}_1.", f"head.receptive.{place}.") for place in range(3))
_DECODER = (
    ("conv_upsample1.", "weigh.0."),
    ("conv_upsample2.", "weigh.1."),
    ("conv_upsample3.", "weigh.2."),
    ("conv_upsample4.", "raise_deep."),
    ("conv_upsample5.", "raise_middle."),
    ("conv_concat2.", "merge_middle."),
    ("conv_concat3.", "merge_shallow."),
    ("conv4.", "last."),
    ("conv5.", "score."),
)
_BLOCK: Pairs = (
    *((f".branch{branch}.", f".branches.{branch}.") for branch in range(4)),
    (".conv_cat.", ".merge."),
    (".conv_res.", ".shortcut."),
)
_REVERSE: Pairs = tuple(
    (f"ra{4 - place}_conv{layer + 1}.", f"head.reverse.{place}.{layer}.")
    for place in range(3)
    for layer in range(5)
)

_PAIR: Pairs = ((".block.0.", ".conv."), (".block.1.", ".bn."))
"""A convolution and its BatchNorm in SENet."""
_CROSSED: Pairs = tuple(
    (f".{theirs}.{layer}.", f".branches.{ours}.{layer // 3}.{'conv' if layer % 3 == 0 else 'bn'}.")
    for theirs, ours in (("fusion_e", 1), ("fusion_e1", 2))
    for layer in (0, 1, 3, 4)
)

NAMES: Mapping[NetworkName, Names] = {
    "infnet": Names(
        known_by="ParDec.conv5.weight",
        starts=(
            *_TRUNK,
            *_RECEPTIVE,
            *((f"ParDec.{theirs}", f"head.decoder.{ours}") for theirs, ours in _DECODER),
            *_REVERSE,
            *((f"edge_conv{layer + 1}.", f"head.contour.{layer}.") for layer in range(4)),
        ),
        words=_BLOCK,
        unused=(CLASSIFIER,),
    ),
    "pranet": Names(
        known_by="agg1.conv5.weight",
        starts=(
            *_TRUNK,
            *_RECEPTIVE,
            *((f"agg1.{theirs}", f"head.decoder.{ours}") for theirs, ours in _DECODER),
            *_REVERSE,
        ),
        words=_BLOCK,
        unused=(CLASSIFIER,),
    ),
    "sinetv2": Names(
        known_by="NCD.conv5.weight",
        starts=(
            *_TRUNK,
            *_RECEPTIVE,
            *((f"NCD.{theirs}", f"head.decoder.{ours}") for theirs, ours in _DECODER),
            *((f"RS{5 - place}.", f"head.reverse.{place}.") for place in range(3)),
        ),
        words=(
            *_BLOCK,
            (".weak_gra.", ".0."),
            (".medium_gra.", ".1."),
            (".strong_gra.", ".2."),
            (".conv.0.", ".conv."),
        ),
        unused=(CLASSIFIER,),
    ),
    "senet": Names(
        known_by="aux_edge.bodye.0.weight",
        starts=(
            ("layer0_1.0.", "backbone.conv1."),
            ("layer0_1.1.", "backbone.bn1."),
            *((f"layer{stage}.", f"backbone.layer{stage}.") for stage in range(1, 5)),
            *((f"aspp{place + 3}.", f"head.context.{place}.") for place in range(2)),
            *((f"cbblock{place + 3}.", f"head.attention.{place}.") for place in range(2)),
            *((f"layer{place + 1}_enhance.", f"head.enhance.{place}.") for place in range(2)),
            ("layer3_decoder.", "head.decoder.0."),
            ("layer2_decoder.", "head.decoder.1."),
            ("conv_up.", "head.merge."),
            ("aux_edge.", "head.contour."),
            ("aux_area.", "head.area."),
            ("out_conv_8.", "head.scores.0."),
            ("out_conv_4.", "head.scores.1."),
        ),
        words=(
            (".saLayer.conv1.", ".spatial."),
            *((f".conv{branch + 1}.", f".branches.{branch}.") for branch in range(4)),
            (".conv5.", ".whole."),
            (".calayer.fc.", ".channel."),
            (".lbody.", ".low."),
            (".hbody.", ".high."),
            (".bodye.", ".body."),
            (".emlayes.", ".groups."),
            (".elayer.", ".convolve."),
            (".salayer.", ".spatial."),
            (".conv_up.", ".reduce."),
            (".alayers.0.fusion.", ".groups.0."),
            (".alayers.1.fusion.", ".groups.1."),
            (".fusion_0.", ".branches.0."),
            *_CROSSED,
            (".fusion.", ".fuse."),
            *_PAIR,
        ),
        unused=("alayer.", "arlayer."),
    ),
    "inspyrenet": Names(
        known_by="attention0.lthreshold",
        starts=(
            *((f"context{place + 1}.", f"head.context.{place}.") for place in range(5)),
            *((f"attention{place}.", f"head.attention.{place}.") for place in range(3)),
            ("decoder.conv1.", "head.decoder.reduce."),
            *((f"decoder.conv{layer + 2}.", f"head.decoder.convs.{layer}.") for layer in range(3)),
            ("decoder.conv5.conv.", "head.decoder.score."),
            ("decoder.Hattn.", "head.decoder.attend.down."),
            ("decoder.Wattn.", "head.decoder.attend.across."),
        ),
        words=(
            (".branch0.", ".branches.0.0."),
            *_BLOCK,
            *((f".conv{layer}.", f".{layer}.") for layer in range(3)),
            (".Hattn.", ".3.down."),
            (".Wattn.", ".3.across."),
            (".conv3.", ".4."),
            (".query_conv.", ".query."),
            (".key_conv.", ".key."),
            (".value_conv.", ".value."),
            (".conv_query.", ".query."),
            (".conv_key.", ".key."),
            (".conv_value.", ".value."),
            (".conv_out1.", ".looked."),
            (".conv_out2.", ".merge.0."),
            (".conv_out3.", ".merge.1."),
            (".conv_out4.", ".score."),
            (".lthreshold", ".laplacian_threshold"),
        ),
    ),
}
"""The names of each network; files of SENet carry along two convolutions of each group."""
MARKS: Mapping[NetworkName, str] = {
    "infnet": "head.contour.0.conv.weight",
    "pranet": "head.reverse.0.4.conv.weight",
    "sinetv2": "head.reverse.0.0.score.weight",
    "senet": "head.area.body.0.weight",
    "inspyrenet": "head.attention.0.threshold",
    "poolnet": "head.pyramid.reduce.weight",
}
"""A parameter that tells a network apart from those behind it."""
WIDTHS: Mapping[NetworkName, tuple[str, int]] = {
    "infnet": ("head.receptive.0.merge.conv.weight", 32),
    "pranet": ("head.receptive.0.merge.conv.weight", 32),
    "sinetv2": ("head.receptive.0.merge.conv.weight", 32),
    "inspyrenet": ("head.context.0.merge.conv.weight", 64),
    "senet": ("head.context.0.fuse.conv.weight", 256),
}
"""A parameter whose length is the head's width, and its published length."""


def translated(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A published file's weights under the names of `SaliencyNetwork`; None if it is none of these.

    What the published network does not use is left out by name. A key that is unknown stays as it
    is, so that it is reported as left over.
    """
    names = next((one for one in NAMES.values() if one.known_by in state), None)
    if names is None:
        return None
    return {
        _ours(key, names): value
        for key, value in state.items()
        if not any(key.startswith(part) or f".{part}" in key for part in names.unused)
    }


def _ours(key: str, names: Names) -> str:
    for theirs, ours in names.starts:
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
            break
    if key.startswith("head."):
        for theirs, ours in names.words:
            key = key.replace(theirs, ours)
    return key


def explained(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """What to add to a message about weights that do not fit: another network, or another width.

    Args:
        wrong: the keys that do not fit.
        state: the weights, under our names.
    """
    network = next((name for name, mark in MARKS.items() if mark in state), None)
    if network is None:
        return ""
    another = f"; they are of another network: say --model.network {network}"
    if any(mark in wrong and mark not in state for mark in MARKS.values()):
        return another
    if network not in WIDTHS:
        return ""
    key, published = WIDTHS[network]
    if key in wrong and key in state:
        return f"; their head looks like --model.head_width {len(state[key]) / published:g}"
    return another if MARKS[network] in wrong and not hint(wrong, state) else ""
