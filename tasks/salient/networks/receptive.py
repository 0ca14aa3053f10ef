"""Receptive field blocks, and the decoder of the last three stages that follows them.

Liu, Huang, Wang: "Receptive Field Block Net", ECCV 2018; Wu, Su, Huang: "Cascaded Partial Decoder",
CVPR 2019, both in the form that PraNet gave them. Convolutions have BatchNorm and no ReLU, but
where the branches of a block meet.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.salient.networks.parts import Normed, resize

SIDES = (3, 5, 7)
"""Sides of what the branches look at; also their dilations."""


class ReceptiveField(nn.Module):
    """Features seen in four widths: (B, in_channels, h, w) to (B, channels, h, w).

    Args:
        in_channels: of the features.
        channels: of the result.
        attend: makes a layer of so many channels, which looks around before the dilated
            convolution; none leaves it out.
    """

    def __init__(
        self, in_channels: int, channels: int, attend: Callable[[int], nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(Normed(in_channels, channels, 1))])
        for side in SIDES:
            layers: list[nn.Module] = [
                Normed(in_channels, channels, 1),
                Normed(channels, channels, (1, side)),
                Normed(channels, channels, (side, 1)),
            ]
            layers += [attend(channels)] if attend else []
            layers.append(Normed(channels, channels, 3, dilation=side))
            self.branches.append(nn.Sequential(*layers))
        self.merge = Normed((1 + len(SIDES)) * channels, channels, 3)
        self.shortcut = Normed(in_channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Merged features."""
        seen = torch.cat([branch(features) for branch in self.branches], dim=1)
        return F.relu(self.merge(seen) + self.shortcut(features))


class PartialDecoder(nn.Module):
    """A coarse map from the last three stages; each is weighed by the deeper ones.

    Args:
        channels: of the features of each stage.
        neighbour: whether the shallowest stage is weighed by the middle one as that was weighed
            (SINet-V2), instead of by the deepest itself.
    """

    def __init__(self, channels: int, neighbour: bool) -> None:
        super().__init__()
        self.neighbour = neighbour
        self.weigh = nn.ModuleList(Normed(channels, channels, 3) for _ in range(3))
        self.raise_deep = Normed(channels, channels, 3)
        self.raise_middle = Normed(2 * channels, 2 * channels, 3)
        self.merge_middle = Normed(2 * channels, 2 * channels, 3)
        self.merge_shallow = Normed(3 * channels, 3 * channels, 3)
        self.last = Normed(3 * channels, 3 * channels, 3)
        self.score = nn.Conv2d(3 * channels, 1, 1)

    def forward(self, deep: Tensor, middle: Tensor, shallow: Tensor) -> Tensor:
        """Logits (B, 1, h, w) at the shallow features' size; all (B, channels, ...)."""
        raised, size = resize(deep, middle.shape[2:]), shallow.shape[2:]
        weighed = self.weigh[0](raised) * middle
        nearest = weighed if self.neighbour else raised
        product = self.weigh[1](resize(nearest, size)) * self.weigh[2](resize(middle, size))
        merged = self.merge_middle(torch.cat([weighed, self.raise_deep(raised)], dim=1))
        merged = self.raise_middle(resize(merged, size))
        merged = self.merge_shallow(torch.cat([product * shallow, merged], dim=1))
        logits: Tensor = self.score(self.last(merged))
        return logits
