"""PraNet, Inf-Net and SINet-V2: a coarse map of deep features, refined where it says nothing.

- Fan et al.: "PraNet: Parallel Reverse Attention Network for Polyp Segmentation", MICCAI 2020.
- Fan et al.: "Inf-Net: Automatic COVID-19 Lung Infection Segmentation from CT Images", TMI 2020.
- Fan, Ji, Cheng, Shao: "Concealed Object Detection", TPAMI 2021 (SINet-V2).

A map guides the next finer step: its reversal, 1 - sigmoid, shows what has not been found yet.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid
from tasks.salient.networks.parts import Head, Maps, Normed, narrowed, resize
from tasks.salient.networks.receptive import PartialDecoder, ReceptiveField

CHANNELS = 32
"""Channels of the reduced features, as published."""
CONTOUR_CHANNELS = 64
"""Channels of Inf-Net's features of outlines, as published."""
GROUPS = (1, 4, 32)
"""Groups of channels between which SINet-V2 puts the guide, as published for 32 channels."""


class ReverseBranch(nn.ModuleList):
    """What a stage's features, cleared of what is found, say of the rest.

    Args:
        in_channels: of the stage.
        channels: of the branch.
        kernel: of the inner convolutions.
        depth: number of these.
        last_kernel: of the convolution to the single channel.
        contour_channels: of the features of outlines that come in; 0 without.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        depth: int,
        last_kernel: int,
        contour_channels: int,
    ) -> None:
        inner = [Normed(channels, channels, kernel) for _ in range(depth - 1)]
        super().__init__(
            [
                Normed(in_channels, channels, 1),
                Normed(channels + contour_channels, channels, kernel),
                *inner,
                Normed(channels, 1, last_kernel),
            ]
        )

    def forward(self, features: Tensor, guide: Tensor, contours: Tensor | None) -> Tensor:
        """Logits (B, 1, h, w) that are added to those of the guide.

        Args:
            features: (B, in_channels, h, w) of the stage.
            guide: (B, 1, h, w) logits.
            contours: (B, contour_channels, H, W), if the branch takes them.
        """
        reduce, *inner, score = self
        found: Tensor = reduce(features * (1 - guide.sigmoid()))
        if contours is not None:
            seen = resize(contours, found.shape[2:], align_corners=False)
            found = torch.cat([found, seen], dim=1)
        for layer in inner:
            found = F.relu(layer(found))
        logits: Tensor = score(found)
        return logits


class ContourBranch(nn.ModuleList):
    """Features of outlines from the first stage, and their score."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            [
                Normed(in_channels, channels, 1),
                Normed(channels, channels, 3),
                Normed(channels, channels, 3),
                Normed(channels, 1, 3),
            ]
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, channels, h, w) and logits (B, 1, h, w)."""
        *layers, score = self
        for layer in layers:
            features = layer(features)
        return features, score(features)


class ReverseAttentionHead(Head):
    """PraNet; with outlines, Inf-Net.

    Args:
        in_channels: of the backbone's stem and stages.
        width: factor on the published channels.
        contours: whether outlines are found and looked at.
    """

    def __init__(
        self, in_channels: Pyramid[int], width: float = 1.0, *, contours: bool = False
    ) -> None:
        super().__init__()
        reduced = narrowed(CHANNELS, width)
        self.receptive, self.decoder = _decoded(in_channels, reduced, neighbour=False)
        outline = narrowed(CONTOUR_CHANNELS, width)
        self.contour = ContourBranch(in_channels.c2, outline) if contours else None
        extra = outline if contours else 0
        deep, shallow = narrowed(256, width), narrowed(64, width)
        self.reverse = nn.ModuleList(
            [
                ReverseBranch(in_channels.c5, deep, 5, 3, 1, extra),
                ReverseBranch(in_channels.c4, shallow, 3, 2, 3, extra),
                ReverseBranch(in_channels.c3, shallow, 3, 2, 3, extra),
            ]
        )

    def forward(self, features: Pyramid[Tensor]) -> Maps:
        """Maps at strides 8 (the decoder's), 32, 16 and 8 (the result)."""
        stages = features.c3, features.c4, features.c5
        outlines = logits = None
        if self.contour is not None:
            outlines, logits = self.contour(features.c2)
        reduced = [layer(stage) for layer, stage in zip(self.receptive, stages, strict=True)]
        maps = [self.decoder(*reversed(reduced))]
        # Back up from the deepest stage, with the features as the backbone gives them.
        for branch, stage in zip(self.reverse, reversed(stages), strict=True):
            guide = resize(maps[-1], stage.shape[2:], align_corners=False)
            maps.append(guide + branch(stage, guide, outlines))
        *sides, result = maps
        return Maps(result, tuple(sides), logits)


class GroupReversal(nn.Module):
    """Features with the guide put behind each group of their channels.

    Args:
        channels: of the features.
        groups: into which they are divided.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.conv = nn.Conv2d(channels + groups, channels, 3, padding=1)
        self.score = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, features: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        """Refined features (B, channels, h, w) and guide (B, 1, h, w)."""
        parts = features.chunk(self.groups, dim=1)
        spliced = itertools.chain.from_iterable((part, guide) for part in parts)
        features = features + F.relu(self.conv(torch.cat(list(spliced), dim=1)))
        return features, guide + self.score(features)


class GroupReversalStage(nn.ModuleList):
    """Three reversals in a row, of ever smaller groups."""

    def __init__(self, channels: int) -> None:
        published = (max(1, channels * groups // CHANNELS) for groups in GROUPS)
        super().__init__(GroupReversal(channels, groups) for groups in published)

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        """Logits (B, 1, h, w) that are added to those of the guide."""
        reversed_guide = 1 - guide.sigmoid()
        for block in self:
            features, reversed_guide = block(features, reversed_guide)
        return reversed_guide


class GroupReversalHead(Head):
    """SINet-V2.

    Args:
        in_channels: of the backbone's stem and stages.
        width: factor on the published channels.
    """

    def __init__(self, in_channels: Pyramid[int], width: float = 1.0) -> None:
        super().__init__()
        channels = narrowed(CHANNELS, width)
        self.receptive, self.decoder = _decoded(in_channels, channels, neighbour=True)
        self.reverse = nn.ModuleList(GroupReversalStage(channels) for _ in range(3))

    def forward(self, features: Pyramid[Tensor]) -> Maps:
        """Maps at strides 8 (the decoder's), 32, 16 and 8 (the result)."""
        stages = features.c3, features.c4, features.c5
        reduced = [layer(stage) for layer, stage in zip(self.receptive, stages, strict=True)]
        reduced.reverse()
        maps = [self.decoder(*reduced)]
        for stage, seen in zip(self.reverse, reduced, strict=True):
            guide = resize(maps[-1], seen.shape[2:], align_corners=False)
            maps.append(guide + stage(seen, guide))
        *sides, result = maps
        return Maps(result, tuple(sides))


def _decoded(
    in_channels: Pyramid[int], channels: int, neighbour: bool
) -> tuple[nn.ModuleList, PartialDecoder]:
    """What makes the coarse map: reduced features of the three last stages, and their decoder."""
    deep = in_channels.c3, in_channels.c4, in_channels.c5
    receptive = nn.ModuleList(ReceptiveField(count, channels) for count in deep)
    return receptive, PartialDecoder(channels, neighbour)
