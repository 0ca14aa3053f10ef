"""Checkpoints of others: PoolNet's and Res2Net-PoolNet's layout, with and without edges, and more.

The other networks' layouts are in `layouts.py`.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from backbone.detect import hint
from common.commands.trained import Layout
from tasks.salient import layouts

CLASSIFIER = ("base.resnet.fc.weight", "base.resnet.fc.bias")
"""ImageNet's classifier, which published files carry along and nothing uses."""

_PREFIXES = (
    ("base.resnet.", "backbone."),
    ("base.ppms_pre.", "head.pyramid.reduce."),
    ("base.ppms.", "head.pyramid.branches."),
    ("base.ppm_cat.", "head.pyramid.merge."),
    ("base.infos.", "head.guidance."),
    ("convert.convert0.", "head.convert."),
    ("deep_pool.", "head.deep_pool."),
    ("score.score.", "head.score."),
    ("block.", "head.edge.blocks."),
    ("fuse.trans.", "head.edge.scores."),
    ("fuse.fuse.", "head.edge.fuse."),
    ("edgeinfo.trans.", "head.edge.description."),
)
_EDGE_BLOCK = (
    (".block_in1.0.", ".units.0.0."),
    (".block_mid1.0.0.", ".units.0.1."),
    (".block_mid1.0.1.", ".units.0.2."),
    (".block_in2.0.", ".units.1.0."),
    (".block_mid2.0.0.", ".units.1.1."),
    (".block_mid2.0.1.", ".units.1.2."),
    (".block_out.0.", ".out."),
)

_WITH_OR_WITHOUT_BATCHNORM = ("head.pyramid.merge.0.0.weight", "head.pyramid.merge.0.weight")
"""The same convolution's name in the two kinds of head."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A published checkpoint's weights under the names of `SaliencyNetwork`; None if it is no such.

    ImageNet's classifier is left out by name. A key that is unknown stays as it is, so that it is
    reported as left over.
    """
    if not any(key.startswith("base.ppm") for key in state):
        return layouts.translated(state)
    return {_ours(key): value for key, value in state.items() if key not in CLASSIFIER}


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A PoolNet's weights under the published names, without ImageNet's classifier."""
    return {_theirs(key): value for key, value in state.items()}


def _ours(key: str) -> str:
    for theirs, ours in _PREFIXES:
        if key.startswith(theirs):
            return _replaced(ours + key.removeprefix(theirs), _EDGE_BLOCK)
    return key


def _theirs(key: str) -> str:
    for theirs, ours in _PREFIXES:
        if key.startswith(ours):
            key = _replaced(key, [(new, old) for old, new in _EDGE_BLOCK])
            return theirs + key.removeprefix(ours)
    return key


def _replaced(key: str, pairs: Sequence[tuple[str, str]]) -> str:
    if ".edge.blocks." not in key:
        return key
    for old, new in pairs:
        key = key.replace(old, new)
    return key


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    network = layouts.explained(wrong, state)
    if network:
        return network
    if set(_WITH_OR_WITHOUT_BATCHNORM) <= set(wrong):
        if _WITH_OR_WITHOUT_BATCHNORM[0] in state:
            return "; their head has BatchNorm: say --model.head_batchnorm true"
        return "; their head has no BatchNorm: say --model.head_batchnorm false"
    edges = [key for key in wrong if key.startswith("head.edge.")]
    if edges:
        if edges[0] in state:
            return "; they are of the network with edge branch: say --model.edge true"
        return "; they are of the network without edge branch: say --model.edge false"
    if "head.score.weight" in wrong and "head.score.weight" in state:
        factor = state["head.score.weight"].shape[1] / 128
        return f"; their head looks like --model.head_width {factor:g}"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
