"""From a checkpoint to a model, and from pictures to saliency maps in their own size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import backbone
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from common.reading.image import planes
from tasks.salient.config import Config
from tasks.salient.model import Logits, PoolNet, build
from tasks.salient.published import explain, from_published
from tasks.salient.transforms import fit


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


def fresh(config: Config) -> PoolNet:
    """The config's model with random weights, on the CPU."""
    model = config.model
    return build(
        config.backbone,
        model.head_width,
        edge=model.edge,
        batchnorm=model.head_batchnorm,
        normalisation=model.normalisation,
        freeze=model.freeze_batchnorm,
    )


def initialised(config: Config) -> PoolNet:
    """A fresh model with the weights that --weights or --finetune names, if any.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    model = fresh(config)
    if config.weights is not None:
        backbone.load(model.backbone, config.weights)
    if config.finetune is not None:
        source = trained.read("--finetune", config.finetune, from_published)
        trained.load(model, source, explain)
    return model


def restore(config: Config, weights: Trained, device: torch.device) -> PoolNet:
    """The config's model with a checkpoint's weights, ready for inference.

    Raises:
        UserError: the weights are of another model.
    """
    model = fresh(config)
    trained.load(model, weights, explain)
    trained.ready(model, device)
    return model


def saliency_maps(
    model: nn.Module,
    images: Tensor,
    contents: Sequence[tuple[int, int]],
    sizes: Sequence[tuple[int, int]],
) -> list[NDArray[np.uint8]]:
    """The maps (H, W), 0..255, of a batch of inputs (B, 3, h, w), each in a size of its own.

    Args:
        model: in eval mode, on the images' device.
        images: bytes, in the recipe's colour order.
        contents: rows and columns of each input that show its picture; the rest is padding.
        sizes: height and width of each map.

    Raises:
        UserError: the maps are not finite; the model is broken.
    """
    logits: Logits = model(images)
    probabilities = logits.saliency.float().sigmoid()
    if not torch.isfinite(probabilities).all():
        raise UserError("the model's maps are not finite: this checkpoint is of a failed run")
    maps = []
    for probability, (rows, columns), size in zip(probabilities, contents, sizes, strict=True):
        content = probability[None, :, :rows, :columns]
        if content.shape[2:] != tuple(size):
            content = F.interpolate(content, list(size), mode="bilinear", align_corners=False)
        maps.append((255 * content[0, 0]).round().to(torch.uint8).cpu().numpy())
    return maps


def find_saliency(
    model: nn.Module, picture: NDArray[np.uint8], config: ScoredConfig
) -> NDArray[np.uint8]:
    """The map (H, W), 0..255, of one RGB picture (H, W, 3)."""
    data = config.data
    ordered = picture if data.colour == "RGB" else np.ascontiguousarray(picture[:, :, ::-1])
    fitted = fit(ordered, data.fit, data.input_size)
    device = next(model.parameters()).device
    images = torch.from_numpy(planes(fitted.image))[None].to(device)
    low = config.precision == "bf16"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
        contents = [(fitted.rows, fitted.columns)]
        return saliency_maps(model, images, contents, [picture.shape[:2]])[0]
