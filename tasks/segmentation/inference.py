"""From a checkpoint to a model, and from a picture to its label map."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import backbone
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from tasks.segmentation.config import Config, ScoringConfig
from tasks.segmentation.model import SegmentationModel, build, explain, from_published
from tasks.segmentation.transforms import scaled_size

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


def initialise(model: SegmentationModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    if config.weights is not None:
        backbone.load(model.backbone, config.weights)
    if config.finetune is not None:
        trained.load(model, trained.read("--finetune", config.finetune, from_published), explain)


def restore(config: Config, weights: Trained, device: torch.device) -> SegmentationModel:
    """The config's model with a checkpoint's weights, ready for inference.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config.backbone, len(config.data.classes), config.model)
    trained.load(model, weights, explain)
    trained.ready(model, device)
    return model


def segment(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    """Label maps (B, H, W), bytes, of pictures (B, 3, H, W) in their own size.

    Score maps are interpolated to that size before the best class is taken. With several scales or
    with mirroring, the probabilities of all passes are averaged there.

    Args:
        model: in eval mode, on the pictures' device.
        images: RGB, 0..255.
        test: scales, mirroring and windows.

    Raises:
        UserError: the scores are not finite; the model is broken.
    """
    size = (images.shape[-2], images.shape[-1])
    base = scaled_size(size, test.short_side) if test.short_side else size
    passes = list(itertools.product(test.scales, (False, True) if test.flip else (False,)))
    total: Tensor | None = None
    for scale, mirrored in passes:
        resized = _resize(images, (max(1, round(base[0] * scale)), max(1, round(base[1] * scale))))
        logits = score(model, resized.flip(-1) if mirrored else resized, test)
        logits = _enlarge(logits.flip(-1) if mirrored else logits, size)
        # Probabilities of a single pass would have the same maxima.
        scores = logits if len(passes) == 1 else logits.softmax(dim=1)
        total = scores if total is None else total.add_(scores)
    if total is None or not torch.isfinite(total).all():
        raise UserError("the model's scores are not finite: this checkpoint is of a failed run")
    return total.argmax(dim=1).byte()


def score(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    """Logits (B, C, h, w), float32, of pictures (B, 3, h, w): in one pass, or window by window.

    Where windows overlap, their logits are averaged.
    """
    height, width = images.shape[-2:]
    if test.window is None or (height <= test.window[0] and width <= test.window[1]):
        logits: Tensor = model(images).main
        return logits.float()
    rows, columns = min(test.window[0], height), min(test.window[1], width)
    total: Tensor | None = None
    counts = images.new_zeros((height, width), dtype=torch.float32)
    for top in starts(height, rows, test.overlap):
        for left in starts(width, columns, test.overlap):
            here = (..., slice(top, top + rows), slice(left, left + columns))
            part = model(images[here]).main.float()
            if total is None:
                total = part.new_zeros((*part.shape[:2], height, width))
            total[here] += part
            counts[here] += 1
    assert total is not None  # there is at least one window
    return total.div_(counts)


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along a side: evenly spread, overlapping by at least this share."""
    step = max(1, int(window * (1 - overlap)))
    count = 1 + -(-(length - window) // step)
    return [round(place * (length - window) / max(1, count - 1)) for place in range(count)]


def _resize(images: Tensor, size: Size) -> Tensor:
    """Pictures in another size, smoothed where they shrink, as in training."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(
        images.float(), size=size, mode="bilinear", align_corners=False, antialias=True
    )


def _enlarge(logits: Tensor, size: Size) -> Tensor:
    if tuple(logits.shape[-2:]) == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
