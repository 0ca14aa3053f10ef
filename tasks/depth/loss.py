"""The training losses: of metres in logarithms, of metres with slopes, and of any scale and shift.

Predictions are (B, 1, h, w), ground truth (B, H, W) in metres with 0 where nothing was measured; it
is brought to the predictions' size by its nearest pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.depth.config import DataConfig, LossConfig

SHARPNESS = 10.0
"""Factor on the scale-invariant loss, as published."""
_SOFTENED = 0.5
"""Metres that are added before Hu's logarithm."""
_SCALES = 4
_KEPT = 0.8
"""Share of the residuals that the trimmed loss keeps, the smallest."""
_TINY = 1e-6


def terms(
    predicted: Tensor, depth: Tensor, loss: LossConfig, data: DataConfig
) -> dict[str, Tensor]:
    """The terms of the loss that the config asks for, by name; their sum is minimised.

    Args:
        predicted: (B, 1, h, w), metres; for ssi inverse depth of any scale and shift.
        depth: (B, H, W), metres.
        loss: which one.
        data: the greatest depth that counts.
    """
    found = predicted.float()
    target = sampled(depth[:, None], found.shape[-2:])
    mask = (target > loss.least_depth) & (target <= data.max_depth)
    if loss.name == "silog":
        return {"silog": silog(found, target, mask, loss.balance)}
    if loss.name == "hu":
        error = torch.where(mask, found - target, 0.0)
        return {
            "depth": log_error(error, mask),
            "gradient": loss.gradient * slope_error(error, mask),
            "normal": loss.normal * normal_error(found, target, mask),
        }
    trimmed, matching = scale_and_shift_invariant(found, target, mask)
    return {"trimmed": trimmed, "matching": loss.gradient * matching}


def sampled(values: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Values (B, 1, H, W) in another size, each that of the nearest pixel."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size=list(size), mode="nearest-exact")


def silog(predicted: Tensor, target: Tensor, mask: Tensor, balance: float) -> Tensor:
    """10 sqrt(mean d^2 - balance (mean d)^2) of d = ln predicted - ln target, over all pixels.

    The pixels of the whole batch are one set (Eigen et al., NIPS 2014; Lee et al., 2019).
    """
    found = torch.where(mask, predicted, 1.0).clamp_min(_TINY)
    difference = torch.where(mask, found.log() - torch.where(mask, target, 1.0).log(), 0.0)
    count = mask.sum().clamp_min(1)
    variance = difference.square().sum() / count - balance * (difference.sum() / count).square()
    # A square root has no slope at 0, where all is right or nothing was measured.
    return SHARPNESS * variance.clamp_min(_TINY**2).sqrt()


def log_error(error: Tensor, mask: Tensor) -> Tensor:
    """Hu's depth term: mean of ln(|e| + 0.5) over the masked pixels (B, 1, H, W)."""
    return _mean((error.abs() + _SOFTENED).log(), mask)


def slope_error(error: Tensor, mask: Tensor) -> Tensor:
    """Hu's gradient term: the same of the error's Sobel slopes across and down, added up."""
    across, down = slopes(error)
    whole = surrounded(mask)
    return sum(
        (_mean((one.abs() + _SOFTENED).log(), whole) for one in (across, down)), error.new_zeros(())
    )


def normal_error(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Hu's normal term: mean of 1 - cosine of the angle between the surfaces' normals."""
    normals = []
    for depth in (predicted, target):
        across, down = slopes(depth)
        normals.append(torch.cat([-across, -down, torch.ones_like(across)], dim=1))
    apart = (1 - F.cosine_similarity(normals[0], normals[1], dim=1)).abs()
    return _mean(apart[:, None], surrounded(mask))


def slopes(depth: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel slopes of (B, 1, H, W) across and down, with zeros around."""
    kernel = depth.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    both = torch.stack([kernel, kernel.T])[:, None]
    found = F.conv2d(depth, both, padding=1)
    return found[:, :1], found[:, 1:]


def surrounded(mask: Tensor) -> Tensor:
    """Masked pixels whose eight neighbours are masked as well; the border has none outside."""
    holes = F.max_pool2d((~mask).float(), 3, stride=1, padding=1)
    return holes == 0


def scale_and_shift_invariant(
    predicted: Tensor, target: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The trimmed difference of standardised inverse depths, and its slopes at four scales.

    Both are means over the pictures (Ranftl et al., TPAMI 2022), of which each is brought to one
    scale and shift by its own median and mean deviation. A picture without a measured pixel counts
    as 0.
    """
    trimmed, matching = [], []
    for found, truth, inside in zip(predicted[:, 0], target[:, 0], mask[:, 0], strict=True):
        count = inside.sum()
        if count == 0:
            trimmed.append(found.sum() * 0)
            matching.append(found.sum() * 0)
            continue
        inverse = 1 / torch.where(inside, truth, 1.0)
        difference = _standardised(found, inside) - _standardised(inverse, inside)
        residuals = difference[inside].abs().sort().values
        kept = residuals[: max(1, int(_KEPT * len(residuals)))]
        trimmed.append(kept.sum() / (2 * count))
        matching.append(_matching(difference, inside))
    return torch.stack(trimmed).mean(), torch.stack(matching).mean()


def _standardised(values: Tensor, mask: Tensor) -> Tensor:
    """Values (H, W) less their median, over their mean distance from it, by the masked ones."""
    chosen = values[mask]
    middle = chosen.median()
    spread = (chosen - middle).abs().mean()
    return (values - middle) / spread.clamp_min(_TINY)


def _matching(difference: Tensor, mask: Tensor) -> Tensor:
    total = difference.new_zeros(())
    for scale in range(_SCALES):
        step = 2**scale
        part, inside = difference[::step, ::step], mask[::step, ::step]
        count = inside.sum().clamp_min(1)
        for axis in (0, 1):
            both = inside.narrow(axis, 1, inside.shape[axis] - 1) & inside.narrow(
                axis, 0, inside.shape[axis] - 1
            )
            total = total + torch.where(both, part.diff(dim=axis), 0.0).abs().sum() / count
    return total


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp_min(1)
