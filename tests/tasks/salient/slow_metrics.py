"""The scores of one map, written from their definitions with loops over thresholds and pixels.

Slow, and sharing nothing with the project's own: SalMetric's from its description, the others from
the papers in the form that pysodmetrics gives them (maps stretched to 0..1 first).
"""

import math

import numpy as np

EPSILON = 2.0**-52


def stretched(predicted):
    values = predicted / 255
    if values.max() > values.min():
        values = (values - values.min()) / (values.max() - values.min())
    return values


def salmetric(predicted, mask):
    """Precision and recall (256 each) and MAE of one picture."""
    truth = mask > 128
    precision, recall = [], []
    for threshold in range(256):
        found = predicted > threshold
        both = (found & truth).sum()
        precision.append((both + 1e-4) / (found.sum() + 1e-4))
        recall.append((both + 1e-4) / (truth.sum() + 1e-4))
    error = np.abs(predicted.astype(float) - mask).mean() / 255
    return np.array(precision), np.array(recall), error


def max_f(pictures):
    """MaxF of pairs (map, mask): mean precision and recall first, then the best F."""
    curves = [salmetric(*picture) for picture in pictures]
    precision = np.mean([curve[0] for curve in curves], axis=0)
    recall = np.mean([curve[1] for curve in curves], axis=0)
    return max(1.3 * p * r / (0.3 * p + r) for p, r in zip(precision, recall, strict=True))


def f_of(found, truth):
    both = int((found & truth).sum())
    if both == 0:
        return 0.0
    precision, recall = both / found.sum(), both / truth.sum()
    return 1.3 * precision * recall / (0.3 * precision + recall)


def thresholds(predicted):
    """The map cut at each of the 256 levels of the stretched map, as pairs for F and E."""
    levels = (stretched(predicted) * 255).astype(np.uint8)
    return [levels >= level for level in range(256)]


def f_curve(predicted, mask):
    return np.array([f_of(found, mask > 128) for found in thresholds(predicted)])


def overlap_curves(predicted, mask):
    """Dice and intersection over union at each threshold; 0 where nothing is found rightly."""
    dice, iou = [], []
    truth = mask > 128
    for found in thresholds(predicted):
        both = int(np.logical_and(found, truth).sum())
        dice.append(2 * both / (found.sum() + truth.sum()) if both else 0.0)
        iou.append(both / np.logical_or(found, truth).sum() if both else 0.0)
    return np.array(dice), np.array(iou)


def adaptive(predicted):
    values = stretched(predicted)
    return values >= min(2 * values.mean(), 1)


def e_of(found, truth):
    """Enhanced alignment, pixel by pixel."""
    if not truth.any():
        total = float((~found).sum())
    elif truth.all():
        total = float(found.sum())
    else:
        map_, mask = found - found.mean(), truth - truth.mean()
        alignment = 2 * map_ * mask / (map_**2 + mask**2 + EPSILON)
        total = ((alignment + 1) ** 2 / 4).sum()
    return total / (truth.size - 1 + EPSILON)


def e_curve(predicted, mask):
    return np.array([e_of(found, mask > 128) for found in thresholds(predicted)])


def structure(predicted, mask):
    """S-measure; None where a quarter is empty, which the definition leaves open."""
    values, truth = stretched(predicted), mask > 128
    if not truth.any():
        return 1 - values.mean()
    if truth.all():
        return values.mean()
    share = truth.mean()
    objects = share * likeness(values[truth]) + (1 - share) * likeness(1 - values[~truth])
    down, right = (round(place.mean()) + 1 for place in np.nonzero(truth))
    if down == truth.shape[0] or right == truth.shape[1]:
        return None
    regions = 0.0
    for rows in (slice(0, down), slice(down, None)):
        for columns in (slice(0, right), slice(right, None)):
            part = values[rows, columns], truth[rows, columns]
            regions += part[0].size / values.size * similarity(*part)
    return max(0.0, 0.5 * objects + 0.5 * regions)


def likeness(values):
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    return 2 * values.mean() / (values.mean() ** 2 + 1 + deviation + EPSILON)


def similarity(values, truth):
    norm = values.size - 1 + EPSILON
    x, y = values.mean(), truth.mean()
    variances = ((values - x) ** 2).sum() / norm + ((truth - y) ** 2).sum() / norm
    covariance = ((values - x) * (truth - y)).sum() / norm
    above, below = 4 * x * y * covariance, (x**2 + y**2) * variances
    if above != 0:
        return above / (below + EPSILON)
    return 1.0 if below == 0 else 0.0


def weighted_f(predicted, mask):
    """Weighted F-measure with loops over pixels and their neighbours."""
    values, truth = stretched(predicted), mask > 128
    inside = [(int(row), int(column)) for row, column in np.argwhere(truth)]
    if not inside:
        return 0.0
    height, width = truth.shape
    errors = np.abs(values - truth)
    moved, distance = errors.copy(), np.zeros(truth.shape)
    for row in range(height):
        for column in range(width):
            if not truth[row, column]:
                # Of equally near pixels, the leftmost and then the topmost.
                square, x, y = min(((i - row) ** 2 + (j - column) ** 2, j, i) for i, j in inside)
                moved[row, column], distance[row, column] = errors[y, x], math.sqrt(square)
    window = np.array(
        [[math.exp(-(i * i + j * j) / 50) for j in range(-3, 4)] for i in range(-3, 4)]
    )
    window /= window.sum()
    padded = np.pad(moved, 3)
    smooth = np.array(
        [
            [(padded[row : row + 7, column : column + 7] * window).sum() for column in range(width)]
            for row in range(height)
        ]
    )
    least = np.where(truth & (smooth < errors), smooth, errors)
    weight = np.where(truth, 1.0, 2 - 0.5 ** (distance / 5))
    wrong = least * weight
    true = truth.sum() - wrong[truth].sum()
    recall = 1 - wrong[truth].mean()
    precision = true / (true + wrong[~truth].sum() + EPSILON)
    return 2 * recall * precision / (recall + precision + EPSILON)
