"""Layers that several tasks put around a backbone."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


def pad_to_multiple(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Inputs (B, C, h, w) whose sides are multiples and at least so long.

    Zeros are added at the right and below; of normalised pictures they are the mean colour.
    """
    height, width = x.shape[-2:]
    # Of numbers above 0: of others, whole division means another thing in ONNX.
    down, across = (
        max(least, (side + multiple - 1) // multiple * multiple) - side for side in (height, width)
    )
    return F.pad(x, (0, across, 0, down))


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d that is a fixed affine map: its statistics stay, and its weights do not learn.

    Its state dict has the keys of the layer that it replaces.
    """

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.load_state_dict(layer.state_dict())
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


def freeze_batchnorm(module: nn.Module) -> None:
    """Replace every BatchNorm2d within a module by a frozen one, as tiny batches need."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, FrozenBatchNorm2d(child))
