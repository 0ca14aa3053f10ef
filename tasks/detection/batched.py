"""Detections of a whole batch in tensors of a fixed size, for runtimes that know no lists.

The layers are the model's own; what lies between them is written without a loop over pictures and
without sizes that depend on what a picture shows. Places that nothing was found for have score -1
on the way and are zero in the results.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops.boxes import clip_boxes_to_image

from tasks.detection.batches import STRIDE
from tasks.detection.cascade import CascadeHeads, voted
from tasks.detection.config import ScoringConfig
from tasks.detection.heads import Heads, mask_logits
from tasks.detection.model import DetectionModel
from tasks.detection.pooling import LevelPool
from tasks.detection.single_stage import CANDIDATES, SingleStage
from tasks.detection.suppression import suppress
from tasks.detection.two_stage import TwoStage

Levels = Mapping[str, Tensor]

_NOTHING = -1.0
"""Score of a place that holds no box."""
_LEAST_SIDE = 1e-2
"""Of a two-stage detection in pixels, torchvision's."""


class Boxes(NamedTuple):
    """So many boxes of each of B pictures."""

    boxes: Tensor
    """(B, N, 4), left, top, right, bottom in pixels."""
    scores: Tensor
    """(B, N), below 0 where there is no box."""
    labels: Tensor
    """(B, N), from 1 on."""


class BatchedDetector(nn.Module):
    """A detector for pictures of one size, any number of them, in one call.

    Args:
        model: in eval mode; its layers are used as they are.
        test: thresholds of the detections. That of scores is a buffer, so that a file that was made
            of the detector can be run with another.
    """

    score_threshold: Tensor

    def __init__(self, model: DetectionModel, test: ScoringConfig) -> None:
        super().__init__()
        self.model = model
        self.test = test
        self.register_buffer("score_threshold", torch.tensor(test.score_threshold))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The best detections of pictures (B, 3, H, W), 0..255, of any size.

        Returns:
            D is test.detections: boxes (B, D, 4) in pixels of the pictures, scores (B, D) falling,
            labels (B, D) from 1 on and, of networks with masks, masks (B, D, 28, 28):
            probabilities within the box. Zeros where fewer than D objects were found.
        """
        x, levels = self.levels(images)
        return self.detected(x, levels, images.shape[-2:])

    def levels(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the trunk is given of pictures, and the levels that the detector looks at."""
        height, width = images.shape[-2:]
        x = self.model.normalize(images)
        x = F.pad(x, (0, _round_up(width) - width, 0, _round_up(height) - height))
        return x, self.model.levels(self.model.backbone(x))

    def detected(self, x: Tensor, levels: Levels, size: Sequence[int]) -> tuple[Tensor, ...]:
        """What `forward` gives, of both; `size` is the pictures' height and width."""
        height, width = size
        detector: nn.Module = self.model.detector
        if isinstance(detector, SingleStage):
            found = _single_stage(
                detector, levels, x, (height, width), self.test, self.score_threshold
            )
            return _filled(found)
        assert isinstance(detector, TwoStage)
        boxes, objectness = _proposals(detector, levels, x, (height, width))
        heads, seen = detector.roi_heads, detector.seen(levels)
        proposed, least = objectness >= 0, self.score_threshold
        found = _classified(heads, seen, boxes, proposed, (height, width), self.test, least)
        if not _stages(heads)[-1].has_mask():
            return _filled(found)
        return *_filled(found), _masks(_stages(heads), seen, found)


def _round_up(length: int) -> int:
    return (length + STRIDE - 1) // STRIDE * STRIDE


def _stages(heads: nn.Module) -> list[Heads]:
    """The stages of a cascade, or the only one."""
    return heads.heads if isinstance(heads, CascadeHeads) else [cast(Heads, heads)]


def _best(scores: Tensor, count: int, nothing: float = _NOTHING) -> tuple[Tensor, Tensor]:
    """The best of scores (B, N) and their places, (B, count) each, filled up with `nothing`."""
    best, places = F.pad(scores, (0, count), value=nothing).topk(count, dim=1)
    return best, places.clamp(max=scores.shape[1] - 1)


def _take(values: Tensor, places: Tensor) -> Tensor:
    """Rows (B, K, 4) of values (B, N, 4) or (N, 4) at places (B, K)."""
    if values.dim() == 2:
        return values[places]
    return values.gather(1, places[..., None].expand(-1, -1, 4))


