"""InSPyReNet: a coarse map, made finer step by step by Laplacian maps.

Kim, Kim, Lee, Heo, Kim: "Revisiting Image Pyramid Structure for High Resolution Salient Object
Detection", ACCV 2022. At the size it was trained for, without the blending of two sizes. The
paper's loss is the structure loss of each map at its own size, and a small one of their agreement;
here maps are brought to the input's size, and the small one is left out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid
from tasks.salient.networks.parts import Head, Maps, Normed, narrowed, resize
from tasks.salient.networks.receptive import ReceptiveField

CHANNELS = 64
"""Channels of all features, as published."""
BASE = 384
"""Pixels a side of the input at whose scale the attention reads features, as published."""


class LineAttention(nn.Module):
    """Attention among the positions of one axis, added by a factor that is learnt from 0.

    Features are read in memory's order, in rows of the axis's length, as published; so both axes of
    a square look along rows.

    Args:
        channels: of the features.
        axis: 2 for the height, 3 for the width.
    """

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.query = Normed(channels, channels // 8, 1)
        self.key = Normed(channels, channels // 8, 1)
        self.value = Normed(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, channels, h, w) that have looked along the axis."""
        batch, length = features.shape[0], features.shape[self.axis]
        lines = features.shape[5 - self.axis]
        # The size in full: what -1 stands for is a division, of which export makes long formulas.
        query, key, value = (
            found.reshape(batch, found.shape[1] * lines, length)
            for found in (self.query(features), self.key(features), self.value(features))
        )
        weights = (query.transpose(1, 2) @ key).softmax(dim=-1)
        found = (value @ weights.transpose(1, 2)).reshape(features.shape)
        added: Tensor = self.gamma * found + features
        return added


class BothAxes(nn.Module):
    """Attention along the height plus attention along the width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = LineAttention(channels, 2)
        self.across = LineAttention(channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h, w), twice as large as what comes in."""
        both: Tensor = self.down(features) + self.across(features)
        return both


class Decoder(nn.Module):
    """Features and the coarse map from the last three stages."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = Normed(3 * channels, channels, 3)
        self.attend = BothAxes(channels)
        self.convs = nn.Sequential(*(Normed(channels, channels, 3) for _ in range(3)))
        self.score = nn.Conv2d(channels, 1, 3, padding=1, bias=False)

    def forward(self, deep: Tensor, middle: Tensor, shallow: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, channels, h, w) and logits (B, 1, h, w) at the shallow stage's size."""
        size = shallow.shape[2:]
        stacked = torch.cat([resize(deep, size), resize(middle, size), shallow], dim=1)
        features = self.convs(self.attend(self.reduce(stacked)))
        return features, self.score(features)


