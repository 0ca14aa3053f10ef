"""PoolNet: pyramid pooling on top of a backbone, whose global view guides the way back down.

Liu, Hou, Cheng, Feng, Jiang: "A Simple Pooling-Based Design for Real-Time Salient Object
Detection", CVPR 2019. Convolutions have no bias and there is no normalisation outside the backbone,
as in the published code of PoolNet and Res2Net-PoolNet.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid
from tasks.salient.networks.edge import EdgeBranch
from tasks.salient.networks.parts import Head, Maps, activated, convolution, normed, resize

AGGREGATION_POOLS = (2, 4, 8)
"""Sides of the averages that a step of the head looks at."""
CHANNELS = Pyramid(128, 256, 256, 512, 512)
"""Channels of the head at the stem and at the four stages, as published."""
EDGE_CHANNELS = 16
"""Channels of an edge map's features at each level, as published."""

DEVIATION = 0.01
"""Standard deviation of the head's initial weights, as published."""


class PyramidPooling(nn.Module):
    """Features of the last stage beside their means over 1, 3 x 3 and 5 x 5 cells, merged."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        batchnorm: bool = False,
        cells: Sequence[int] = (1, 3, 5),
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, channels, 1, bias=False)
        # A single cell of a single picture has no deviation that could be normalised.
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(count), convolution(channels, channels, 1), nn.ReLU(True)
            )
            for count in cells
        )
        self.merge = activated((1 + len(cells)) * channels, channels, 3, batchnorm)

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, channels, h, w)."""
        reduced = self.reduce(features)
        levels = [reduced]
        levels += [resize(branch(reduced), reduced.shape[2:]) for branch in self.branches]
        merged: Tensor = self.merge(torch.cat(levels, dim=1))
        return merged


class DeepPool(nn.Module):
    """Feature aggregation, and the step to the next level of the pyramid.

    Args:
        channels: of the features that come in.
        out_channels: of the features that go out, and of the next level.
        fuse: whether the next level and the global guidance are added.
        batchnorm: whether the sums are normalised.
    """

    def __init__(
        self, channels: int, out_channels: int, fuse: bool, batchnorm: bool = False
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convolution(channels, channels, 3) for _ in AGGREGATION_POOLS)
        self.conv_sum = normed(channels, out_channels, 3, batchnorm)
        self.conv_sum_c = normed(out_channels, out_channels, 3, batchnorm) if fuse else None

    def forward(self, features: Tensor, below: Tensor | None, guidance: Tensor | None) -> Tensor:
        """Features (B, channels, h, w) to (B, out_channels, H, W).

        `below`, the next level, and `guidance` are (B, out_channels, H, W); the last step has none
        and keeps the size.
        """
        size = features.shape[2:]
        total = features
        for pool, convolve in zip(AGGREGATION_POOLS, self.convs, strict=True):
            total = total + resize(convolve(F.avg_pool2d(features, pool)), size)
        total = F.relu(total)
        if self.conv_sum_c is None or below is None or guidance is None:
            summed: Tensor = self.conv_sum(total)
            return summed
        fused: Tensor = self.conv_sum_c(
            self.conv_sum(resize(total, below.shape[2:])) + below + guidance
        )
        return fused


class PoolNetHead(Head):
    """From a backbone's pyramid to the logits of a saliency map.

    Args:
        in_channels: of the backbone's stem and stages.
        channels: of the head at the same places.
        edge_channels: of the edge branch's features; 0 builds the network without it.
        batchnorm: whether there is BatchNorm in the head; the published one has none.
        deviation: standard deviation of the initial weights; with BatchNorm, of the score's only.
    """

    align_corners = True

    def __init__(
        self,
        in_channels: Pyramid[int],
        channels: Pyramid[int] = CHANNELS,
        edge_channels: int = 0,
        batchnorm: bool = False,
        deviation: float = DEVIATION,
    ) -> None:
        super().__init__()
        first, *_, last = channels
        self.pyramid = PyramidPooling(in_channels.c5, last, batchnorm)
        self.guidance = nn.ModuleList(
            activated(last, count, 3, batchnorm) for count in reversed(channels[:4])
        )
        self.convert = nn.ModuleList(
            activated(before, after, 1, batchnorm)
            for before, after in zip(in_channels, channels, strict=True)
        )
        down = list(reversed(channels))
        self.deep_pool = nn.ModuleList(
            DeepPool(before, after, True, batchnorm) for before, after in itertools.pairwise(down)
        )
        self.deep_pool.append(DeepPool(first, first, False, batchnorm))
        self.edge = EdgeBranch(down[1:], edge_channels, first) if edge_channels else None
        # With the edges' features beside its own, the score looks around as well.
        self.score = nn.Conv2d(2 * first, 1, 3, padding=1) if self.edge else nn.Conv2d(first, 1, 1)
        self._initialise(deviation, he=batchnorm)

    def _initialise(self, deviation: float, he: bool) -> None:
        """Draw all weights with one deviation, as published, or all but the score's as He does."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if he and module is not self.score:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.normal_(module.weight, std=deviation)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def aggregate(self, features: Pyramid[Tensor]) -> list[Tensor]:
        """The features of the four steps down, deepest first."""
        levels = [layer(level) for layer, level in zip(self.convert, features, strict=True)]
        everything = self.pyramid(features.c5)
        merged, steps = levels.pop(), []
        for step, guide in zip(self.deep_pool, self.guidance, strict=False):
            below = levels.pop()
            merged = step(merged, below, guide(resize(everything, below.shape[2:])))
            steps.append(merged)
        return steps

    def forward(self, features: Pyramid[Tensor]) -> Maps:
        """Logits (B, 1, h, w) at the stem's resolution."""
        steps = self.aggregate(features)
        merged = self.deep_pool[-1](steps[-1], None, None)
        if self.edge is not None:
            # The saliency loss does not reach the edge branch.
            merged = torch.cat([merged, self.edge.describe(steps, merged.shape[2:])], dim=1)
        return Maps(self.score(merged))

    def edges(self, features: Pyramid[Tensor], size: Sequence[int]) -> Tensor:
        """Logits (B, 5, H, W) of edge maps: the fused one and those of the four steps."""
        if self.edge is None:
            return super().edges(features, size)
        edges: Tensor = self.edge(self.aggregate(features), size)
        return edges


def scaled(width: float) -> Pyramid[int]:
    """The published channels of the head times a factor."""
    return Pyramid(*(max(1, round(width * count)) for count in CHANNELS))
