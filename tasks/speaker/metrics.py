"""Error rates of verification, exact on ties and on tiny sets; functions of arrays.

A threshold t accepts the trials with a score of at least t. The operating points are those of every
distinct score and one beyond the highest, so that both accepting and rejecting everything are among
them, and equal scores fall on one side together.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

PRIORS = {"minDCF01": 0.01, "minDCF05": 0.05}
"""Prior of a target trial by the name of the cost: WeSpeaker's and NIST's 0.01, VoxSRC's 0.05."""

_CHUNK = 1 << 16
_NEWTON_STEPS = 50
_RIDGE = 1e-6


class OperatingPoints(NamedTuple):
    """What each threshold does, from accepting everything to rejecting everything."""

    thresholds: Floats
    """(P,) rising, the last one infinite."""
    misses: Floats
    """(P,) share of the target trials that are rejected, 0 to 1."""
    false_accepts: Floats
    """(P,) share of the nontarget trials that are accepted, 1 to 0."""


class EqualErrors(NamedTuple):
    """Where misses and false accepts are equally likely."""

    rate: float
    """Interpolated between two operating points, 0..1."""
    threshold: float
    """Of that operating point of the two which is nearer; rates there are real."""
    misses: float
    """At the threshold."""
    false_accepts: float
    """At the threshold."""


class Calibration(NamedTuple):
    """Score to natural log-likelihood ratio: slope * score + offset."""

    slope: float
    offset: float

    def __call__(self, scores: Floats) -> Floats:
        """Log-likelihood ratios (N,) of scores (N,)."""
        return self.slope * scores + self.offset


def operating_points(scores: Floats, target: Flags) -> OperatingPoints:
    """Error rates at every threshold that makes a difference.

    Args:
        scores: (N,) finite.
        target: (N,) whether both recordings are of one speaker; both kinds must be there.

    Raises:
        ValueError: a score is not finite, or one kind of trials is missing.
    """
    targets = int(np.count_nonzero(target))
    if not 0 < targets < len(target):
        raise ValueError(f"{targets} of {len(target)} trials are target trials: both are needed")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    order = np.argsort(scores)
    ordered, is_target = scores[order].astype(np.float64), target[order]
    # How many trials lie below each threshold; a group of equal scores begins where it changes.
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    targets_below = np.concatenate(([0], np.cumsum(is_target)))
    below = np.concatenate((first, [len(scores)]))
    misses = targets_below[below] / targets
    others = len(scores) - targets
    false_accepts = (others - (below - targets_below[below])) / others
    return OperatingPoints(np.concatenate((ordered[first], [np.inf])), misses, false_accepts)


def equal_errors(points: OperatingPoints) -> EqualErrors:
    """Equal error rate: linear interpolation where misses overtake false accepts."""
    difference = points.misses - points.false_accepts
    after = int(np.searchsorted(difference, 0.0))  # rises from -1 to 1, so this is at least 1
    before = after - 1
    step = difference[after] - difference[before]
    part = -difference[before] / step
    rate = points.misses[before] + part * (points.misses[after] - points.misses[before])
    nearer = after if abs(difference[after]) <= abs(difference[before]) else before
    if np.isinf(points.thresholds[nearer]):
        nearer = before
    return EqualErrors(
        float(rate),
        float(points.thresholds[nearer]),
        float(points.misses[nearer]),
        float(points.false_accepts[nearer]),
    )


def minimum_cost(points: OperatingPoints, prior: float) -> float:
    """Least normalised detection cost, where a miss and a false accept cost 1; at most 1.

    Divided by the cost of the better of the two blind decisions, min(prior, 1 - prior).
    """
    costs = prior * points.misses + (1 - prior) * points.false_accepts
    return float(costs.min() / min(prior, 1 - prior))


def verification_scores(scores: Floats, target: Flags) -> dict[str, float]:
    """EER, minDCF01 and minDCF05 of scores (N,) and what they are of (N,)."""
    points = operating_points(scores, target)
    costs = {name: minimum_cost(points, prior) for name, prior in PRIORS.items()}
    return {"EER": equal_errors(points).rate, **costs}


def log_likelihood_cost(ratios: Floats, target: Flags) -> float:
    """Cllr in bits of log-likelihood ratios (N,); 0 is perfect, 1 is what no information gives.

    Brümmer and du Preez, Computer Speech and Language 2006.
    """
    misses = np.logaddexp(0, -ratios[target]).mean()
    false_accepts = np.logaddexp(0, ratios[~target]).mean()
    return float((misses + false_accepts) / (2 * np.log(2)))


