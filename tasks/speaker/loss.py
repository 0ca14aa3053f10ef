"""The training loss: softmax over cosines with a margin for the right speaker."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.speaker.config import LossConfig

_TINY = 1e-7


def margin_and_scale(config: LossConfig, epoch: float) -> tuple[float, float]:
    """Margin and scale at a moment of the training: epochs trained, fractions counted.

    On the ramp both go from their initial to their final value, linearly or so that what is left
    shrinks by the same factor at each step, to a thousandth at the end (WeSpeaker).
    """
    first, last = config.ramp
    if epoch >= last:
        share = 1.0
    elif epoch < first:
        share = 0.0
    else:
        part = (epoch - first) / (last - first)
        share = part if config.ramp_shape == "linear" else 1 - 1e-3**part
    initial_scale = config.scale if config.initial_scale is None else config.initial_scale
    return (
        config.initial_margin + (config.margin - config.initial_margin) * share,
        initial_scale + (config.scale - initial_scale) * share,
    )


def margin_loss(cosines: Tensor, labels: Tensor, config: LossConfig, epoch: float) -> Tensor:
    """Mean cross entropy of scaled cosines (B, K) whose right ones (labels (B,)) bear a margin.

    `epoch` decides margin and scale (`margin_and_scale`).
    """
    margin, scale = margin_and_scale(config, epoch)
    right = cosines.gather(1, labels[:, None])
    harder = _with_angular_margin(right, margin) if config.name == "aam" else right - margin
    logits = scale * cosines.scatter(1, labels[:, None], harder.to(cosines.dtype))
    return F.cross_entropy(logits, labels)


def _with_angular_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(angle + margin) (Deng et al., ArcFace, CVPR 2019, equation 3).

    Beyond the angle pi - margin that would rise again; there the cosine falls on, lowered by a
    constant. With 1 + cos(pi - margin), as in WeSpeaker, the two branches meet; with ArcFace's
    margin * sin(margin) there is a step.
    """
    sines = (1 - cosines.square()).clamp_min(_TINY).sqrt()
    shifted = cosines * math.cos(margin) - sines * math.sin(margin)
    limit = math.cos(math.pi - margin)
    return torch.where(cosines > limit, shifted, cosines - (1 + limit))
