"""From a checkpoint to a model, and from crops to joints in their pictures."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import backbone
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from tasks.pose.config import Config
from tasks.pose.metrics import decode, flip_back
from tasks.pose.model import PoseModel, build, explain, from_published
from tasks.pose.skeleton import COCO, MPII, Skeleton
from tasks.pose.transforms import to_image

SKELETONS: dict[str, Skeleton] = {"coco": COCO, "mpii": MPII}
"""The joints of each --data.format."""


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


def initialise(model: PoseModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    if config.weights is not None:
        backbone.load(model.backbone, config.weights)
    if config.finetune is not None:
        source = trained.read("--finetune", config.finetune, from_published)
        trained.load(model, source, explain)


def restore(config: Config, weights: Trained, device: torch.device) -> PoseModel:
    """The config's model with a checkpoint's weights, ready for inference.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config.backbone, SKELETONS[config.data.format].joints, config.model.head_channels)
    trained.load(model, weights, explain)
    trained.ready(model, device)
    return model


def estimate(
    model: nn.Module,
    images: Tensor,
    centers: NDArray[np.float64],
    extents: NDArray[np.float64],
    config: Config,
) -> NDArray[np.float64]:
    """Joints (B, J, 3) as x, y in pixels of the picture and score, of one crop a person.

    Args:
        model: in eval mode, on the images' device.
        images: crops (B, 3, H, W), bytes, in the recipe's colour order.
        centers: (B, 2) of the crops in the picture.
        extents: (B, 2) width and height of the crops in the picture.
        config: of the data (coding, sigma) and the test (flip, shift).

    Raises:
        UserError: the heat maps are not finite; the model is broken.
    """
    skeleton, data = SKELETONS[config.data.format], config.data
    if config.test.flip:
        # Both in one forward pass, which is faster than two.
        direct, mirrored = model(torch.cat((images, images.flip(-1)))).float().chunk(2)
        # In unbiased coding a mirrored crop's heat maps already lie where they should.
        shift = config.test.shift and not data.unbiased
        heatmaps = (direct + flip_back(mirrored, skeleton.flip_pairs, shift)) / 2
    else:
        heatmaps = model(images)
    # The decoding's products need more digits than a forward pass in bfloat16.
    with torch.autocast(heatmaps.device.type, enabled=False):
        decoded = decode(heatmaps, data.unbiased, sigma=data.sigma)
    points, scores = (part.cpu() for part in decoded)
    if not torch.isfinite(scores).all():
        raise UserError("the model's heat maps are not finite: this checkpoint is of a failed run")
    joints = np.empty((*scores.shape, 3))
    joints[..., 2] = scores
    for person, (center, extent) in enumerate(zip(centers, extents, strict=True)):
        joints[person, :, :2] = to_image(
            points[person].double().numpy(), center, extent, data.heatmap_wh, data.unbiased
        )
    return joints
