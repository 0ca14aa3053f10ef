"""Which decoders there are, what they can take, and how wide they are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import segmentation_models_pytorch as smp
from torch import nn

from backbone.trunk import Trunk
from common.errors import UserError
from common.networks.encoder import PREFIX, register
from common.training.settings import EngineConfig

DecoderName = Literal[
    "deeplabv3plus", "deeplabv3", "pspnet", "upernet", "unet", "fpn", "pan", "segformer",
    "unetplusplus", "linknet", "manet",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The head on the backbone."""

    decoder: DecoderName = "deeplabv3plus"
    """A decoder of segmentation-models-pytorch."""
    output_stride: Literal[8, 16, 32] = 16
    """Input pixels per feature of the last stage; below 32 its convolutions are dilated."""
    channels: int = 64
    """Width of the decoder; 256 in every published recipe."""
    atrous_rates: tuple[int, ...] = ()
    """deeplab: dilations of the pyramid; none means 6, 12, 18 at stride 16 and twice that at 8."""
    separable: bool = False
    """deeplab: depthwise separable convolutions in the pyramid."""
    dropout: float = 0.1
    """deeplab: dropout after the pyramid; 0.5 in the published recipes."""

    def __post_init__(self) -> None:
        if self.channels < 1 or self.channels % 32:
            raise UserError(
                f"--model.channels is {self.channels}; it must be a positive multiple of 32"
            )
        if self.atrous_rates and (len(self.atrous_rates) != 3 or min(self.atrous_rates) < 1):
            raise UserError(
                f"--model.atrous_rates is {list(self.atrous_rates)}; it takes three positive "
                "dilations, such as [6, 12, 18]"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"--model.dropout is {self.dropout}; it must be in [0, 1)")


@dataclass(frozen=True)
class Decoder:
    """An architecture of segmentation-models-pytorch."""

    architecture: str
    """Its name there."""
    output_strides: tuple[int, ...]
    """Output strides of the trunk that it can take."""
    options: Callable[[DecoderConfig], dict[str, Any]]
    """What the library's class is called with, beside encoder and classes."""
    normalizes_pools: bool = False
    """Whether it has batch norm after global pooling, which one sample alone cannot train."""
    least_features: int = 1
    """Height and width that the last stage's features must at least have."""


def _deeplab(model: DecoderConfig) -> dict[str, Any]:
    # Chen et al., arXiv:1706.05587, section 4: the rates double with the resolution.
    doubling = 16 // model.output_stride
    return {
        "encoder_output_stride": model.output_stride,
        "decoder_channels": model.channels,
        "decoder_atrous_rates": model.atrous_rates or tuple(doubling * r for r in (6, 12, 18)),
        "decoder_aspp_separable": model.separable,
        "decoder_aspp_dropout": model.dropout,
    }


def _halving(model: DecoderConfig) -> dict[str, Any]:
    return {"decoder_channels": tuple(max(1, model.channels >> step) for step in range(5))}


def _dilated_halving(model: DecoderConfig) -> dict[str, Any]:
    return {"output_stride": model.output_stride, **_halving(model)}


DECODERS: dict[DecoderName, Decoder] = {
    "deeplabv3plus": Decoder("DeepLabV3Plus", (8, 16), _deeplab, normalizes_pools=True),
    "deeplabv3": Decoder("DeepLabV3", (8, 16), _deeplab, normalizes_pools=True),
    "pspnet": Decoder(
        "PSPNet",
        (8, 16, 32),
        lambda model: {
            # The library's default takes three stages of the encoder; the paper takes them all.
            "encoder_depth": 5,
            "output_stride": model.output_stride,
            "upsampling": model.output_stride,
            "psp_out_channels": 2 * model.channels,
        },
    ),
    "upernet": Decoder(
        "UPerNet",
        (8, 16, 32),
        lambda model: {"output_stride": model.output_stride, "decoder_channels": model.channels},
        normalizes_pools=True,
    ),
    "unet": Decoder("Unet", (8, 16, 32), _dilated_halving),
    "fpn": Decoder(
        "FPN",
        (32,),
        lambda model: {
            "decoder_pyramid_channels": model.channels,
            "decoder_segmentation_channels": max(32, model.channels // 2),
        },
        # Its GroupNorm may have as many groups as channels, and one value has no deviation.
        least_features=2,
    ),
    "pan": Decoder(
        "PAN",
        (16, 32),
        lambda model: {
            "encoder_output_stride": model.output_stride,
            "decoder_channels": model.channels,
        },
        normalizes_pools=True,
        least_features=8,
    ),
    "segformer": Decoder(
        "Segformer",
        (8, 16, 32),
        lambda model: {
            "output_stride": model.output_stride,
            "decoder_segmentation_channels": model.channels,
        },
    ),
    "unetplusplus": Decoder("UnetPlusPlus", (32,), _halving),
    "linknet": Decoder("Linknet", (32,), lambda _: {}),
    "manet": Decoder(
        "MAnet",
        (32,),
        lambda model: {"decoder_pab_channels": model.channels // 4, **_halving(model)},
    ),
}


def require_stride(model: DecoderConfig) -> None:
    """Raise UserError unless the decoder can take the output stride."""
    allowed = DECODERS[model.decoder].output_strides
    if model.output_stride not in allowed:
        raise UserError(
            f"--model.output_stride {model.output_stride}: {model.decoder} takes "
            f"{', '.join(map(str, allowed))}"
        )


def require_company(engine: EngineConfig, name: DecoderName, ranks: int) -> None:
    """Raise UserError if a rank's micro-batch is too small for the decoder's global pooling."""
    samples = engine.batch_size // (ranks * engine.accumulate)
    together = engine.sync_batchnorm and ranks > 1
    if DECODERS[name].normalizes_pools and samples == 1 and not together:
        others = [other for other, one in DECODERS.items() if not one.normalizes_pools]
        raise UserError(
            f"--engine.batch_size {engine.batch_size}: leaves one sample for a forward pass, and "
            f"{name} normalises a global average over the samples of a pass, which one alone "
            "cannot train; take at least two for each rank and micro-batch, or "
            "--engine.sync_batchnorm on several GPUs, or a --model.decoder that does not "
            f"({', '.join(others)})"
        )


class Network(NamedTuple):
    """The parts of one of the library's networks."""

    trunk: Trunk
    decoder: nn.Module
    """Takes the list of the picture and its pyramid, gives features."""
    head: nn.Module
    """Takes these, gives logits of the picture's size."""


def network(backbone: str, classes: int, model: DecoderConfig, in_channels: int = 3) -> Network:
    """A trunk, and a decoder of the library that fits it, freshly drawn.

    Args:
        backbone: a name of MODELS.
        classes: score maps to draw.
        model: decoder, output stride and width.
        in_channels: of the pictures.
    """
    require_stride(model)
    decoder = DECODERS[model.decoder]
    register()
    built = smp.create_model(
        decoder.architecture,
        encoder_name=PREFIX + backbone,
        encoder_weights=None,
        in_channels=in_channels,
        classes=classes,
        **decoder.options(model),
    )
    # He's initialisation with silent biases: the library itself leaves it out of the DeepLabs.
    built.initialize()
    return Network(built.encoder.trunk, built.decoder, built.segmentation_head)
