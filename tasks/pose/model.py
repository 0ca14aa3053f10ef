"""SimpleBaseline: a backbone, three deconvolutions and a 1 x 1 head that draws heat maps.

Xiao, Wu and Wei, "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018.
"""

import itertools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from backbone.detect import hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands.config import choose
from common.commands.trained import Layout
from common.layers import Normalize

# Given per position, not per colour: the published pose weights want BGR pictures and these
# numbers in this very order.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
HEAD_CHANNELS = (256, 256, 256)
HEATMAP_STRIDE = 4

_HEAD_PARTS = ("deconv_layers.", "final_layer.")


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

    def __init__(self, backbone: Trunk, head: PoseHead, normalize: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.normalize = normalize

    def forward(self, images: Tensor) -> Tensor:
        """Heat maps (B, J, H / 4, W / 4) from uint8 pictures (B, 3, H, W).

        The pictures' colour order is the recipe's (`data.colour`); H and W are multiples of 32.
        """
        return self.answer(self.backbone(self.prepare(images)))

    def prepare(self, images: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, H, W)."""
        prepared: Tensor = self.normalize(images)
        return prepared

    def answer(self, pyramid: Pyramid[Tensor]) -> Tensor:
        """Heat maps (B, J, H / 4, W / 4) of the trunk's features."""
        heatmaps: Tensor = self.head(pyramid.c5)
        return heatmaps


def build(backbone: str, joints: int, head_channels: Sequence[int] = HEAD_CHANNELS) -> PoseModel:
    """A pose model with a fresh backbone of the given name, on the CPU.

    Raises:
        UserError: no backbone has that name.
    """
    trunk = choose("--backbone", backbone, MODELS)()
    return PoseModel(
        trunk, PoseHead(trunk.channels.c5, joints, head_channels), Normalize(MEAN, STD)
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A published checkpoint's weights under the names of `PoseModel`; None if it is no such.

    Takes what the official Res2Net and Microsoft's ResNet pose code write, `model_best.pth` and
    `checkpoint.pth`. No key names backbone or head there.
    """
    if not any(key.startswith(_HEAD_PARTS) for key in state):
        return None
    return {
        ("head." if key.startswith(_HEAD_PARTS) else "backbone.") + key: value
        for key, value in state.items()
    }


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A `PoseModel`'s weights under the published names, as a bare state dict."""
    return {
        key.removeprefix("head.").removeprefix("backbone."): value for key, value in state.items()
    }


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    if wrong and all(key.startswith("head.final_layer.") and key in state for key in wrong):
        joints = len(state["head.final_layer.bias"])
        return (
            f": they are for {joints} joints; choose the data set (--data.format) that they were "
            "trained for"
        )
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