class ScaleAttention(nn.Module):
    """Features that look at the means of what is object, background and neither.

    The scale-invariant context attention of the paper.

    Args:
        in_channels: of the features.
        channels: of what comes out.
        side: to which features are brought before their means are taken.
        laplacian: whether a Laplacian map comes in beside the map.
    """

    def __init__(self, in_channels: int, channels: int, side: int, *, laplacian: bool) -> None:
        super().__init__()
        self.side = side
        self.query = _two(in_channels, channels, 3)
        self.key = _two(in_channels, channels, 1)
        self.value = _two(in_channels, channels, 1)
        self.looked = Normed(channels, channels, 3, relu=True)
        self.merge = nn.Sequential(
            Normed(in_channels + channels, channels, 3, relu=True),
            Normed(channels, channels, 3, relu=True),
        )
        self.score = Normed(channels, 1, 1)
        self.threshold = nn.Parameter(torch.tensor([0.5]))
        self.laplacian_threshold = nn.Parameter(torch.tensor([0.5])) if laplacian else None

    def forward(
        self, features: Tensor, saliency: Tensor, laplacian: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features (B, channels, h, w) and the logits (B, 1, h, w) of a Laplacian map.

        Args:
            features: (B, in_channels, h, w).
            saliency: logits (B, 1, ...) of the coarser map.
            laplacian: logits (B, 1, ...) of the coarser Laplacian map.
        """
        base = self.side, self.side
        regions = resize(self._regions(features, saliency, laplacian), base, align_corners=False)
        seen = resize(features, base, align_corners=False)
        # Row by row as pixels and channels, without a transposition, as published. The batch is not
        # len(seen), which export takes for a constant.
        read = seen.reshape(seen.shape[0], self.side**2, -1)
        means = (regions.flatten(2) @ read).transpose(1, 2)[..., None]
        query, key, value = (
            part.flatten(2) for part in (self.query(features), self.key(means), self.value(means))
        )
        weights = (query.transpose(1, 2) @ key * query.shape[1] ** -0.5).softmax(dim=-1)
        context = (value @ weights.transpose(1, 2)).unflatten(2, features.shape[2:])
        merged = self.merge(torch.cat([features, self.looked(context)], dim=1))
        return merged, self.score(merged)

    def _regions(self, features: Tensor, saliency: Tensor, laplacian: Tensor | None) -> Tensor:
        """How much each place (B, 3 or 5, h, w) is object, background, neither, and the edges'."""
        size = features.shape[2:]
        above = resize(saliency, size, align_corners=False).sigmoid() - self.threshold
        parts = [above.clamp(0, 1), (-above).clamp(0, 1), self.threshold - above.abs()]
        if laplacian is not None and self.laplacian_threshold is not None:
            edge = resize(laplacian, size, align_corners=False).sigmoid() - self.laplacian_threshold
            parts += [edge.clamp(0, 1), (-edge).clamp(0, 1)]
        return torch.cat(parts, dim=1)


class Enlarge(nn.Module):
    """A map at twice its size, to which a Laplacian map adds what is fine (Burt, Adelson, 1983)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        steps = torch.arange(-3, 4, dtype=torch.float64)
        line = torch.exp(-(steps**2) / 2)
        line = line / line.sum()
        # Three of four values are zeros, which the factor makes up for.
        kernel = 4 * torch.outer(line, line)
        self.register_buffer("kernel", kernel.float()[None, None], persistent=False)

    def forward(self, coarse: Tensor, laplacian: Tensor) -> Tensor:
        """Logits (B, 1, 2h, 2w) from (B, 1, h, w) and a Laplacian map (B, 1, ...)."""
        spread = F.pixel_shuffle(F.pad(coarse, (0, 0, 0, 0, 0, 3)), 2)
        smooth = F.conv2d(F.pad(spread, (3, 3, 3, 3), mode="reflect"), self.kernel)
        return smooth + resize(laplacian, smooth.shape[2:])


class InSPyReNetHead(Head):
    """Contexts of all stages, a coarse map of the last three, and three steps of refinement.

    Args:
        in_channels: of the backbone's stem and stages.
        width: factor on the published channels.
    """

    def __init__(self, in_channels: Pyramid[int], width: float = 1.0) -> None:
        super().__init__()
        channels = narrowed(CHANNELS, width)
        self.context = nn.ModuleList(
            ReceptiveField(count, channels, BothAxes) for count in in_channels
        )
        self.decoder = Decoder(channels)
        self.attention = nn.ModuleList(
            [
                ScaleAttention(channels, channels, BASE, laplacian=True),
                ScaleAttention(2 * channels, channels, BASE // 2, laplacian=True),
                ScaleAttention(2 * channels, channels, BASE // 4, laplacian=False),
            ]
        )
        self.enlarge = Enlarge()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, features: Pyramid[Tensor]) -> Maps:
        """Maps at strides 8, 4, 2 and 1 (the result)."""
        maps, _ = self.pyramids(features)
        *sides, result = maps
        return Maps(result, tuple(sides))

    def pyramids(self, features: Pyramid[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The logits of the four maps, and of the Laplacian maps of the three steps.

        A step does not teach the coarser map that it starts from, as published.
        """
        height, width = features.c1.shape[2:]
        # The stem as the first stage sees it.
        stages = [F.max_pool2d(features.c1, 3, 2, padding=1), *features[1:]]
        contexts = [layer(stage) for layer, stage in zip(self.context, stages, strict=True)]
        found, coarse = self.decoder(*reversed(contexts[2:]))
        maps: list[Tensor] = [coarse]
        laplacians: list[Tensor] = []
        sizes = contexts[1].shape[2:], (height, width), (2 * height, 2 * width)
        beside = contexts[1], contexts[0], None
        for step, size, context in zip(reversed(self.attention), sizes, beside, strict=True):
            found = resize(found, size, align_corners=False)
            if context is not None:
                seen = resize(context, size, align_corners=False)
                found = torch.cat([seen, found], dim=1)
            coarser, fine = maps[-1].detach(), laplacians[-1].detach() if laplacians else None
            found, laplacian = step(found, coarser, fine)
            maps.append(self.enlarge(coarser, laplacian))
            laplacians.append(laplacian)
        return maps, laplacians


def _two(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    """Two convolutions with BatchNorm and ReLU."""
    return nn.Sequential(
        Normed(in_channels, channels, kernel, relu=True),
        Normed(channels, channels, kernel, relu=True),
    )
