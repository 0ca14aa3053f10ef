"""Layers that several tasks put around a backbone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Pictures (B, 3, H, W) of 0..255, bytes or floats, to floats (x / 255 - mean) / std.

    Mean and std belong to channel positions, not to colours: published pose weights apply the red
    mean to the blue channel. The constants are not part of the state dict.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W)."""
        return (images.to(self.mean.dtype) - self.mean) / self.std
