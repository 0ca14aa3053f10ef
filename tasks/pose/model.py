"""SimpleBaseline: a backbone, three deconvolutions and a 1 x 1 head that draws heat maps.

Xiao, Wu and Wei, "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbone.variants import MODELS
from backbone.weights import WeightsError, detect
from common.errors import UserError
from common.layers import Normalize

# Given per position, not per colour: the published pose weights want BGR pictures and these
# numbers in this very order.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
HEAD_CHANNELS = (256, 256, 256)
HEATMAP_STRIDE = 4

_HEAD_PARTS = ("deconv_layers.", "final_layer.")
_COUNT = "num_batches_tracked"
_SHOWN = 2


class PoseHead(nn.Module):
    """Deconvolutions that double the resolution each, then one heat map per joint.

    Args:
        in_channels: channels of the backbone's last stage.
        joints: heat maps to draw.
        channels: output channels of each deconvolution.
    """

    def __init__(
        self, in_channels: int, joints: int, channels: Sequence[int] = HEAD_CHANNELS
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((in_channels, *channels)):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels[-1], joints, 1)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)  # type: ignore[arg-type]  # it was built with one

    def forward(self, features: Tensor) -> Tensor:
        """Heat maps (B, joints, 8 h, 8 w) from features (B, C, h, w)."""
        heatmaps: Tensor = self.final_layer(self.deconv_layers(features))
        return heatmaps


class PoseModel(nn.Module):
    """A picture of one person in, the heat maps of its joints out.

    Args:
        backbone: gives a pyramid whose `c5` has stride 32.
        head: takes that `c5`.
        normalize: takes the pictures.
    """

    def __init__(self, backbone: nn.Module, head: PoseHead, normalize: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.normalize = normalize

    def forward(self, images: Tensor) -> Tensor:
        """Heat maps (B, J, H / 4, W / 4) from uint8 pictures (B, 3, H, W).

        The pictures' colour order is the recipe's (`data.colour`); H and W are multiples of 32.
        """
        heatmaps: Tensor = self.head(self.backbone(self.normalize(images)).c5)
        return heatmaps


def build(backbone: str, joints: int, head_channels: Sequence[int] = HEAD_CHANNELS) -> PoseModel:
    """A pose model with a fresh backbone of the given name, on the CPU.

    Raises:
        UserError: no backbone has that name.
    """
    if backbone not in MODELS:
        raise UserError(f"--backbone {backbone}: unknown; choose one of {', '.join(MODELS)}")
    trunk = MODELS[backbone]()
    return PoseModel(
        trunk, PoseHead(trunk.channels.c5, joints, head_channels), Normalize(MEAN, STD)
    )


def is_published(state: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has the published layout, in which no key names backbone or head."""
    return any(key.startswith(_HEAD_PARTS) for key in _unwrapped(state))


def from_published(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A published checkpoint's weights under the names of `PoseModel`.

    Takes what the official Res2Net and Microsoft's ResNet pose code write: the bare state dict
    of `model_best.pth`, and the dict of `checkpoint.pth`, whose "state_dict" carries the prefix
    "module.".
    """
    return {
        ("head." if key.startswith(_HEAD_PARTS) else "backbone.") + key: value
        for key, value in _unwrapped(state).items()
    }


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A `PoseModel`'s weights under the published names, as a bare state dict."""
    return {
        key.removeprefix("head.").removeprefix("backbone."): value for key, value in state.items()
    }


def load_weights(model: PoseModel, state: Mapping[str, Tensor], source: str) -> None:
    """Load a whole model's weights; nothing may be missing, left over or of another shape.

    Args:
        model: takes the weights; unchanged if they do not fit.
        state: under the names of `PoseModel`.
        source: the file, for the message.

    Raises:
        UserError: one line saying in what the weights and the model differ.
    """
    own = model.state_dict()
    # PyTorch before 0.4.1 kept no count of batches, so published files may lack it; it decides
    # nothing here.
    counts = {
        key: value
        for key, value in own.items()
        if key.endswith(_COUNT) and key.removesuffix(_COUNT) + "running_mean" in state
    }
    state = {**counts, **state}
    found = {key: value.shape for key, value in state.items()}
    wanted = {key: value.shape for key, value in own.items()}
    if found != wanted:
        raise UserError(f"{source}: {_difference(found, wanted, state)}")
    model.load_state_dict(state)


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    weights: Mapping[str, Any] = state.get("state_dict", state)
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _difference(
    found: Mapping[str, torch.Size], wanted: Mapping[str, torch.Size], state: Mapping[str, Tensor]
) -> str:
    """What to tell of weights that do not fit: the cause where it is known, else the keys."""
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    misshapen = [
        f"{key} is {tuple(found[key])} and not {tuple(wanted[key])}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    wrong = [*missing, *unexpected, *(text.split()[0] for text in misshapen)]
    joints = "head.final_layer.bias"
    if all(key.startswith("head.final_layer.") for key in wrong) and not missing:
        return (
            f"made for {found[joints][0]} joints, but this data has {wanted[joints][0]}; "
            "choose the data set (--data.format) that the weights were trained for"
        )
    parts = [("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)]
    listed = "; ".join(f"{len(keys)} {title}: {_shortened(keys)}" for title, keys in parts if keys)
    return f"the weights do not fit the model{_variant(wrong, state)} ({listed})"


def _variant(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """A hint which backbone the weights were made for, if it is the backbone that differs."""
    if not any(key.startswith("backbone.") for key in wrong):
        return ""
    trunk = {
        key.removeprefix("backbone."): value
        for key, value in state.items()
        if key.startswith("backbone.")
    }
    try:
        return f"; their backbone looks like --backbone {detect(trunk)}"
    except WeightsError:
        return "; their backbone is none that this project knows"


def _shortened(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
