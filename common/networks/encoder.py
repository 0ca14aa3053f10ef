"""The trunks as encoders of segmentation-models-pytorch, so that all of its decoders take them.

from common.networks.encoder import register

register()
network = smp.Unet("trunk-res2net50_26w_4s", encoder_weights=None, classes=21)
"""

from typing import TypedDict

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from backbone.trunk import PerStage
from backbone.variants import MODELS

PREFIX = "trunk-"
"""Before a trunk's name; the library has a resnet50 and a resnet101 of its own."""


class Dilated(TypedDict):
    """How a trunk is built for an output stride."""

    strides: PerStage
    dilations: PerStage


OUTPUT_STRIDES: dict[int, Dilated] = {
    32: {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)},
    16: {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)},
    8: {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
}


class Encoder(nn.Module):
    """A trunk behind the interface that the library's decoders know.

    The library makes an encoder dilated by taking the strides out of its convolutions. In a
    Res2Net that leaves the strided pools, whose chunk then has another size than the others; so
    the trunk is built with its output stride here, and `make_dilated` only checks it.

    Args:
        name: of MODELS.
        depth: number of stages whose features are returned; the trunk itself is always whole.
        output_stride: 8, 16 or 32 input pixels per feature of the last stage.
    """

    def __init__(self, name: str, depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        if not 1 <= depth <= 5:
            raise ValueError(f"depth is {depth}; allowed: 1 to 5")
        if output_stride not in OUTPUT_STRIDES:
            raise ValueError(f"output_stride is {output_stride}; allowed: 8, 16, 32")
        self.name = name
        self.depth = depth
        self.trunk = MODELS[name](**OUTPUT_STRIDES[output_stride])

    @property
    def out_channels(self) -> list[int]:
        """Channels of everything that `forward` returns, the picture first."""
        return [self.trunk.in_channels, *self.trunk.channels][: self.depth + 1]

    @property
    def output_stride(self) -> int:
        """Input pixels per feature of the last map that is returned."""
        return [1, *self.trunk.strides][self.depth]

    def forward(self, x: Tensor) -> list[Tensor]:
        """The input (B, C, H, W) and the features of `depth` stages."""
        return [x, *self.trunk(x)][: self.depth + 1]

    def set_in_channels(self, in_channels: int, pretrained: bool = False) -> None:
        """Take pictures of another number of channels; a new trunk is drawn for them.

        Weights are loaded afterwards, by `backbone.load`.
        """
        if pretrained:
            raise ValueError("trunks take their weights by backbone.load(encoder.trunk, source)")
        if in_channels != self.trunk.in_channels:
            options = OUTPUT_STRIDES[self.trunk.strides.c5]
            self.trunk = MODELS[self.name](in_channels=in_channels, **options)

    def make_dilated(self, output_stride: int) -> None:
        """Check that the trunk was built with this output stride."""
        if output_stride != self.trunk.strides.c5:
            raise ValueError(
                f"the trunk has output stride {self.trunk.strides.c5}, not {output_stride}; build "
                "the encoder with it"
            )


def register() -> None:
    """Make every trunk known to the library, as PREFIX and its name.

    The table of encoders is the way that the library's own documentation gives for new ones.
    """
    for name in MODELS:
        smp.encoders.encoders[PREFIX + name] = {
            "encoder": Encoder,
            "pretrained_settings": {},
            "params": {"name": name},
        }
