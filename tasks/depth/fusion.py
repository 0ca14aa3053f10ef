"""Multi-scale feature fusion (Hu, Ozay, Zhang and Okatani, WACV 2019, arXiv:1803.08673)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid


def unit(before: int, after: int, side: int = 5) -> nn.Sequential:
    """A convolution without bias, BatchNorm and ReLU."""
    return nn.Sequential(*convolution(before, after, side), nn.ReLU(inplace=True))


def convolution(before: int, after: int, side: int) -> list[nn.Module]:
    """A convolution without bias, and BatchNorm."""
    return [
        nn.Conv2d(before, after, side, padding=side // 2, bias=False),
        nn.BatchNorm2d(after),
    ]


class UpProjection(nn.Module):
    """Features in another size and width: two branches, added up."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.long = nn.Sequential(unit(before, after), *convolution(after, after, 3))
        self.short = nn.Sequential(*convolution(before, after, 5))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (B, before, h, w) to (B, after, *size)."""
        whole = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return F.relu(self.long(whole) + self.short(whole))


class FusionDecoder(nn.Module):
    """Depth at half of the picture's size: a chain of up-projections beside a fusion of all stages.

    Depth may be negative: nothing bounds it.

    Args:
        channels: of the trunk.
        width: 512 as published: half of that of the first layer.
    """

    multiple = 1
    """Sides of the input need be no multiple of anything."""

    def __init__(self, channels: Pyramid[int], width: int) -> None:
        super().__init__()
        widths = [width, width // 2, width // 4, width // 8]
        self.entry = unit(channels.c5, 2 * width, 1)
        self.chain = nn.ModuleList(
            [UpProjection(*pair) for pair in zip([2 * width, *widths], widths, strict=False)]
        )
        side = width // 32
        self.side = nn.ModuleList([UpProjection(count, side) for count in channels[1:]])
        self.fused = unit(4 * side, 4 * side)
        both = widths[-1] + 4 * side
        self.refine = nn.Sequential(
            unit(both, both), unit(both, both), nn.Conv2d(both, 1, 5, padding=2)
        )

    def forward(self, pyramid: Pyramid[Tensor], size: tuple[int, int]) -> Tensor:
        """Depth (B, 1, h, w) in metres, in twice the size of `c2`."""
        height, width = pyramid.c2.shape[-2:]
        whole = (2 * height, 2 * width)
        x = self.entry(pyramid.c5)
        sizes = [features.shape[-2:] for features in (pyramid.c4, pyramid.c3, pyramid.c2)]
        for step, target in zip(self.chain, [*sizes, whole], strict=True):
            x = step(x, target)
        sides = [one(features, whole) for one, features in zip(self.side, pyramid[1:], strict=True)]
        depth: Tensor = self.refine(torch.cat([x, self.fused(torch.cat(sides, dim=1))], dim=1))
        return depth.float()
