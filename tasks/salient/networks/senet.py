"""SENet of ModelScope: structure from an edge map, area from a coarse map, for cut-outs.

The network of the models `cv_res2net_salient-detection` and `cv_res2net_camouflaged-detection`. How
it was trained is not published: here all of its maps have the same loss, and outlines their own.
"""

import torch
from torch import Tensor, nn

from backbone.trunk import Pyramid
from tasks.salient.networks.parts import Head, Maps, Normed, narrowed, resize

DILATIONS = (2, 5, 7)
"""Of the context's 3x3 convolutions."""
CONTEXT_CHANNELS = 128
"""Channels of each branch of the context."""
CHANNELS = 256
"""Channels of the context, and of what the coarse map and the edge map are made of."""
GROUP = 128
"""Channels of a group that is looked at by itself."""


class Context(nn.Module):
    """Features seen in four widths and as a whole: (B, in_channels, h, w) to channels."""

    def __init__(self, in_channels: int, inner: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                Normed(in_channels, inner, 1, relu=True),
                *(Normed(in_channels, inner, 3, dilation=d, relu=True) for d in DILATIONS),
            ]
        )
        self.whole = Normed(in_channels, inner, 1, relu=True)
        self.fuse = Normed((2 + len(DILATIONS)) * inner, channels, 3, relu=True)

    def forward(self, features: Tensor) -> Tensor:
        """Merged features."""
        mean = self.whole(features.mean(dim=(2, 3), keepdim=True))
        seen = [branch(features) for branch in self.branches]
        fused: Tensor = self.fuse(torch.cat([*seen, mean.expand_as(seen[0])], dim=1))
        return fused


class Attention(nn.Module):
    """Channels weighed by their mean and maximum, then places by theirs (Woo et al., CBAM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 16)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 5, padding=2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Weighed features (B, channels, h, w)."""
        means = self.channel(features.mean(dim=(2, 3), keepdim=True))
        most = self.channel(features.amax(dim=(2, 3), keepdim=True))
        features = features * (means + most).sigmoid()
        mean, most = features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)
        weighed: Tensor = features * self.spatial(torch.cat([mean, most], dim=1)).sigmoid()
        return weighed


class Score(nn.Module):
    """A map from shallow and deep features, at the size of either.

    Args:
        low_channels: of the shallow features.
        high_channels: of the deep ones.
        channels: inside.
        shallow: whether the map has the size of the shallow features.
    """

    def __init__(
        self, low_channels: int, high_channels: int, channels: int, *, shallow: bool
    ) -> None:
        super().__init__()
        self.shallow = shallow
        self.low = _biased(low_channels, channels, 1)
        self.high = _biased(high_channels, channels, 1)
        self.body = nn.Sequential(
            *_biased(2 * channels, channels, 3),
            *_biased(channels, channels, 3),
            nn.Conv2d(channels, 1, 1),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Logits (B, 1, h, w)."""
        size = (low if self.shallow else high).shape[2:]
        both = [resize(self.low(low), size), resize(self.high(high), size)]
        logits: Tensor = self.body(torch.cat(both, dim=1))
        return logits


class EdgeGroup(nn.Module):
    """A group of channels beside an edge map, its places weighed by mean and maximum."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            Normed(in_channels + 1, channels, 3, relu=True),
            Normed(channels, channels, 1, relu=True),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1, momentum=0.01)
        )

    def forward(self, features: Tensor, edges: Tensor) -> Tensor:
        """Weighed features (B, channels, h, w)."""
        found: Tensor = self.convolve(torch.cat([features, edges], dim=1))
        most, mean = found.amax(dim=1, keepdim=True), found.mean(dim=1, keepdim=True)
        weighed: Tensor = found * self.spatial(torch.cat([most, mean], dim=1)).sigmoid()
        return weighed


