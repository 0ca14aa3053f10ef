"""A network whose trunk sees the picture once: clicks and the previous mask enter behind it.

What a click costs is a small hourglass on the features that are kept. Besides where clicks are, it
is told how like the clicked places every place looks.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid, Trunk
from tasks.interactive.parts import Maps, bump, normed, resize

_NARROW, _WIDE = 10.0, 40.0
"""Full widths at half maximum, in pixels, of the Gaussians that clicks are shown as."""
_PLANES = 7
"""Two Gaussians and the likeness of each kind of click, and the previous mask."""
_FINE = 8
"""Channels at stride 2."""
_TINY = 1e-6


class Encoded(NamedTuple):
    """What is kept of pictures while they are clicked on."""

    fine: Tensor
    """(B, FINE, H / 2, W / 2)"""
    levels: tuple[Tensor, ...]
    """(B, C, h, w) at strides 4, 8, 16 and 32."""
    looks: Tensor
    """(B, C, places) of stride 4, of length 1 at each: what likeness is judged by."""


class Neck(nn.Module):
    """Brings a trunk's features to one width, and the coarse ones to the finer ones."""

    def __init__(self, channels: Pyramid[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(one, width, 1) for one in channels[1:])
        self.smooth = nn.Sequential(*normed(width, width, 3))
        self.look = nn.Conv2d(width, width, 1)
        self.fine = nn.Sequential(*normed(channels.c1, _FINE, 1))

    def forward(self, features: Pyramid[Tensor]) -> Encoded:
        """What is kept of the features."""
        levels = [layer(one) for layer, one in zip(self.lateral, features[1:], strict=True)]
        for place in range(len(levels) - 2, -1, -1):
            levels[place] = levels[place] + resize(levels[place + 1], levels[place].shape[2:])
        levels[0] = self.smooth(levels[0])
        looks = F.normalize(self.look(levels[0]), dim=1).flatten(2).contiguous()
        return Encoded(self.fine(features.c1), tuple(levels), looks)


class ClickHead(nn.Module):
    """Clicks and what is kept of a picture to a mask: what is computed anew for each click."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(*normed(_PLANES, width, 3))
        self.down = nn.ModuleList(
            nn.Sequential(*normed(width, width, 3, stride=2), *normed(width, width, 3))
            for _ in range(3)
        )
        self.whole = nn.Conv2d(width, width, 1)
        self.up = nn.ModuleList(nn.Sequential(*normed(width, width, 3)) for _ in range(3))
        self.narrow = nn.Conv2d(width, _FINE, 1)
        self.last = nn.Sequential(*normed(_FINE, _FINE, 3), nn.Conv2d(_FINE, 1, 3, padding=1))

    def forward(self, encoded: Encoded, hints: Tensor) -> Tensor:
        """Logits (B, 1, H / 2, W / 2); hints (B, 3, H, W) as `LateNet.decode` says."""
        # Each plane by itself: three beside each other take seven times as long.
        flat = resize(hints.flatten(0, 1)[:, None], encoded.levels[0].shape[2:])
        small = flat.view(-1, 3, *flat.shape[2:])
        x = self.enter(planes(encoded.looks, small)) + encoded.levels[0]
        steps = [x]
        for layer, level in zip(self.down, encoded.levels[1:], strict=True):
            steps.append(layer(steps[-1]) + level)
        x = steps[-1] + self.whole(steps[-1].mean((2, 3), keepdim=True))
        for layer, step in zip(self.up, reversed(steps[:-1]), strict=True):
            x = layer(step + resize(x, step.shape[2:]))
        raised = resize(self.narrow(x), encoded.fine.shape[2:])
        logits: Tensor = self.last(raised + encoded.fine)
        return logits


def planes(looks: Tensor, hints: Tensor) -> Tensor:
    """What the head is told of clicks, (B, PLANES, h, w), from looks (B, C, h w) and hints."""
    clicks = hints[:, :2]
    narrow = bump(clicks, _NARROW)
    # The mean look of the places that were clicked, of each kind.
    flat = narrow.flatten(2)
    means = flat @ looks.transpose(1, 2) / (flat.sum(dim=2, keepdim=True) + _TINY)
    likeness = (means @ looks).view(narrow.shape)
    return torch.cat([narrow, bump(clicks, _WIDE), likeness, hints[:, 2:]], dim=1)


class LateNet(nn.Module):
    """A picture in, and any number of times clicks in and a mask out.

    Args:
        backbone: takes normalised pictures.
        neck: takes its features.
        head: takes what the neck keeps, and hints.
        normalize: takes pictures (B, 3, H, W) of 0..255.
    """

    late = True
    """Whether the trunk's features are the same for all clicks."""

    def __init__(self, backbone: Trunk, neck: Neck, head: ClickHead, normalize: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = backbone, neck, head
        self.normalize = normalize

    def encode(self, images: Tensor) -> Encoded:
        """What is kept of pictures (B, 3, H, W), RGB, 0..255, of any size."""
        return self.keep(self.backbone(self.normalize(images)))

    def keep(self, features: Pyramid[Tensor]) -> Encoded:
        """What is kept of the trunk's features."""
        kept: Encoded = self.neck(features)
        return kept

    def decode(self, encoded: Encoded, hints: Tensor) -> Maps:
        """Logits for clicks.

        Args:
            encoded: as `encode` gives it.
            hints: (B, 3, H, W), pixels from the nearest positive and from the nearest negative
                click, and the previous mask, 0..1.
        """
        return Maps(resize(self.head(encoded, hints), hints.shape[2:]))

    def forward(self, inputs: Tensor) -> Maps:
        """Logits for inputs (B, 6, H, W): pictures of 0..255, and hints as `decode` says."""
        return self.decode(self.encode(inputs[:, :3]), inputs[:, 3:])
