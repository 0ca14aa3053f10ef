"""Anchors at every place of a pyramid."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

RATIOS = (0.5, 1.0, 2.0)
"""Heights over widths of the anchors."""


class Anchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """torchvision's anchors, always in full precision.

    It makes them in that of the features; in bfloat16 they would be up to 7 pixels off in a picture
    of 1333.

    Args:
        sizes: sides in pixels of the anchors of each level.
        ratios: heights over widths of those of each level.
        rounded: whether the corners of their shapes are rounded to whole pixels.
        strides: of each level; None divides the input's sides by the level's, as torchvision does.
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[int]],
        ratios: Sequence[Sequence[float]],
        *,
        rounded: bool = True,
        strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__(sizes, ratios)
        self.strides = strides
        if not rounded:
            self.cell_anchors = [_shapes(*level) for level in zip(sizes, ratios, strict=True)]

    def set_cell_anchors(self, _: torch.dtype, device: torch.device) -> None:
        """Put the shapes where the features are."""
        super().set_cell_anchors(torch.float32, device)

    def forward(self, images: ImageList, levels: list[Tensor]) -> list[Tensor]:
        """Anchors (places, 4) of all levels, for each picture."""
        anchors = torch.cat(self.of_levels(images.tensors, levels))
        return [anchors for _ in images.image_sizes]

    def of_levels(self, x: Tensor, levels: list[Tensor]) -> list[Tensor]:
        """Anchors (places, 4) of each level of an input (B, 3, H, W)."""
        self.set_cell_anchors(torch.float32, levels[0].device)
        sizes = [level.shape[-2:] for level in levels]
        strides = [(x.shape[-2] // height, x.shape[-1] // width) for height, width in sizes]
        if self.strides is not None:
            strides = [(stride, stride) for stride in self.strides]
        anchors: list[Tensor] = self.grid_anchors(sizes, strides)
        return anchors


def _shapes(sides: Sequence[int], ratios: Sequence[float]) -> Tensor:
    """Anchors (shapes, 4) around 0 of a level, the first ratio's first."""
    side, ratio = torch.tensor(sides, dtype=torch.float32), torch.tensor(ratios).sqrt()
    widths, heights = (side / ratio[:, None]).flatten(), (side * ratio[:, None]).flatten()
    return torch.stack((-widths, -heights, widths, heights), dim=1) / 2
