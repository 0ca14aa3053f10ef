"""FCA-Net: clicks enter before the trunk, and a branch of its own attends to the first one.

Lin, Zhang, Chen, Cheng, Lu: "Interactive Image Segmentation with First Click Attention", CVPR 2020.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backbone.trunk import Pyramid, Trunk
from tasks.interactive.parts import Maps, bump, normed, resize

ALL_CLICKS, FIRST_CLICK = 10.0, 30.0
"""Full width at half maximum, in pixels, of the Gaussians that clicks are shown as."""
_SIDE = 48
"""Channels of the early features in the decoder, of 256 in all."""


class FCAHead(nn.Module):
    """From features at strides 4 and 16, and the first click, to a mask.

    Args:
        early: channels of the trunk's features at stride 4.
        deep: channels of those at stride 16.
        channels: its width; 256 as published.
        rates: dilations of its pyramid.
    """

    def __init__(self, early: int, deep: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.first = FirstClick(early, channels)
        self.pyramid = DilatedPyramid(deep + 2 * channels, channels, rates)
        self.decoder = Decoder(early, channels)
        self.predictor = predictor(channels, channels // 2)
        self.first_predictor = predictor(2 * channels, channels)

    def forward(self, early: Tensor, deep: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 1, h, w) at stride 4, and the first branch's features at stride 16.

        Args:
            early: features (B, early, h, w) at stride 4.
            deep: features (B, deep, ..) at stride 16.
            first: (B, 1, H, W), the first click's Gaussian.
        """
        attended = self.first(early, first)
        x = self.pyramid(torch.cat([attended, deep], dim=1))
        logits: Tensor = self.predictor(self.decoder(early, x))
        return logits, attended


class FirstClick(nn.Module):
    """Brings early features with the first click to stride 16."""

    def __init__(self, early: int, channels: int) -> None:
        super().__init__()
        widths = [channels] * 3 + [2 * channels] * 3
        inputs = [early + 1, *widths[:-1]]
        self.convs = nn.ModuleList(
            nn.Sequential(
                *normed(inputs[place], widths[place], 3, stride=2 if place in (0, 3) else 1)
            )
            for place in range(6)
        )

    def forward(self, early: Tensor, first: Tensor) -> Tensor:
        """Features (B, 2 * channels, h / 4, w / 4) of early ones (B, early, h, w)."""
        shrunk = resize(first, early.shape[2:], align_corners=True)
        x = torch.cat([early, shrunk], dim=1)
        for layer in self.convs:
            x = layer(x)
        return x


class DilatedPyramid(nn.Module):
    """Convolutions of several dilations side by side, and a global average (Chen et al., 2017)."""

    def __init__(self, in_channels: int, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*normed(in_channels, channels, 3 if rate else 1, dilation=rate or 1))
            for rate in (0, *rates)
        )
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), *normed(in_channels, channels, 1))
        self.merge = nn.Sequential(*normed((2 + len(rates)) * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) to (B, channels, h, w)."""
        found = [branch(x) for branch in self.branches]
        found.append(self.whole(x).expand_as(found[0]))
        merged: Tensor = self.merge(torch.cat(found, dim=1))
        return merged


class Decoder(nn.Module):
    """Joins deep features to early ones."""

    def __init__(self, early: int, channels: int) -> None:
        super().__init__()
        side = max(8, _SIDE * channels // 256)
        self.side = nn.Sequential(*normed(early, side, 1))
        self.merge = nn.Sequential(
            *normed(channels + side, channels, 3), *normed(channels, channels, 3)
        )

    def forward(self, early: Tensor, deep: Tensor) -> Tensor:
        """(B, early, h, w) and (B, channels, h / 4, w / 4) to (B, channels, h, w)."""
        raised = resize(deep, early.shape[2:], align_corners=True)
        merged: Tensor = self.merge(torch.cat([raised, self.side(early)], dim=1))
        return merged


def predictor(in_channels: int, channels: int) -> nn.Sequential:
    """Two convolutions and a logit."""
    return nn.Sequential(
        *normed(in_channels, channels, 3),
        *normed(channels, channels, 3),
        nn.Conv2d(channels, 1, 1),
    )


class FCANet(nn.Module):
    """A picture with clicks in, a mask out; the whole of it works for every click.

    Args:
        backbone: takes five channels: colours of 0..1, and all positive and negative clicks.
        head: takes its features.
    """

    late = False
    """Whether the trunk's features are the same for all clicks."""

    def __init__(self, backbone: Trunk, head: FCAHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def encode(self, images: Tensor) -> Tensor:
        """What all clicks have in common: pictures (B, 3, H, W) of 0..255 as 0..1."""
        return images.to(next(self.parameters()).dtype) / 255

    def decode(self, encoded: Tensor, hints: Tensor) -> Maps:
        """Logits for clicks.

        Args:
            encoded: as `encode` gives it.
            hints: (B, 3, H, W), pixels from the nearest positive, from the nearest negative, and
                from the first click.
        """
        clicks, first = hints[:, :2], hints[:, 2:]
        x = torch.cat([encoded, bump(clicks, ALL_CLICKS)], dim=1)
        features: Pyramid[Tensor] = self.backbone(x)
        logits, attended = self.head(features.c2, features.c5, bump(first, FIRST_CLICK))
        mask = resize(logits, hints.shape[2:], align_corners=True)
        if not self.training:
            return Maps(mask)
        alone = self.head.first_predictor(attended)
        return Maps(mask, resize(alone, hints.shape[2:], align_corners=True))

    def forward(self, inputs: Tensor) -> Maps:
        """Logits for inputs (B, 6, H, W): pictures of 0..255, and hints as `decode` says."""
        return self.decode(self.encode(inputs[:, :3]), inputs[:, 3:])