def _proposals(
    detector: TwoStage, levels: Levels, x: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The region proposal network's boxes (B, P, 4), suppressed within each level, and scores."""
    rpn: Any = detector.rpn
    logits, offsets = rpn.head(list(levels.values()))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for anchors, logit, offset in zip(
        rpn.anchor_generator.of_levels(x, list(levels.values())), logits, offsets, strict=True
    ):
        batch, shapes, height, width = logit.shape
        by_place = offset.reshape(batch, shapes, 4, height, width).permute(0, 3, 4, 1, 2)
        best, places = _best(
            logit.permute(0, 2, 3, 1).flatten(1), rpn.pre_nms_top_n(), -float("inf")
        )
        parts.append((best, _take(by_place.reshape(batch, -1, 4), places), _take(anchors, places)))
    # All levels have as many now, so that the rest is written into an exported file only once.
    best, moves, starts = (torch.stack(column, dim=1) for column in zip(*parts, strict=True))
    boxes = rpn.box_coder.decode_single(moves.flatten(0, 2), starts.flatten(0, 2))
    boxes = clip_boxes_to_image(boxes.reshape(moves.shape), size)
    there = _at_least(boxes, rpn.min_size) & (best > -float("inf"))
    scores = torch.where(there, best.sigmoid(), _NOTHING)
    least = scores.new_full((), _NOTHING / 2)
    left = suppress(boxes.flatten(0, 1), scores.flatten(0, 1)[:, None], rpn.nms_thresh, least)
    scores = torch.where(left.reshape(scores.shape), scores, _NOTHING)
    best, places = _best(scores.flatten(1), rpn.post_nms_top_n())
    return _take(boxes.flatten(1, 2), places), best


def _at_least(boxes: Tensor, side: float) -> Tensor:
    """Whether boxes (..., 4) are that wide and high."""
    return ((boxes[..., 2:] - boxes[..., :2]) >= side).all(dim=-1)


def _pooled(pool: LevelPool, levels: Levels, boxes: Tensor) -> Tensor:
    """Features (B N, C, side, side) of boxes (B, N, 4), each from the level that fits its size."""
    batch, count, _ = boxes.shape
    picture = torch.arange(batch, device=boxes.device)[:, None].expand(batch, count)
    flat = boxes.flatten(0, 1)
    return pool.regions(levels, torch.cat((picture.reshape(-1, 1).to(flat.dtype), flat), dim=1))


def _classified(
    heads: nn.Module,
    levels: Levels,
    boxes: Tensor,
    proposed: Tensor,
    size: tuple[int, int],
    test: ScoringConfig,
    least: Tensor,
) -> Boxes:
    """Detections of one head, or of a cascade: its last boxes, the scores of all stages' vote.

    The places of the proposals (B, P, 4) that hold one are true in `proposed`, (B, P).
    """
    batch, count, _ = boxes.shape
    every: list[Tensor] = []
    for stage in _stages(heads):
        pooled = _pooled(stage.box_roi_pool, levels, boxes)
        logits, offsets = stage.box_predictor(stage.box_head(pooled))
        every.append(logits)
        moved = stage.box_coder.decode_single(offsets, boxes.flatten(0, 1))
        each = clip_boxes_to_image(moved.reshape(batch, count, -1, 4), size)
        boxes = each[:, :, 0]
    vote = heads.vote if isinstance(heads, CascadeHeads) else "probabilities"
    scores = voted(every, vote)[:, 1:]
    probabilities = scores.reshape(batch, count, -1).transpose(1, 2)
    # A head has a box for every class, background first; a cascade one for all of them.
    own = each[:, :, 1:] if each.shape[2] > 1 else each.expand(-1, -1, probabilities.shape[1], -1)
    own = own.transpose(1, 2)
    there = proposed[:, None] & _at_least(own, _LEAST_SIDE)
    scores = torch.where(there, probabilities, _NOTHING)
    left = suppress(own.flatten(0, 1), scores.flatten(0, 1)[:, None], test.nms_threshold, least)
    left = left.reshape(scores.shape)
    best, places = _best(torch.where(left, scores, _NOTHING).flatten(1), test.detections)
    labels = torch.div(places, count, rounding_mode="floor") + 1
    return Boxes(_take(own.flatten(1, 2), places), best, labels)


def _masks(stages: list[Heads], levels: Levels, found: Boxes) -> Tensor:
    """Probabilities (B, D, 28, 28) of the detections' classes, the mean over a cascade's stages."""
    parts = mask_logits(stages, _pooled(stages[0].mask_roi_pool, levels, found.boxes))
    mean = torch.stack([part.sigmoid() for part in parts]).mean(dim=0)
    labels = found.labels.flatten()
    chosen = mean[torch.arange(labels.shape[0], device=labels.device), labels]
    there = (found.scores >= 0)[..., None, None]
    return chosen.reshape(*found.labels.shape, *chosen.shape[-2:]) * there


def _single_stage(
    detector: SingleStage,
    levels: Levels,
    x: Tensor,
    size: tuple[int, int],
    test: ScoringConfig,
    least: Tensor,
) -> Boxes:
    """Detections of RetinaNet and FCOS: the best of each level, suppressed within each class."""
    features = list(levels.values())
    outputs = {name: part.float() for name, part in detector.head(features).items()}
    scores, offsets = detector.scores(outputs), outputs["bbox_regression"]
    classes = scores.shape[-1]
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    start = 0
    for anchors in detector.anchors.of_levels(x, features):
        end = start + anchors.shape[0]
        flat = scores[:, start:end].flatten(1)
        best, chosen = _best(flat, CANDIDATES)
        places = torch.div(chosen, classes, rounding_mode="floor")
        moves = _take(offsets[:, start:end], places)
        parts.append((moves, _take(anchors, places), best, chosen % classes))
        start = end
    moves, starts, best, labels = (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
    boxes = detector.boxes(moves.flatten(0, 1), starts.flatten(0, 1))
    boxes = clip_boxes_to_image(boxes.reshape(moves.shape), size)
    each = torch.arange(classes, device=labels.device)[:, None]
    by_class = torch.where(labels[:, None] == each, best[:, None], _NOTHING)
    left = suppress(boxes, by_class, test.nms_threshold, least).any(dim=1)
    top, places = _best(torch.where(left, best, _NOTHING), test.detections)
    return Boxes(_take(boxes, places), top, labels.gather(1, places) + 1)


def _filled(found: Boxes) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels with zeros where there is no box."""
    there = found.scores >= 0
    return found.boxes * there[..., None], found.scores * there, found.labels * there
