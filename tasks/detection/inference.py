"""From a checkpoint to a model, and from pictures to detections in their own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import backbone
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from tasks.detection.config import Config, ScoringConfig
from tasks.detection.masks import Size, encode
from tasks.detection.model import DetectionModel, build, explain
from tasks.detection.published import from_published


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


class Detections(NamedTuple):
    """What was found in one picture, best first."""

    boxes: NDArray[np.float32]
    """(N, 4) left, top, right, bottom in pixels of the picture as it is stored."""
    scores: NDArray[np.float32]
    """(N,)"""
    labels: NDArray[np.int64]
    """(N,), from 1 on."""
    masks: list[dict[str, Any]] | None
    """N masks of the whole picture, as COCO's run lengths; None of a detector without masks."""


def initialise(model: DetectionModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit, or random ones would be frozen.
    """
    frozen = config.model.frozen_batchnorm or config.model.frozen_stages > 0
    if frozen and config.weights is None and config.finetune is None:
        raise UserError(
            "--weights is missing: --model.frozen_stages and --model.frozen_batchnorm would keep "
            "random numbers; give the weights of a trained backbone, or learn all of it"
        )
    if config.weights is not None:
        backbone.load(model.backbone, config.weights)
    if config.finetune is not None:
        trained.load(model, trained.read("--finetune", config.finetune, from_published), explain)


def restore(config: Config, weights: Trained, device: torch.device) -> DetectionModel:
    """The config's model with a checkpoint's weights, ready for inference.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config.backbone, len(config.data.classes), config.model, config.test)
    trained.load(model, weights, explain)
    trained.ready(model, device)
    return model


def detect(
    model: nn.Module, images: Tensor, sizes: Tensor, originals: Tensor, test: ScoringConfig
) -> list[Detections]:
    """Find the objects of each picture.

    Args:
        model: a `DetectionModel` in eval mode, on the pictures' device.
        images: (B, 3, H, W), RGB, 0..255, as the model takes them.
        sizes: (B, 2), height and width of each picture in there.
        originals: (B, 2), height and width of each as it is stored.
        test: the threshold of the masks.
    """
    found: Sequence[dict[str, Tensor]] = model(images, sizes)
    return [
        _in_original(one, size, (int(original[0]), int(original[1])), test.mask_threshold)
        for one, size, original in zip(found, sizes.cpu(), originals.cpu(), strict=True)
    ]


def _in_original(
    found: dict[str, Tensor], size: Tensor, original: Size, threshold: float
) -> Detections:
    """Detections in pixels of the network's input -> in those of the picture as it is stored."""
    height, width = original
    across, down = width / float(size[1]), height / float(size[0])
    boxes = found["boxes"].float().cpu() * torch.tensor([across, down, across, down])
    masks = found["masks"].float().cpu() if "masks" in found else None
    return Detections(
        boxes.numpy(),
        found["scores"].float().cpu().numpy(),
        found["labels"].cpu().numpy(),
        None if masks is None else encode(masks, boxes, original, threshold),
    )


def coco_results(found: Detections, categories: Sequence[int]) -> list[dict[str, Any]]:
    """Detections of a picture in COCO's result form, but for the picture's id.

    Args:
        found: in the picture.
        categories: id of each class, that of label 1 first.
    """
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    results: list[dict[str, Any]] = [
        {
            "category_id": categories[label - 1],
            "bbox": [float(value) for value in (*box[:2], *side)],
            "score": float(score),
        }
        for box, side, score, label in zip(
            found.boxes, sides, found.scores, found.labels.tolist(), strict=True
        )
    ]
    if found.masks is not None:
        for one, mask in zip(results, found.masks, strict=True):
            one["segmentation"] = mask
    return results
