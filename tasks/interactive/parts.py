"""What both networks are made of, and what they give."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F


class Maps(NamedTuple):
    """What a network makes of a batch: logits of the pictures' size."""

    mask: Tensor
    """(B, 1, H, W)"""
    first: Tensor | None = None
    """(B, 1, H, W) by the branch of the first click alone, where there is one and in training."""


def normed(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """A convolution, BatchNorm and ReLU; with a stride of 1 the size stays."""
    return [
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=kernel // 2 * dilation,
            dilation=dilation,
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def resize(x: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Maps (B, C, h, w) in another size, bilinear."""
    if x.shape[2:] == tuple(size):
        return x
    return F.interpolate(x, list(size), mode="bilinear", align_corners=align_corners)


def bump(distances: Tensor, width: float) -> Tensor:
    """Distances as Gaussians: 1 at a click, one half at half of the width from it."""
    # 4 ln 2: the width is the full one at half maximum.
    exponents = -2.772588722239781 / width**2 * distances.square()
    # Below, exp takes a hundred times as long for numbers that vanish beside any other.
    scaled: Tensor = exponents.clamp(min=-80).exp()
    return scaled
