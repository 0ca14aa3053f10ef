"""A backbone and a decoder of its features: pictures in, depth out."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from backbone.detect import hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands.config import choose
from common.commands.trained import Layout
from common.layers import Normalize, freeze_batchnorm, pad_to_multiple
from tasks.depth.bts import BTSDecoder
from tasks.depth.config import Config
from tasks.depth.fusion import FusionDecoder
from tasks.depth.light import LightDecoder

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


Decoder = LightDecoder | BTSDecoder | FusionDecoder


class DepthModel(nn.Module):
    """A picture in, a map of depth out.

    Args:
        backbone: gives a pyramid.
        decoder: takes the pyramid and the input's size, gives metres (B, 1, h, w).
        multiple: what the sides of the trunk's input are padded to.
        normalize: takes the pictures.
        focal_reference: focal length in pixels for which the decoder's metres are right; of others
            they are multiplied by the ratio. 0: of all alike.
    """

    def __init__(
        self,
        backbone: Trunk,
        decoder: Decoder,
        multiple: int,
        normalize: nn.Module,
        focal_reference: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.multiple = multiple
        self.normalize = normalize
        self.focal_reference = focal_reference

    def forward(self, images: Tensor, focal: Tensor | None = None) -> Tensor:
        """Metres (B, 1, h, w) of pictures (B, 3, H, W), RGB, 0..255, of any size.

        The map may be smaller than the pictures, all of which it shows. `focal` (B,) are the focal
        lengths in pixels; 0 where one is not known.
        """
        x = self.prepare(images)
        return self.answer(x, self.backbone(x), images.shape[-2], images.shape[-1], focal)

    def prepare(self, images: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, h, w).

        They are padded to multiples, at the right and below and with the mean colour.
        """
        return pad_to_multiple(self.normalize(images), self.multiple)

    def answer(
        self,
        x: Tensor,
        pyramid: Pyramid[Tensor],
        height: int,
        width: int,
        focal: Tensor | None = None,
    ) -> Tensor:
        """The map of what the trunk was given and its features, without the padding."""
        depth: Tensor = self.decoder(pyramid, (x.shape[-2], x.shape[-1]))
        if self.multiple > 1:
            depth = depth[..., :height, :width]
        if self.focal_reference and focal is not None:
            ratio = torch.where(focal > 0, focal / self.focal_reference, 1.0)
            depth = depth * ratio.to(depth.dtype)[:, None, None, None]
        return depth


def build(config: Config) -> DepthModel:
    """The config's model with random weights, on the CPU.

    Raises:
        UserError: no backbone has that name.
    """
    trunk: Trunk = choose("--backbone", config.backbone, MODELS)()
    model = config.model
    if model.freeze == "batchnorm":
        freeze_batchnorm(trunk)
    if model.freeze == "affine":
        freeze_affine(trunk)
    decoder = _decoder(config, trunk.channels)
    multiple = math.lcm(decoder.multiple, model.multiple)
    return DepthModel(trunk, decoder, multiple, Normalize(MEAN, STD), model.focal_reference)


def _decoder(config: Config, channels: Pyramid[int]) -> Decoder:
    model, data = config.model, config.data
    if model.decoder == "bts":
        return BTSDecoder(channels, model.channels, data.max_depth)
    if model.decoder == "fusion":
        return FusionDecoder(channels, model.channels)
    least = max(data.min_depth, data.max_depth / 1000)
    return LightDecoder(channels, model.channels, (least, data.max_depth))


def freeze_affine(trunk: nn.Module) -> None:
    """Keep the first convolution and the weights and biases of the blocks' BatchNorm as they are.

    Their statistics still move, and the shortcuts' BatchNorm learns, as in BTS.
    """
    for name, parameter in trunk.named_parameters():
        parts = name.split(".")
        if parts[0] == "conv1" or any(part.startswith("bn") for part in parts):
            parameter.requires_grad_(False)


def from_published(_: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """No Res2Net depth model was ever published, so there is no foreign layout to read."""
    return None


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    if wrong and not any(key.startswith("backbone.") for key in wrong):
        return "; give the --model.decoder and --model.channels that they were trained with"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
