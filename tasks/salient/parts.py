"""What the saliency network and its edge branch are made of."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


def convolution(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)


def resize(features: Tensor, size: Sequence[int]) -> Tensor:
    """Features (B, C, h, w) at another size, bilinear with the corner pixels aligned."""
    if features.shape[2:] == tuple(size):
        return features
    return F.interpolate(features, list(size), mode="bilinear", align_corners=True)
