"""What the saliency network and its edge branch are made of."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


def convolution(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)


def normed(in_channels: int, out_channels: int, kernel: int, batchnorm: bool) -> nn.Module:
    """A convolution that keeps the size, with BatchNorm behind it if asked for."""
    convolve = convolution(in_channels, out_channels, kernel)
    return nn.Sequential(convolve, nn.BatchNorm2d(out_channels)) if batchnorm else convolve


def activated(
    in_channels: int, out_channels: int, kernel: int, batchnorm: bool = False
) -> nn.Sequential:
    """A convolution and a ReLU, with BatchNorm between them if asked for."""
    return nn.Sequential(normed(in_channels, out_channels, kernel, batchnorm), nn.ReLU(True))


def resize(features: Tensor, size: Sequence[int]) -> Tensor:
    """Features (B, C, h, w) at another size, bilinear with the corner pixels aligned."""
    if features.shape[2:] == tuple(size):
        return features
    return F.interpolate(features, list(size), mode="bilinear", align_corners=True)