def least_log_likelihood_cost(scores: Floats, target: Flags) -> float:
    """Cllr of the best rising map from scores (N,) to ratios: what calibration could reach.

    Pool adjacent violators (Zadrozny and Elkan, 2002), with equal scores as one.
    """
    values, group = np.unique(scores, return_inverse=True)
    counts = np.bincount(group, minlength=len(values))
    hits = np.bincount(group, weights=target, minlength=len(values))
    share = np.asarray(isotonic_regression(hits / counts, weights=counts).x)
    targets, others = np.count_nonzero(target), np.count_nonzero(~target)
    # Ratio of the two likelihoods in a group; it may be 0 or infinite, which costs nothing there.
    with np.errstate(divide="ignore"):
        ratios = np.log(share) - np.log1p(-share) - np.log(targets / others)
    return log_likelihood_cost(ratios[group], target)


def fit_calibration(scores: Floats, target: Flags) -> Calibration:
    """The slope, not below 0, and offset with the least Cllr on these trials: logistic regression.

    Both kinds weigh the same, however many there are. Newton's method; a ridge of 1e-6 on the
    standardised slope keeps it finite where the kinds are separated.
    """
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.column_stack(((scores - centre) / spread, np.ones(len(scores))))
    weights = np.where(target, 0.5 / np.count_nonzero(target), 0.5 / np.count_nonzero(~target))
    ridge = np.diag([_RIDGE, 0.0])
    solution = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(design @ solution, -500, 500)))
        gradient = design.T @ (weights * (probability - target)) + ridge @ solution
        curvature = weights * probability * (1 - probability)
        hessian = (design * curvature[:, None]).T @ design + ridge + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # Where the kinds are all but separated a full step overshoots.
        solution -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-9:
            break
    if solution[0] <= 0:
        # Scores worse than chance: what is left to say, if a higher one means "same", is nothing.
        return Calibration(0.0, 0.0)
    slope, offset = float(solution[0]) / spread, float(solution[1])
    return Calibration(slope, offset - slope * centre)


def normalised(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings (N, D) of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: NDArray[np.float32] = embeddings / np.maximum(lengths, 1e-12)
    return unit


def cosine_scores(
    enrol: NDArray[np.float32],
    test: NDArray[np.float32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> Floats:
    """Cosines (N,) of trials between unit embeddings enrol (U, D) and test (V, D).

    `first` and `second` (N,) are places in them.
    """
    scores = np.empty(len(first))
    for begin in range(0, len(first), _CHUNK):
        here = slice(begin, begin + _CHUNK)
        scores[here] = np.einsum("nd,nd->n", enrol[first[here]], test[second[here]])
    return scores


def cohort_statistics(
    embeddings: NDArray[np.float32], cohort: NDArray[np.float32], top: int | None
) -> tuple[Floats, Floats]:
    """Mean and deviation (N,) of the cosines of unit embeddings (N, D) with a cohort (K, D).

    Args:
        embeddings: of the recordings.
        cohort: unit embeddings of speakers that are in no trial.
        top: the highest so many cosines count (as-norm); None takes all (s-norm).
    """
    rows = max(1, _CHUNK * 64 // len(cohort))
    means, deviations = np.empty(len(embeddings)), np.empty(len(embeddings))
    for begin in range(0, len(embeddings), rows):
        here = slice(begin, begin + rows)
        cosines = embeddings[here] @ cohort.T
        if top is not None and top < len(cohort):
            cosines = np.partition(cosines, len(cohort) - top, axis=1)[:, -top:]
        means[here] = cosines.mean(axis=1, dtype=np.float64)
        deviations[here] = cosines.std(axis=1, dtype=np.float64)
    return means, deviations


def symmetric_normalisation(
    scores: Floats, enrol: tuple[Floats, Floats], test: tuple[Floats, Floats]
) -> Floats:
    """Scores (N,) measured by what each side's recording has with the cohort, both averaged.

    `enrol` and `test` are mean and deviation (N,) of each trial's sides (`cohort_statistics`).
    """
    sides = [(scores - mean) / np.maximum(deviation, 1e-12) for mean, deviation in (enrol, test)]
    averaged: Floats = (sides[0] + sides[1]) / 2
    return averaged
