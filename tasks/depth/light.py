"""A light decoder: the pyramid brought to one width and added up from the coarse to the fine."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid


class LightDecoder(nn.Module):
    """Depth at half of the picture's size, from all five features.

    Each stage's features go through a 1x1 convolution, the coarser sum is resized and added, and a
    3x3 convolution with BatchNorm smooths it. What comes out is a logarithm between the logarithms
    of the least and the greatest depth, so that near and far errors weigh alike.

    Args:
        channels: of the trunk.
        width: of the decoder.
        limits: least and greatest depth in metres.
    """

    multiple = 1
    """Sides of the input need be no multiple of anything."""

    def __init__(self, channels: Pyramid[int], width: int, limits: tuple[float, float]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(count, width, 1) for count in channels])
        self.smooth = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                )
                for _ in channels
            ]
        )
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        least, greatest = torch.tensor(limits, dtype=torch.float64).log().tolist()
        self.least, self.span = least, greatest - least

    def forward(self, pyramid: Pyramid[Tensor], size: tuple[int, int]) -> Tensor:
        """Depth (B, 1, h, w) in metres of the trunk's features, in the size of `c1`."""
        sums: Tensor | None = None
        for lateral, smooth, features in zip(
            reversed(self.lateral), reversed(self.smooth), reversed(pyramid), strict=True
        ):
            own = lateral(features)
            if sums is not None:
                own = own + F.interpolate(
                    sums, size=own.shape[-2:], mode="bilinear", align_corners=False
                )
            sums = smooth(own)
        logits: Tensor = self.last(sums)
        return torch.exp(self.least + self.span * logits.float().sigmoid())
