"""Local planar guidance (Lee, Han, Ko and Suh, "From Big to Small", 2019, arXiv:1907.10326).

Written from the paper and from published widths: no code of the authors is in it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid

RATES = (3, 6, 12, 18, 24)
"""Dilations of the dense pyramid."""
_MOMENTUM, _EPSILON = 0.01, 1.1e-5


def norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm behind a sum of stages, as published."""
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


def layer(before: int, after: int, side: int = 3) -> nn.Sequential:
    """A convolution without bias, and ELU."""
    return nn.Sequential(nn.Conv2d(before, after, side, padding=side // 2, bias=False), nn.ELU())


class Up(nn.Sequential):
    """Twice the size by nearest pixels, then a layer."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2, mode="nearest"), *layer(before, after))


class Dilated(nn.Sequential):
    """One unit of the dense pyramid; `after` channels come out."""

    def __init__(self, before: int, after: int, rate: int, normalised: bool) -> None:
        middle = 2 * after
        super().__init__(
            norm(before) if normalised else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(before, middle, 1, bias=False),
            nn.BatchNorm2d(middle, momentum=_MOMENTUM),
            nn.ReLU(),
            nn.Conv2d(middle, after, 3, padding=rate, dilation=rate, bias=False),
        )


class Reduction(nn.Sequential):
    """1x1 convolutions that halve the channels down to 8, and a last one without activation."""

    def __init__(self, before: int, first: int, last: int) -> None:
        layers: list[nn.Module] = []
        while first >= 8:
            layers += layer(before, first, 1)
            before, first = first, first // 2
        super().__init__(*layers, nn.Conv2d(before, last, 1, bias=False))


class PlanarGuidance(nn.Module):
    """Depth of a plane for each cell of features, drawn at the picture's size.

    Args:
        side: pixels of a cell's side.
        max_depth: greatest distance of a plane, in metres.
    """

    places: Tensor

    def __init__(self, side: int, max_depth: float) -> None:
        super().__init__()
        self.side, self.max_depth = side, max_depth
        places = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2) / side
        self.register_buffer("places", places, persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        """Metres (B, 1, h * side, w * side) of planes (B, 3, h, w): two angles, a distance."""
        theta, phi, distance = planes.float().sigmoid().unbind(1)
        theta, phi = theta * (math.pi / 3), phi * (2 * math.pi)
        n1, n2, n3 = theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()
        u, v = self.places[None, :], self.places[:, None]
        # Cells (B, h, 1, w, 1) against the pixels (side, 1, side) in each.
        n1, n2, n3, distance = (one[:, :, None, :, None] for one in (n1, n2, n3, distance))
        slant = n1 * u[:, None, :] + n2 * v[:, None, :] + n3
        depth = distance * self.max_depth / slant
        return depth.flatten(3, 4).flatten(1, 2)[:, None]


class BTSDecoder(nn.Module):
    """Depth at the picture's size, by planes at an eighth, a quarter and a half of it.

    Args:
        channels: of the trunk.
        width: 512 as published.
        max_depth: in metres.
    """

    multiple = 32
    """Sides of the input must be multiples of this."""

    def __init__(self, channels: Pyramid[int], width: int, max_depth: float) -> None:
        super().__init__()
        self.max_depth = max_depth
        half, quarter, eighth, least = (width // part for part in (2, 4, 8, 16))
        self.up5, self.norm5 = Up(channels.c5, width), norm(width)
        self.mix5 = layer(width + channels.c4, width)
        self.up4, self.norm4 = Up(width, half), norm(half)
        joined = half + channels.c3
        self.mix4, self.norm4_mixed = layer(joined, half), norm(half)
        inputs = [half, *(joined + quarter * number for number in range(1, len(RATES)))]
        self.dilated = nn.ModuleList(
            [
                Dilated(before, quarter, rate, normalised=place > 0)
                for place, (before, rate) in enumerate(zip(inputs, RATES, strict=True))
            ]
        )
        self.pyramid = layer(half + quarter * len(RATES), quarter)
        self.planes8, self.guide8 = Reduction(quarter, quarter, 3), PlanarGuidance(8, max_depth)
        self.up3, self.norm3 = Up(quarter, quarter), norm(quarter)
        self.mix3 = layer(quarter + channels.c2 + 1, quarter)
        self.planes4, self.guide4 = Reduction(quarter, eighth, 3), PlanarGuidance(4, max_depth)
        self.up2, self.norm2 = Up(quarter, eighth), norm(eighth)
        self.mix2 = layer(eighth + channels.c1 + 1, eighth)
        self.planes2, self.guide2 = Reduction(eighth, least, 3), PlanarGuidance(2, max_depth)
        self.up1 = Up(eighth, least)
        self.finest = Reduction(least, least // 2, 1)
        self.mix1 = layer(least + 4, least)
        self.last = nn.Conv2d(least, 1, 3, padding=1, bias=False)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.xavier_uniform_(part.weight)

    def forward(self, pyramid: Pyramid[Tensor], size: tuple[int, int]) -> Tensor:
        """Depth (B, 1, H, W) in metres of the trunk's features of pictures (B, 3, H, W)."""
        c1, c2, c3, c4, c5 = pyramid
        x = self.norm5(self.up5(F.relu(c5)))
        x = self.mix5(torch.cat([x, c4], dim=1))
        joined = torch.cat([self.norm4(self.up4(x)), c3], dim=1)
        x = self._dense(self.norm4_mixed(self.mix4(joined)), joined)
        guide8 = self.guide8(self.planes8(x)) / self.max_depth
        x = torch.cat([self.norm3(self.up3(x)), c2, guide8[..., ::4, ::4]], dim=1)
        x = self.mix3(x)
        guide4 = self.guide4(self.planes4(x)) / self.max_depth
        x = torch.cat([self.norm2(self.up2(x)), c1, guide4[..., ::2, ::2]], dim=1)
        x = self.mix2(x)
        guide2 = self.guide2(self.planes2(x)) / self.max_depth
        x = self.up1(x)
        finest = self.finest(x).sigmoid()
        x = self.mix1(torch.cat([x, finest, guide2, guide4, guide8], dim=1))
        logits: Tensor = self.last(x)
        return logits.float().sigmoid() * self.max_depth

    def _dense(self, x: Tensor, joined: Tensor) -> Tensor:
        """Features of several dilations, each of which sees those of all smaller ones."""
        found: list[Tensor] = []
        for unit in self.dilated:
            found.append(unit(torch.cat([joined, *found], dim=1) if found else x))
        mixed: Tensor = self.pyramid(torch.cat([x, *found], dim=1))
        return mixed