def _groups(size: int, *channels: int) -> int:
    """How many equal groups the channels of each are cut into, of this size or above it."""
    most = min(channels[0] // size, *channels)
    return next(
        count for count in range(max(1, most), 0, -1) if not any(one % count for one in channels)
    )


class StructureEnhancement(nn.Module):
    """Features of a stage, group by group beside the edge map, merged.

    Args:
        in_channels: of the stage.
        channels: of the result.
        group: channels of the stage in a group.
    """

    def __init__(self, in_channels: int, channels: int, group: int) -> None:
        super().__init__()
        count = _groups(group, in_channels, channels)
        self.groups = nn.ModuleList(
            EdgeGroup(in_channels // count, channels // count) for _ in range(count)
        )
        self.body = nn.Sequential(
            Normed(channels, channels, 3, relu=True), Normed(channels, channels, 1, relu=True)
        )

    def forward(self, features: Tensor, edges: Tensor) -> Tensor:
        """Enhanced features (B, channels, h, w); edges are (B, 1, H, W) from 0 to 1."""
        edges = resize(edges, features.shape[2:], align_corners=False)
        parts = features.chunk(len(self.groups), dim=1)
        seen = [layer(part, edges) for layer, part in zip(self.groups, parts, strict=True)]
        enhanced: Tensor = self.body(torch.cat(seen, dim=1))
        return enhanced


class AreaFusion(nn.Module):
    """Deep features brought to shallow ones, each group seen within and without the coarse map.

    Args:
        in_channels: of the deep features.
        channels: of the shallow features and of the result.
        group: channels in a group.
    """

    def __init__(self, in_channels: int, channels: int, group: int) -> None:
        super().__init__()
        count = _groups(group, channels)
        each = channels // count
        self.reduce = Normed(in_channels, channels, 3, relu=True)
        self.groups = nn.ModuleList(Normed(2 * each, each, 1, relu=True) for _ in range(count))
        self.branches = nn.ModuleList(
            [
                Normed(channels, channels, 3, relu=True),
                _crossed(channels, 3),
                _crossed(channels, 5),
            ]
        )
        self.fuse = Normed(3 * channels, channels, 1, relu=True)

    def forward(self, shallow: Tensor, deep: Tensor, area: Tensor) -> Tensor:
        """Fused features (B, channels, h, w); `area` are the logits of the coarse map."""
        size = shallow.shape[2:]
        merged = resize(self.reduce(deep), size) + shallow
        inside = resize(area.sigmoid(), size)
        parts = merged.chunk(len(self.groups), dim=1)
        seen = [
            layer(torch.cat([part * inside, part * (1 - inside)], dim=1))
            for layer, part in zip(self.groups, parts, strict=True)
        ]
        whole = torch.cat(seen, dim=1)
        fused: Tensor = self.fuse(torch.cat([branch(whole) for branch in self.branches], dim=1))
        return fused


class SENetHead(Head):
    """A coarse map and an edge map of the deep features, which lead the way to the result.

    Args:
        in_channels: of the backbone's stem and stages.
        width: factor on the published channels.
    """

    def __init__(self, in_channels: Pyramid[int], width: float = 1.0) -> None:
        super().__init__()
        inner, channels = narrowed(CONTEXT_CHANNELS, width), narrowed(CHANNELS, width)
        group, fine = narrowed(GROUP, width), narrowed(CHANNELS // 2, width)
        deep = in_channels.c4, in_channels.c5
        self.context = nn.ModuleList(Context(count, inner, channels) for count in deep)
        self.attention = nn.ModuleList(Attention(channels) for _ in deep)
        self.merge = Normed(2 * channels, 2 * channels, 1, relu=True)
        self.contour = Score(in_channels.c2, 2 * channels, channels, shallow=True)
        self.area = Score(in_channels.c2, 2 * channels, channels, shallow=False)
        self.enhance = nn.ModuleList(
            [
                StructureEnhancement(in_channels.c2, fine, group),
                StructureEnhancement(in_channels.c3, channels, group),
            ]
        )
        self.decoder = nn.ModuleList(
            [AreaFusion(2 * channels, channels, group), AreaFusion(channels, fine, group)]
        )
        self.scores = nn.ModuleList([nn.Conv2d(channels, 1, 1), nn.Conv2d(fine, 1, 1)])

    def forward(self, features: Pyramid[Tensor]) -> Maps:
        """Maps at strides 16, 8 and 4 (the result), and outlines at stride 4."""
        middle, deep = (
            attend(context(stage))
            for context, attend, stage in zip(
                self.context, self.attention, features[3:], strict=True
            )
        )
        deep = resize(deep, middle.shape[2:], align_corners=False)
        merged = self.merge(torch.cat([deep, middle], dim=1))
        contour, area = self.contour(features.c2, merged), self.area(features.c2, merged)
        edges = contour.sigmoid()
        fused = self.decoder[0](self.enhance[1](features.c3, edges), merged, area)
        coarse = self.scores[0](fused)
        fused = self.decoder[1](self.enhance[0](features.c2, edges), fused, coarse)
        return Maps(self.scores[1](fused), (area, coarse), contour)


def _biased(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    """A convolution with bias that keeps the size, BatchNorm and ReLU."""
    convolve = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2)
    return nn.Sequential(convolve, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _crossed(channels: int, side: int) -> nn.Sequential:
    """A column and a row of so many pixels, one after the other."""
    return nn.Sequential(
        Normed(channels, channels, (side, 1), relu=True),
        Normed(channels, channels, (1, side), relu=True),
    )
