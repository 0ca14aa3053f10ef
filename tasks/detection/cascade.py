"""Cascade R-CNN: three heads in a row, each trained on the boxes that the one before it moved.

Cai and Vasconcelos, "Cascade R-CNN: Delving into High Quality Object Detection", CVPR 2018; with
masks, each stage has a mask head of its own, as in their "Cascade R-CNN: High Quality Object
Detection and Instance Segmentation", TPAMI 2019.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torchvision.ops import boxes as box_ops

from tasks.detection.config import ModelConfig, ScoringConfig
from tasks.detection.conventions import Conventions, Weights
from tasks.detection.heads import (
    Boxes,
    Found,
    Heads,
    Sizes,
    Targets,
    mask_logits,
    mask_loss,
    roi_heads,
)
from tasks.detection.loss import stage_terms
from tasks.detection.pooling import Features, LevelPool


class Stage(NamedTuple):
    """What sets one head of the cascade apart from the others."""

    overlap: float
    """IoU with an object from which on a box shows it."""
    box_weights: Weights
    """Factors of the offsets of boxes: the later the stage, the smaller the offsets."""
    loss_weight: float


def stages_of(rules: Conventions) -> tuple[Stage, ...]:
    """The published cascade of three stages."""
    return (
        Stage(0.5, (10.0, 10.0, 5.0, 5.0), 1.0),
        Stage(0.6, (20.0, 20.0, 10.0, 10.0), 0.5),
        Stage(0.7, rules.last_weights, 0.25),
    )


class CascadePredictor(nn.Module):
    """Logits of the classes, and one box for all of them."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, classes + 1)
        self.bbox_pred = nn.Linear(in_channels, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes + 1) and offsets (N, 4) of features (N, C), in full precision."""
        return self.cls_score(x).float(), self.bbox_pred(x).float()


class CascadeHeads(nn.Module):
    """The three stages.

    Args:
        stages: heads whose box predictor is a `CascadePredictor`, in their order.
        loss_weights: of each stage.
        vote: how the stages' scores become one.
        interleaved: masks are learnt on the boxes as their own stage moved them, and each stage is
            told what the mask heads before it made; otherwise on the boxes that it was given.
    """

    def __init__(
        self,
        stages: Sequence[Heads],
        loss_weights: Sequence[float],
        vote: Literal["probabilities", "logits"],
        *,
        interleaved: bool = False,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.loss_weights = tuple(loss_weights)
        self.vote, self.interleaved = vote, interleaved

    @property
    def heads(self) -> list[Heads]:
        """The stages, in their order."""
        return [cast(Heads, stage) for stage in self.stages]

    def forward(
        self, features: Features, proposals: Boxes, sizes: Sizes, targets: Targets | None
    ) -> Found:
        """Detections, or in training the terms of the loss; as `RoIHeads` gives them."""
        if targets is not None and self.training:
            return [], self._terms(features, proposals, sizes, targets)
        return self._detections(features, proposals, sizes), {}

    def _terms(
        self, features: Features, boxes: Boxes, sizes: Sizes, targets: Targets
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        stages = self.heads
        for number, (stage, weight) in enumerate(zip(stages, self.loss_weights, strict=True), 1):
            boxes, matches, labels, wanted = stage.select_training_samples(boxes, targets)
            logits, offsets = stage.predict(features, boxes, sizes)
            named = stage_terms(logits, offsets, torch.cat(labels), torch.cat(wanted))
            moved = [
                one[box_ops.remove_small_boxes(one, 1e-2)]
                for one in _move(stage, offsets.detach(), boxes, sizes)
            ]
            if stage.has_mask():
                drawing = [stage]
                if self.interleaved:
                    drawing = stages[:number]
                    boxes, matches, labels, _ = stage.select_training_samples(moved, targets)
                named["mask"] = mask_loss(drawing, features, boxes, sizes, targets, matches, labels)
            terms |= {f"{name}_{number}": weight * term for name, term in named.items()}
            boxes = moved
        return terms

    def _detections(
        self, features: Features, boxes: Boxes, sizes: Sizes
    ) -> list[dict[str, Tensor]]:
        """Boxes of the last stage, with the scores on which all stages vote."""
        *earlier, last = self.heads
        every: list[Tensor] = []
        for stage in earlier:
            logits, offsets = stage.predict(features, boxes, sizes)
            every.append(logits)
            boxes = _move(stage, offsets, boxes, sizes)
        logits, offsets = last.predict(features, boxes, sizes)
        scores = voted([*every, logits], self.vote)
        # torchvision takes logits, and a box for every class.
        columns = zip(
            *last.postprocess_detections(
                scores.log(), offsets.repeat(1, scores.shape[1]), boxes, sizes
            ),
            strict=True,
        )
        found = [dict(zip(("boxes", "scores", "labels"), one, strict=True)) for one in columns]
        if last.has_mask():
            for one, masks in zip(found, self._masks(features, found, sizes), strict=True):
                one["masks"] = masks
        return found

    def _masks(
        self, features: Features, found: Sequence[dict[str, Tensor]], sizes: Sizes
    ) -> list[Tensor]:
        """Probabilities (N, 1, 28, 28) of the detections' classes, the mean over all stages."""
        boxes, labels = [one["boxes"] for one in found], torch.cat([one["labels"] for one in found])
        stages = self.heads
        logits = mask_logits(stages, stages[0].mask_roi_pool(features, boxes, sizes))
        mean = torch.stack([one.sigmoid() for one in logits]).mean(dim=0)
        chosen = mean[torch.arange(len(labels), device=labels.device), labels][:, None]
        return list(torch.split(chosen, [len(one) for one in boxes]))


def voted(logits: Sequence[Tensor], vote: Literal["probabilities", "logits"]) -> Tensor:
    """Probabilities (N, classes + 1) on which stages vote by their logits, (N, classes + 1) each.

    Args:
        logits: of each stage.
        vote: what they take the mean of.
    """
    if vote == "logits":
        return (sum(logits[1:], logits[0]) / len(logits)).softmax(dim=-1)
    first, *others = (one.softmax(dim=-1) for one in logits)
    return sum(others, first) / len(logits)


def cascade_heads(
    strides: Sequence[int],
    classes: int,
    model: ModelConfig,
    test: ScoringConfig,
    *,
    pool: type[LevelPool] = LevelPool,
    interleaved: bool = False,
) -> CascadeHeads:
    """The published cascade; the arguments are those of `roi_heads` and `CascadeHeads`."""
    stages = stages_of(model.rules)
    heads = [
        roi_heads(
            strides,
            classes,
            model,
            test,
            overlap=stage.overlap,
            box_weights=stage.box_weights,
            predictor=CascadePredictor(model.box_channels, classes),
            pool=pool,
        )
        for stage in stages
    ]
    weights = [stage.loss_weight for stage in stages]
    return CascadeHeads(heads, weights, model.rules.vote, interleaved=interleaved)


def _move(stage: Heads, offsets: Tensor, boxes: Boxes, sizes: Sizes) -> Boxes:
    """The boxes where the stage says they belong, within their pictures."""
    moved = torch.split(stage.box_coder.decode(offsets, boxes)[:, 0], [len(one) for one in boxes])
    return [box_ops.clip_boxes_to_image(one, size) for one, size in zip(moved, sizes, strict=True)]
