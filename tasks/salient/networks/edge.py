"""The edge branch of PoolNet: it learns from edge maps and describes edges to the saliency score.

Sections 4 and 5 of the paper tell of it in words; layers, order and names are known from the
published joint code. Its bottlenecks have no activation inside.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.salient.networks.parts import convolution, resize


class EdgeBlock(nn.Module):
    """Two residual bottlenecks, then few channels: (B, C, h, w) to (B, out_channels, h, w)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.units = nn.ModuleList(
            nn.Sequential(
                convolution(channels, inner, 1),
                convolution(inner, inner, 3),
                convolution(inner, channels, 1),
            )
            for _ in range(2)
        )
        self.out = convolution(channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Edge features of one level."""
        for unit in self.units:
            features = F.relu(features + unit(features))
        described: Tensor = self.out(features)
        return described


class EdgeBranch(nn.Module):
    """Edge maps from the four steps of the head, and their features for the saliency score.

    Args:
        in_channels: of the four steps, deepest first.
        channels: of an edge block's features.
        out_channels: of the description that the saliency score takes.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, out_channels: int) -> None:
        super().__init__()
        levels = len(in_channels)
        self.blocks = nn.ModuleList(EdgeBlock(count, channels) for count in in_channels)
        self.scores = nn.ModuleList(nn.Conv2d(channels, 1, 1) for _ in in_channels)
        self.fuse = nn.Conv2d(levels, 1, 1)
        widths = [levels * channels, levels * channels, out_channels, out_channels, out_channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [convolution(before, after, 3), nn.ReLU(inplace=True)]
        self.description = nn.Sequential(*layers)

    def forward(self, steps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Edge logits (B, 5, H, W) at a size: the fused map, then those of the four steps."""
        maps = [
            resize(score(block(step)), size)
            for block, score, step in zip(self.blocks, self.scores, steps, strict=True)
        ]
        each = torch.cat(maps, dim=1)
        return torch.cat([self.fuse(each), each], dim=1)

    def describe(self, steps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Features (B, out_channels, h, w) of the edges, through which no gradient goes back."""
        seen = [
            resize(block(step).detach(), size)
            for block, step in zip(self.blocks, steps, strict=True)
        ]
        described: Tensor = self.description(torch.cat(seen, dim=1))
        return described
