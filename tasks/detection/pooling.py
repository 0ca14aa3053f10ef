"""Features of boxes, from the pyramid's level that fits the size of each.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017; He, Gkioxari, Dollár and
Girshick, "Mask R-CNN", ICCV 2017.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align
from torchvision.ops.poolers import LevelMapper

from tasks.detection.conventions import Conventions

Features = Mapping[str, Tensor]

POOLED_LEVELS = ("0", "1", "2", "3")
"""The pyramid's levels that boxes are pooled from: all but the one of stride 64."""
SEMANTIC = "semantic"
"""Name of the semantic features beside the levels."""
SEMANTIC_LEVEL = 1
"""The level whose size they have: that of stride 8."""
SEMANTIC_SIDE = 14
"""Semantic features across a box."""

_CANONICAL = 224
"""Side in pixels of the boxes that belong to the level of stride 16, for anchors from 32 on."""


class LevelPool(nn.Module):
    """RoIAlign from the level that fits a box's size.

    torchvision guesses the strides from the first batch it sees, which goes wrong for small padded
    pictures; here they are given.

    Args:
        side: features across a box.
        strides: of the four levels.
        anchor_size: side in pixels of the smallest anchors.
        rules: where a feature lies, and how many samples are taken.
    """

    def __init__(
        self, side: int, strides: Sequence[int], anchor_size: int, rules: Conventions
    ) -> None:
        super().__init__()
        self.side, self.rules = side, rules
        self.scales = [1 / stride for stride in strides]
        levels = [stride.bit_length() - 1 for stride in strides]
        canonical = _CANONICAL * anchor_size // 32
        self.map_levels = LevelMapper(levels[0], levels[-1], canonical, canonical_level=4)

    def forward(
        self, features: Features, boxes: list[Tensor], _: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Features (N, C, side, side) of the boxes of all pictures, (n, 4) of each, in pixels."""
        numbers = [torch.full_like(one[:, :1], number) for number, one in enumerate(boxes)]
        return self.regions(features, torch.cat((torch.cat(numbers), torch.cat(boxes)), dim=1))

    def regions(self, features: Features, regions: Tensor) -> Tensor:
        """Features (N, C, side, side) of regions (N, 5): the picture's number, and the box."""
        level = self.map_levels([regions[:, 1:]])
        first = features[POOLED_LEVELS[0]]
        # `len` would fix the number of pictures while an export is traced, as it gives a plain int.
        count = regions.shape[0]
        result = first.new_zeros((count, first.shape[1], self.side, self.side))
        for number, name in enumerate(POOLED_LEVELS):
            here = torch.nonzero(level == number)[:, 0]
            part = pooled(features[name], regions[here], self.side, self.scales[number], self.rules)
            result[here] = part.to(result.dtype)
        return result


class SemanticPool(LevelPool):
    """The same with the box's semantic features added."""

    def regions(self, features: Features, regions: Tensor) -> Tensor:
        """As of the levels, which must have as many channels as the semantic features."""
        scale = self.scales[SEMANTIC_LEVEL]
        meant = pooled(features[SEMANTIC], regions, SEMANTIC_SIDE, scale, self.rules)
        of_levels = super().regions(features, regions)
        return of_levels + F.adaptive_avg_pool2d(meant, self.side).to(of_levels.dtype)


def pooled(level: Tensor, regions: Tensor, side: int, scale: float, rules: Conventions) -> Tensor:
    """Features (N, C, side, side) of regions (N, 5) in a level (B, C, H, W) of this scale."""
    result: Tensor = roi_align(level, regions, side, scale, rules.samples, rules.aligned)
    return result
