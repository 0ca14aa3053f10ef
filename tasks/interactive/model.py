"""The network that a config names, and the checkpoints of FCA-Net's authors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from backbone.detect import hint
from backbone.variants import MODELS
from common.commands.config import choose
from common.commands.trained import Layout
from common.errors import UserError
from common.layers import Normalize, freeze_batchnorm
from tasks.interactive.config import Config, ModelConfig
from tasks.interactive.fcanet import FCAHead, FCANet
from tasks.interactive.late import ClickHead, LateNet, Neck

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

InteractiveModel = FCANet | LateNet
"""Either gives logits for pictures with clicks; `late` says where the clicks enter."""

_MULTIGRID = (2, 4, 8)
"""FCA-Net's dilations of the blocks of the last stage."""


def build(config: Config) -> InteractiveModel:
    """The config's model with random weights, on the CPU.

    Raises:
        UserError: no backbone has that name, or FCA-Net cannot take it.
    """
    model = config.model
    found = _fcanet(config.backbone, model) if model.network == "fcanet" else _late(config)
    if model.freeze_batchnorm:
        freeze_batchnorm(found.backbone)
    return found


def _late(config: Config) -> LateNet:
    trunk = choose("--backbone", config.backbone, MODELS)()
    width = config.model.channels
    return LateNet(trunk, Neck(trunk.channels, width), ClickHead(width), Normalize(MEAN, STD))


def _fcanet(backbone: str, model: ModelConfig) -> FCANet:
    kind = choose("--backbone", backbone, MODELS)
    with torch.device("meta"):
        stage = getattr(kind(), "layer4", None)
    if not isinstance(stage, nn.Sequential):
        raise UserError(
            f"--backbone {backbone}: fcanet takes Res2Nets and ResNets; take one of these, or "
            "--model.network late"
        )
    trunk = kind(
        in_channels=5,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, _MULTIGRID[: len(stage)]),
        average_dilated=False,
    )
    head = FCAHead(trunk.channels.c2, trunk.channels.c5, model.channels, model.atrous_rates)
    return FCANet(trunk, head)


_NAMES = (
    ("backbone_pre.", "backbone."),
    ("backbone_last.", "backbone."),
    ("first_pred_decoder.pred_conv.", "head.first_predictor."),
    ("first_conv.", "head.first."),
    *((f"my_aspp.aspp{n}.atrous_conv.", f"head.pyramid.branches.{n - 1}.0.") for n in (1, 2, 3, 4)),
    *((f"my_aspp.aspp{n}.bn.", f"head.pyramid.branches.{n - 1}.1.") for n in (1, 2, 3, 4)),
    ("my_aspp.global_avg_pool.", "head.pyramid.whole."),
    ("my_aspp.conv1.", "head.pyramid.merge.0."),
    ("my_aspp.bn1.", "head.pyramid.merge.1."),
    ("my_decoder.side_conv.", "head.decoder.side."),
    ("my_decoder.merge_conv.", "head.decoder.merge."),
    ("pred_decoder.pred_conv.", "head.predictor."),
)
"""What the published keys begin with, and what ours do."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """FCA-Net's published weights under the names of `FCANet`; None if they are something else.

    A key that is unknown stays as it is, so that it is reported as left over.
    """
    if "backbone_pre.bn1.weight" not in state or "first_conv.convs.0.0.weight" not in state:
        return None
    return {_ours(key): value for key, value in state.items()}


def _ours(key: str) -> str:
    for theirs, ours in _NAMES:
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    if any(key.startswith(("head.pyramid.", "neck.")) for key in wrong):
        network = "fcanet" if "head.first.convs.0.0.weight" in state else "late"
        first = state.get("head.first.convs.0.0.weight", state.get("neck.smooth.0.weight"))
        width = "" if first is None else f" --model.channels {first.shape[0]}"
        return f"; they look like --model.network {network}{width}"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
