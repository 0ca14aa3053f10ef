"""The nine scores of depth, of each picture and then the mean over pictures; crops; alignment."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.depth.config import Alignment, Crop

NAMES = (
    "AbsRel", "SqRel", "RMSE", "RMSElog", "log10", "SILog", "delta1", "delta2", "delta3",
)  # fmt: skip
"""In the order of `measure`."""

NYU_SIZE = (480, 640)
"""Height and width of the pictures for which Eigen's crop of NYU is defined."""

Map = NDArray[np.floating]
Numbers = TypeVar("Numbers", bound=NDArray[np.floating])
Mask = NDArray[np.bool_]

_STEP = 1.25
# Shares of height (first, last) and of width, whose products are cut down to whole pixels.
_SHARES: dict[Crop, tuple[float, float, float, float]] = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen_kitti": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}


class Range(NamedTuple):
    """Metres between which depth is scored."""

    least: float
    greatest: float


def window(crop: Crop, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that a crop leaves of a ground truth.

    Raises:
        ValueError: Eigen's crop of NYU is asked for of pictures of another size.
    """
    if crop == "none":
        return slice(0, height), slice(0, width)
    if crop == "eigen_nyu":
        if (height, width) != NYU_SIZE:
            raise ValueError(
                f"--test.crop eigen_nyu is defined for 640x480 pixels, found {width}x{height}"
            )
        return slice(45, 471), slice(41, 601)
    top, bottom, left, right = _SHARES[crop]
    return (
        slice(int(top * height), int(bottom * height)),
        slice(int(left * width), int(right * width)),
    )


def valid(truth: Map, crop: Crop, limits: Range) -> Mask:
    """Pixels (H, W) that are scored: measured, within the limits and inside the crop."""
    inside = np.zeros(truth.shape, dtype=bool)
    here = window(crop, *truth.shape)
    inside[here] = (truth[here] > limits.least) & (truth[here] < limits.greatest)
    return inside


def clipped(predicted: Numbers, limits: Range) -> Numbers:
    """Predictions within the limits: infinite ones are the greatest, those that are none the least.

    So negative ones, too, have a logarithm.
    """
    # Of a number and none, these two take the number.
    found: Numbers = np.fmin(np.fmax(predicted, limits.least), limits.greatest)
    return found


def measure(truth: Map, predicted: Map) -> NDArray[np.float64]:
    """The scores (9,) of one picture, in the order of NAMES.

    Args:
        truth: (N,) metres of the valid pixels, above 0; at least one.
        predicted: (N,) metres, above 0, as `clipped` gives them.
    """
    count = len(truth)
    error, ratio = predicted - truth, predicted / truth
    relative, logs = ratio - 1, np.log(ratio)
    worse = np.maximum(ratio, truth / predicted)
    return np.array([
        np.abs(relative).mean(),
        np.dot(error, relative) / count,
        np.sqrt(np.dot(error, error) / count),
        np.sqrt(np.dot(logs, logs) / count),
        np.abs(logs).mean() / np.log(10),
        100 * logs.std(),
        *(np.count_nonzero(worse < _STEP**power) / count for power in (1, 2, 3)),
    ], np.float64)  # fmt: skip


def means(measured: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    """The mean over pictures (each (9,)), by name; at least one picture."""
    return dict(zip(NAMES, np.mean(measured, axis=0).tolist(), strict=True))


def alignment(truth: Map, predicted: Map, how: Alignment, metric: bool) -> Callable[[Map], Map]:
    """What brings predictions of one picture, of any shape, to metres that fit its ground truth.

    Args:
        truth: (N,) metres of the valid pixels.
        predicted: (N,) metres, or inverse depth of any scale and shift if not `metric`.
        how: by the ratio of medians; or by scale and shift of inverse depth, least squares.
        metric: what the predictions are.
    """
    if how == "least_squares":
        scale, shift = fit(truth, _reciprocal(predicted) if metric else predicted)
        return lambda found: _reciprocal(
            scale * (_reciprocal(found) if metric else found.astype(np.float64)) + shift
        )
    factor = 1.0
    if how == "median":
        middle = float(np.median(predicted if metric else _reciprocal(predicted)))
        factor = float(np.median(truth)) / middle if 0 < middle < np.inf else 1.0
    return lambda found: factor * (found if metric else _reciprocal(found))


def _reciprocal(values: Map) -> NDArray[np.float64]:
    """1 / values, infinite where they are not above 0: behind the camera is as far as can be."""
    above = values > 0
    found = 1 / np.where(above, values, 1).astype(np.float64)
    return np.where(above, found, np.where(np.isnan(values), np.nan, np.inf))


def fit(truth: Map, inverse: Map) -> tuple[float, float]:
    """Scale and shift that bring inverse depth (N,) nearest to that of the truth (N,)."""
    columns = np.stack([inverse.astype(np.float64), np.ones(len(inverse))], axis=1)
    solution, *_ = np.linalg.lstsq(columns, 1 / truth.astype(np.float64), rcond=None)
    return float(solution[0]), float(solution[1])
