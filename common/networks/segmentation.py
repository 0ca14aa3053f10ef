"""A picture in, a score map of each class out: a trunk, a decoder and a head."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid, Trunk
from common.layers import pad_to_multiple


class Scores(NamedTuple):
    """Logits (B, classes, H, W) of the decoder, and in training those of the auxiliary head."""

    main: Tensor
    auxiliary: Tensor | None


class AuxiliaryHead(nn.Sequential):
    """Classifies the fourth stage's features (B, C, h, w) directly, to train it better.

    The fully convolutional head of PSPNet (Zhao et al., CVPR 2017, section 3.3).
    """

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Conv2d(channels, classes, 1),
        )


class SegmentationModel(nn.Module):
    """A picture in, a score map of each class out.

    Args:
        backbone: gives a pyramid.
        decoder: takes the list of the picture and its pyramid, gives features.
        head: takes these, gives logits of the input's size.
        normalize: takes the pictures.
        auxiliary: takes the pyramid's `c4`, or None.
        least_side: inputs are padded to at least this height and width.
    """

    def __init__(
        self,
        backbone: Trunk,
        decoder: nn.Module,
        head: nn.Module,
        normalize: nn.Module,
        auxiliary: nn.Module | None = None,
        least_side: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.head = head
        self.auxiliary = auxiliary
        self.normalize = normalize
        self.least_side = least_side

    def forward(self, images: Tensor) -> Scores:
        """Logits (B, classes, H, W) of pictures (B, 3, H, W), RGB, 0..255, of any size."""
        x = self.prepare(images)
        return self.answer(x, self.backbone(x), images.shape[-2], images.shape[-1])

    def prepare(self, images: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, h, w).

        Decoders double resolutions, so they are padded to multiples of the output stride, at the
        right and lower border and with the mean colour.
        """
        return pad_to_multiple(
            self.normalize(images), self.backbone.strides.c5, least=self.least_side
        )

    def answer(self, x: Tensor, pyramid: Pyramid[Tensor], height: int, width: int) -> Scores:
        """Logits (B, classes, height, width) of what the trunk was given and its features."""
        logits: Tensor = self.head(self.decoder([x, *pyramid]))
        return Scores(logits[..., :height, :width], self._auxiliary(pyramid.c4, x, height, width))

    def _auxiliary(self, c4: Tensor, x: Tensor, height: int, width: int) -> Tensor | None:
        if self.auxiliary is None or not self.training:
            return None
        logits: Tensor = self.auxiliary(c4)
        whole = F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return whole[..., :height, :width]
