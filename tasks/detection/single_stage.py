"""Classes and boxes straight from every place of the pyramid: RetinaNet and FCOS.

Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV 2017; Tian, Shen,
Chen and He, "FCOS: A Simple and Strong Anchor-free Object Detector", TPAMI 2020. Heads and losses
are torchvision's; its parameter names are kept.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder, Matcher
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import boxes as box_ops

from tasks.detection.anchors import RATIOS, Anchors
from tasks.detection.config import ModelConfig, ScoringConfig
from tasks.detection.heads import Found, Targets
from tasks.detection.loss import UNMATCHED, fcos_matches
from tasks.detection.pooling import Features

Outputs = dict[str, Tensor]

RETINANET_ANCHORS = 9
"""Three sizes by three shapes at every place."""

CANDIDATES = 1000
"""Best detections of a level that take part in the suppression."""


class SingleStage(nn.Module):
    """What RetinaNet and FCOS share; their heads have no background class.

    Args:
        head: takes the levels, gives outputs (B, places, ...) by name, and computes the loss.
        anchors: makes the anchors of the places.
        test: thresholds of the detections.
    """

    def __init__(
        self, head: RetinaNetHead | FCOSHead, anchors: Anchors, test: ScoringConfig
    ) -> None:
        super().__init__()
        self.head = head
        self.anchors = anchors
        self.test = test

    def forward(self, images: ImageList, features: Features, targets: Targets | None) -> Found:
        """Detections in pixels of the network's input, or in training the terms of the loss."""
        levels = list(features.values())
        outputs = {name: part.float() for name, part in self.head(levels).items()}
        anchors: list[Tensor] = self.anchors(images, levels)
        each = self.anchors.num_anchors_per_location()
        per_level = [
            level.shape[-2] * level.shape[-1] * count
            for level, count in zip(levels, each, strict=True)
        ]
        if targets is not None and self.training:
            matches = [
                self.match(one, per_level, target["boxes"])
                for one, target in zip(anchors, targets, strict=True)
            ]
            shifted = [{**target, "labels": target["labels"] - 1} for target in targets]
            return [], self.head.compute_loss(shifted, outputs, anchors, matches)
        found = [
            self._detections(
                {name: part[index] for name, part in outputs.items()},
                anchors[index],
                per_level,
                size,
            )
            for index, size in enumerate(images.image_sizes)
        ]
        return found, {}

    def match(self, anchors: Tensor, per_level: list[int], boxes: Tensor) -> Tensor:
        """Which box (N, 4) each anchor (P, 4) is to find, (P,); below 0 for none."""
        raise NotImplementedError

    def scores(self, outputs: Outputs) -> Tensor:
        """Scores (P, classes) of a picture's outputs."""
        raise NotImplementedError

    def boxes(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """Boxes (K, 4) of offsets (K, 4) from anchors (K, 4)."""
        raise NotImplementedError

    def _detections(
        self, outputs: Outputs, anchors: Tensor, per_level: list[int], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """The best detections of one picture after suppression within each class."""
        classes = outputs["cls_logits"].shape[-1]
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for scores, offsets, places in zip(
            torch.split(self.scores(outputs), per_level),
            torch.split(outputs["bbox_regression"], per_level),
            torch.split(anchors, per_level),
            strict=True,
        ):
            flat = scores.flatten()
            candidates = (flat > self.test.score_threshold).nonzero()[:, 0]
            best, order = flat[candidates].topk(min(CANDIDATES, len(candidates)))
            chosen = candidates[order]
            place = chosen // classes
            boxes = self.boxes(offsets[place], places[place])
            parts.append((box_ops.clip_boxes_to_image(boxes, size), best, chosen % classes))
        boxes, scores, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        kept = box_ops.batched_nms(boxes, scores, labels, self.test.nms_threshold)
        kept = kept[: self.test.detections]
        return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept] + 1}


class RetinaNet(SingleStage):
    """Nine anchors at every place, told apart by the focal loss."""

    def __init__(
        self, channels: int, classes: int, model: ModelConfig, test: ScoringConfig
    ) -> None:
        sides = [model.anchor_size * 2**level for level in range(5)]
        sizes = tuple((side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3))) for side in sides)
        anchors = Anchors(sizes, (RATIOS,) * len(sizes))
        super().__init__(RetinaNetHead(channels, RETINANET_ANCHORS, classes), anchors, test)
        self.matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
        self.coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def match(self, anchors: Tensor, _: list[int], boxes: Tensor) -> Tensor:
        """By overlap: from 0.5 on, and in any case the best anchors of each box."""
        if not len(boxes):
            return torch.full((len(anchors),), UNMATCHED, device=anchors.device)
        matches: Tensor = self.matcher(box_ops.box_iou(boxes, anchors))
        return matches

    def scores(self, outputs: Outputs) -> Tensor:
        """Probabilities of the classes."""
        return outputs["cls_logits"].sigmoid()

    def boxes(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """Offsets of centre and logarithmic size."""
        boxes: Tensor = self.coder.decode_single(offsets, anchors)
        return boxes


class FCOS(SingleStage):
    """No anchors: each place says how far the four sides are, and how central it is."""

    def __init__(
        self, channels: int, strides: Sequence[int], classes: int, test: ScoringConfig
    ) -> None:
        anchors = Anchors(tuple((stride,) for stride in strides), ((1.0,),) * len(strides))
        super().__init__(FCOSHead(channels, 1, classes), anchors, test)
        self.coder = BoxLinearCoder(normalize_by_size=True)

    def match(self, anchors: Tensor, per_level: list[int], boxes: Tensor) -> Tensor:
        """By place and size."""
        return fcos_matches(anchors, per_level, boxes)

    def scores(self, outputs: Outputs) -> Tensor:
        """Geometric means of the class's probability and of how central the place is."""
        return (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt()

    def boxes(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """Distances of the sides in strides."""
        boxes: Tensor = self.coder.decode(offsets, anchors)
        return boxes
