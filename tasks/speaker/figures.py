"""Pictures of an evaluation: the DET curve, and where the scores of both kinds of trials lie."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from common.commands import fonts, plot
from tasks.speaker.metrics import EqualErrors, Floats, OperatingPoints

_TICKS = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
_POINTS = 4000
"""Points that a line is drawn from: more cannot be seen."""


def det_curve(path: Path, curves: Mapping[str, tuple[OperatingPoints, EqualErrors]]) -> None:
    """Draw detection error trade-off curves on normal-deviate axes, the equal errors marked.

    Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997:
    scores of normal distribution make straight lines.
    """
    with fonts.having(list(curves)) as names:
        figure = plot.figure(6.2, 6)
        axes = figure.subplots()
        highest, lowest = 0.1, 0.05
        for name, (points, equal) in zip(names, curves.values(), strict=True):
            few = np.unique(np.linspace(0, len(points.misses) - 1, _POINTS).astype(int))
            misses, false_accepts = points.misses[few], points.false_accepts[few]
            inside = (misses > 0) & (misses < 1) & (false_accepts > 0) & (false_accepts < 1)
            (line,) = axes.plot(
                ndtri(false_accepts[inside]),
                ndtri(misses[inside]),
                label=f"{name}: EER {100 * equal.rate:.2f} %",
            )
            rate = min(max(equal.rate, 1e-5), 1 - 1e-5)
            axes.plot(ndtri(rate), ndtri(rate), "o", color=line.get_color(), markersize=5)
            highest = max(highest, min(0.65, 4 * equal.rate))
            lowest = min(lowest, max(1e-4, equal.rate / 10))
        ticks = [tick for tick in _TICKS if lowest * 0.99 <= tick <= highest * 1.01]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ndtri(ticks), [f"{100 * tick:g}" for tick in ticks])
        limits = ndtri(lowest), ndtri(highest)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set(xlabel="false accepts (per cent)", ylabel="misses (per cent)")
        axes.plot(limits, limits, color="0.7", linewidth=0.8, linestyle="--")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="upper right")
        figure.savefig(path, dpi=110)


def score_histogram(
    path: Path, scores: Floats, target: NDArray[np.bool_], threshold: float
) -> None:
    """Draw how the scores of target and nontarget trials are spread, and the threshold."""
    figure = plot.figure(6.2, 3.6)
    axes = figure.subplots()
    edges = np.linspace(float(scores.min()), float(scores.max()) + 1e-6, 61).tolist()
    for name, chosen in (("different speakers", ~target), ("same speaker", target)):
        axes.hist(scores[chosen], edges, density=True, alpha=0.6, label=name)
    axes.axvline(threshold, color="0.2", linestyle="--", label="threshold of equal errors")
    axes.set(xlabel="score", ylabel="density")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
