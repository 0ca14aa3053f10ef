"""Hybrid task cascade: boxes and masks take turns, and both see what the picture means.

Chen et al., "Hybrid Task Cascade for Instance Segmentation", CVPR 2019. A semantic branch on the
pyramid gives features that are added to those of every box. A stage's masks are learnt on the boxes
as it moved them, and its mask head is told what the one before it made.

The published branch learnt label maps of things and stuff. Here it learns the classes of the
objects themselves, drawn from their masks, so that no further data is needed.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList

from tasks.detection.cascade import CascadeHeads, cascade_heads
from tasks.detection.config import ModelConfig, ScoringConfig
from tasks.detection.heads import Found, Targets
from tasks.detection.loss import semantic_term
from tasks.detection.pooling import SEMANTIC, SEMANTIC_LEVEL, Features, SemanticPool
from tasks.detection.two_stage import TwoStage

SEMANTIC_WEIGHT = 0.2
"""Of the semantic term in the loss."""

_CONVOLUTIONS = 4


class SemanticBranch(nn.Module):
    """What each place of the level of stride 8 shows, from all levels.

    Args:
        channels: of the levels.
        levels: their number.
        classes: without the background.
    """

    def __init__(self, channels: int, levels: int, classes: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_convolution(channels, 1) for _ in range(levels))
        self.convs = nn.Sequential(*(_convolution(channels, 3) for _ in range(_CONVOLUTIONS)))
        self.embedding = _convolution(channels, 1)
        self.logits = nn.Conv2d(channels, classes + 1, 1)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, w) for the boxes, and logits (B, classes + 1, h, w)."""
        size = levels[SEMANTIC_LEVEL].shape[-2:]
        parts = [
            lateral(F.interpolate(level, size, mode="bilinear", align_corners=True))
            for lateral, level in zip(self.lateral, levels, strict=True)
        ]
        x = self.convs(sum(parts[1:], parts[0]))
        return self.embedding(x), self.logits(x)


class HybridTaskCascade(TwoStage):
    """Proposals, and a cascade that also sees a semantic branch.

    Args:
        rpn: as of `TwoStage`.
        roi_heads: of `hybrid_heads`.
        semantic: takes the levels, gives features and logits.
    """

    def __init__(self, rpn: nn.Module, roi_heads: nn.Module, semantic: SemanticBranch) -> None:
        super().__init__(rpn, roi_heads)
        self.semantic = semantic

    def forward(self, images: ImageList, features: Features, targets: Targets | None) -> Found:
        """Detections in pixels of the network's input, or in training the terms of the loss."""
        embedded, logits = self.semantic(list(features.values()))
        proposals, terms = self.rpn(images, features, targets)
        seen = {**features, SEMANTIC: embedded}
        found, more = self.roi_heads(seen, proposals, images.image_sizes, targets)
        if targets is not None and self.training:
            term = semantic_term(logits.float(), targets, images.tensors.shape[-2:])
            more["semantic"] = SEMANTIC_WEIGHT * term
        return found, {**terms, **more}

    def seen(self, features: Features) -> Features:
        """The levels, and what they mean."""
        return {**features, SEMANTIC: self.semantic(list(features.values()))[0]}


def hybrid_heads(
    strides: Sequence[int], classes: int, model: ModelConfig, test: ScoringConfig
) -> CascadeHeads:
    """The cascade whose mask heads tell each other what they made; arguments as of `roi_heads`."""
    heads = cascade_heads(strides, classes, model, test, pool=SemanticPool, interleaved=True)
    for stage in heads.heads[1:]:
        stage.mask_residual = _convolution(model.channels, 1)
    return heads


def _convolution(channels: int, side: int) -> nn.Sequential:
    """A convolution that keeps the size, and ReLU."""
    layer = nn.Conv2d(channels, channels, side, padding=side // 2)
    return nn.Sequential(layer, nn.ReLU())
