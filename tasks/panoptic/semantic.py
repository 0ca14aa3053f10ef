"""The semantic head of Panoptic FPN: all levels of the pyramid, brought to a quarter of the input.

Kirillov, Girshick, He and Dollár, "Panoptic Feature Pyramid Networks", CVPR 2019, section 3.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.panoptic.config import GROUPS

LEVELS = ("0", "1", "2", "3")
"""The pyramid's levels that it takes, of strides 4, 8, 16 and 32."""


class Upwards(nn.Sequential):
    """A level brought to stride 4: a convolution for each doubling, and one at least.

    Args:
        channels: of the level.
        width: of the head.
        doublings: how often the level is doubled.
    """

    def __init__(self, channels: int, width: int, doublings: int) -> None:
        layers: list[nn.Module] = []
        for step in range(max(1, doublings)):
            layers.append(_layer(channels if step == 0 else width, width))
            if doublings:
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        super().__init__(*layers)


class SemanticHead(nn.Module):
    """What each place shows: 0 for things of all kinds, then the classes of stuff.

    Args:
        channels: of the levels.
        width: of the head, a multiple of 32.
        classes: of stuff, and one for all things.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            Upwards(channels, width, doublings) for doublings in range(len(LEVELS))
        )
        self.predictor = nn.Conv2d(width, classes, 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, levels: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, classes, h, w) at stride 4, of the pyramid's levels."""
        parts = [up(levels[name]) for up, name in zip(self.levels, LEVELS, strict=True)]
        logits: Tensor = self.predictor(sum(parts[1:], parts[0]))
        return logits


def _layer(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, after), nn.ReLU())
