"""Scores of a search by the protocol of Market-1501 (Zheng et al., ICCV 2015).

For each query the gallery is sorted by distance, equal distances by index. Pictures of the query's
person by the query's own camera do not count, neither as hits nor as misses. A query without any
other picture of its person is not scored. Everything is exact, ties included.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RANKS = (1, 5, 10)
_INDEX_BITS = 32


class Labels(NamedTuple):
    """Who and where: equal numbers are the same person, or the same camera."""

    persons: Integers
    """(N,)"""
    cameras: Integers
    """(N,)"""


@dataclass(frozen=True)
class Scores:
    """The outcome of each scored query, V of all Q queries."""

    queries: Integers
    """(V,) which ones, in rising order."""
    average_precision: Floats
    """(V,) mean of the precisions at the hits."""
    trapezoid_precision: Floats
    """(V,) area under the precision-recall curve as the first, MATLAB evaluation takes it."""
    inverse_penalty: Floats
    """(V,) hits divided by the rank of the last hit (Ye et al., TPAMI 2021)."""
    first_hit: Integers
    """(V,) rank of the first hit, counted from 1."""
    nearest: Integers
    """(V, T) the nearest gallery pictures that count, -1 where there are no more."""

    def metrics(self) -> dict[str, float]:
        """Means over the scored queries; all are nan if there is none."""
        if not len(self.queries):
            names = ("mAP", *(f"rank{rank}" for rank in RANKS), "mINP", "mAP_trapezoid")
            return dict.fromkeys(names, float("nan"))
        return {
            "mAP": float(self.average_precision.mean()),
            **{f"rank{rank}": float((self.first_hit <= rank).mean()) for rank in RANKS},
            "mINP": float(self.inverse_penalty.mean()),
            "mAP_trapezoid": float(self.trapezoid_precision.mean()),
        }

    def cmc(self, ranks: int) -> Floats:
        """(ranks,) share of the scored queries with a hit up to each rank."""
        counts = np.bincount(np.minimum(self.first_hit, ranks + 1), minlength=ranks + 2)
        return counts[1 : ranks + 1].cumsum() / max(1, len(self.queries))


def score(
    blocks: Iterable[NDArray[np.float32]], query: Labels, gallery: Labels, shown: int = 10
) -> Scores:
    """Score all queries.

    Args:
        blocks: rows (q, G) of finite distances, for one query after the other.
        query: labels of the Q queries.
        gallery: labels of the G pictures.
        shown: nearest pictures to keep for each query.

    Raises:
        ValueError: there are not as many rows as queries.
    """
    parts: list[Scores] = []
    done = 0
    for block in blocks:
        rows = slice(done, done + len(block))
        labels = Labels(query.persons[rows], query.cameras[rows])
        parts.append(_score_block(block, labels, gallery, shown, done))
        done += len(block)
    if done != len(query.persons):
        raise ValueError(f"{done} rows of distances for {len(query.persons)} queries")
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Scores(*(np.concatenate(column) for column in columns))


def ranking(distances: NDArray[np.float32]) -> Integers:
    """Indices (q, G) that sort each row (q, G) of distances, equal ones by index."""
    keys = _keys(distances)
    keys.sort(axis=1)
    return keys & ((1 << _INDEX_BITS) - 1)


def nearest(distances: NDArray[np.float32], count: int) -> Integers:
    """The first `count` columns of `ranking`, without sorting the rest."""
    keys = _keys(distances)
    if count < keys.shape[1]:
        keys = np.partition(keys, count - 1, axis=1)[:, :count]
    keys.sort(axis=1)
    return keys & ((1 << _INDEX_BITS) - 1)


def _keys(distances: NDArray[np.float32]) -> Integers:
    """Integers (q, G) that sort by distance and then by index.

    A plain sort of them is stable, and several times as fast as a stable sort of indices.
    """
    # Adding 0 makes -0 equal to 0. Floats of one sign sort as their bits do, the negative ones
    # backwards.
    bits = (np.ascontiguousarray(distances, dtype=np.float32) + 0).view(np.int32)
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    keys = bits.astype(np.int64) << _INDEX_BITS
    keys |= np.arange(keys.shape[1])
    return keys


def _score_block(
    distances: NDArray[np.float32], query: Labels, gallery: Labels, shown: int, first: int
) -> Scores:
    order = ranking(distances)
    same = gallery.persons[order] == query.persons[:, None]
    # All that follows only looks at the few places where the same person is.
    rows, places = np.nonzero(same)
    own = gallery.cameras[order[rows, places]] == query.cameras[rows]
    skipped = _running(own, rows)  # Own camera's pictures up to each place, itself included.
    hits = ~own
    rows_of_hits, ranks = rows[hits], (places - skipped)[hits] + 1
    counts = np.bincount(rows_of_hits, minlength=len(distances))
    scored = np.flatnonzero(counts)
    number = _running(np.ones(len(ranks), dtype=bool), rows_of_hits)
    begin = np.cumsum(counts)[scored] - counts[scored]

    def mean(values: Floats) -> Floats:
        return np.bincount(rows_of_hits, values, len(distances))[scored] / counts[scored]

    precision = number / ranks
    before = np.where(ranks > 1, (number - 1) / np.maximum(ranks - 1, 1), 1.0)
    last = ranks[begin + counts[scored] - 1] if len(scored) else ranks[:0]
    return Scores(
        queries=scored + first,
        average_precision=mean(precision),
        trapezoid_precision=mean((before + precision) / 2),
        inverse_penalty=counts[scored] / last,
        first_hit=ranks[begin] if len(scored) else ranks[:0],
        nearest=_nearest_that_count(order, rows[own], places[own], shown)[scored],
    )


def _running(flags: NDArray[np.bool_], rows: Integers) -> Integers:
    """For each entry of rising `rows`, how many flags of its row are set up to and with it."""
    total = np.cumsum(flags)
    starts = np.searchsorted(rows, rows, side="left")
    before: Integers = np.concatenate([[0], total])[starts]
    return total - before


def _nearest_that_count(order: Integers, rows: Integers, places: Integers, shown: int) -> Integers:
    """First `shown` of each row of `order`, without the given places; filled up with -1."""
    most = int(np.bincount(rows, minlength=1).max()) if len(rows) else 0
    head = order[:, : shown + most].copy()
    inside = places < head.shape[1]
    head[rows[inside], places[inside]] = -1
    kept = np.take_along_axis(head, np.argsort(head < 0, axis=1, kind="stable"), axis=1)
    padded = np.full((len(order), shown), -1, dtype=np.int64)
    width = min(shown, kept.shape[1])
    padded[:, :width] = kept[:, :width]
    return padded
