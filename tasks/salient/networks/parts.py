"""What the heads are made of, and what they give."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid

Kernel = int | tuple[int, int]


class Maps(NamedTuple):
    """What a head makes of a batch: logits, each map at a resolution of its own."""

    result: Tensor
    """(B, 1, h, w) of the map that counts."""
    sides: tuple[Tensor, ...] = ()
    """Coarser maps (B, 1, h, w), coarsest first, that training looks at as well."""
    contour: Tensor | None = None
    """(B, 1, h, w) of the objects' outlines."""


class Head(nn.Module):
    """From a backbone's pyramid to maps."""

    align_corners = False
    """Whether the map is brought to the input's size with its corner pixels on the input's."""

    def edges(self, features: Pyramid[Tensor], size: Sequence[int]) -> Tensor:
        """Logits (B, 5, H, W) of the edge maps that PoolNet's edge branch is trained with."""
        raise ValueError("this network was built without its edge branch")

    if TYPE_CHECKING:  # nn.Module says Any here

        def __call__(self, features: Pyramid[Tensor]) -> Maps:
            """Run `forward`."""
            ...


class Normed(nn.Module):
    """A convolution that keeps the size, BatchNorm, and no ReLU unless it is asked for."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        *,
        dilation: int = 1,
        relu: bool = False,
    ) -> None:
        super().__init__()
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (rows // 2 * dilation, columns // 2 * dilation)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True) if relu else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, out_channels, h, w)."""
        found: Tensor = self.bn(self.conv(features))
        return found if self.relu is None else self.relu(found)


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


def resize(features: Tensor, size: Sequence[int], *, align_corners: bool = True) -> Tensor:
    """Features (B, C, h, w) at another size, bilinear; the corner pixels are aligned or not."""
    if features.shape[2:] == tuple(size):
        return features
    return F.interpolate(features, list(size), mode="bilinear", align_corners=align_corners)


def narrowed(count: int, width: float) -> int:
    """A published number of channels times a factor: a multiple of 8, so that groups stay whole."""
    return max(8, 8 * round(width * count / 8))
