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
Floats32 = NDArray[np.float32]
Integers = NDArray[np.int64]

RANKS = (1, 5, 10)


class Labels(NamedTuple):
    """Who and where: equal numbers are the same person, or the same camera."""

    persons: Integers
    """(N,)"""
    cameras: Integers
    """(N,)"""


class Persons(NamedTuple):
    """Gallery pictures grouped by person."""

    members: Integers
    """(G,) indices of the pictures, one person's after another's, rising within each."""
    sorted_persons: Integers
    """(G,) persons of these."""
    cameras: Integers
    """(G,) cameras by index of the picture."""


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


def score(blocks: Iterable[Floats32], query: Labels, gallery: Labels, shown: int = 10) -> Scores:
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
    members = np.argsort(gallery.persons, kind="stable")
    grouped = Persons(members, gallery.persons[members], gallery.cameras)
    done = 0
    for block in blocks:
        rows = slice(done, done + len(block))
        labels = Labels(query.persons[rows], query.cameras[rows])
        parts.append(_score_block(block, labels, grouped, shown, done))
        done += len(block)
    if done != len(query.persons):
        raise ValueError(f"{done} rows of distances for {len(query.persons)} queries")
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Scores(*(np.concatenate(column) for column in columns))


def nearest(distances: Floats32, count: int) -> Integers:
    """The first `count` indices that sort each row (q, G) of distances, equal ones by index."""
    count = min(count, distances.shape[1])
    farthest = np.partition(distances, count - 1, axis=1)[:, count - 1]
    found = np.empty((len(distances), count), dtype=np.int64)
    for row, line in enumerate(distances):
        # More than `count` where the last one's distance is that of others.
        candidates = np.flatnonzero(line <= farthest[row])
        order = np.argsort(line[candidates], kind="stable")
        found[row] = candidates[order[:count]]
    return found


def _score_block(
    distances: Floats32, query: Labels, gallery: Persons, shown: int, first: int
) -> Scores:
    # Ranks follow from the few places where the query's person is: nothing else is looked up.
    rows, members, places = _places(distances, query.persons, gallery)
    own = gallery.cameras[members] == query.cameras[rows]
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
        nearest=_nearest_that_count(distances, rows[own], members[own], shown)[scored],
    )


def _places(
    distances: Floats32, persons: Integers, gallery: Persons
) -> tuple[Integers, Integers, Integers]:
    """Where the pictures of each row's person are in that row's ranking.

    Args:
        distances: (q, G)
        persons: (q,) of the queries.
        gallery: pictures by person.

    Returns:
        Rows (M,), pictures (M,) and their places (M,) from 0, sorted by row and place.
    """
    begins = np.searchsorted(gallery.sorted_persons, persons, side="left")
    counts = np.searchsorted(gallery.sorted_persons, persons, side="right") - begins
    rows = np.repeat(np.arange(len(persons)), counts)
    members = np.empty(len(rows), dtype=np.int64)
    places = np.empty(len(rows), dtype=np.int64)
    # Sorting numbers alone is several times as fast as sorting their indices.
    ordered = np.sort(distances, axis=1)
    done = 0
    for row, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True)):
        here = slice(done, done + count)
        members[here] = gallery.members[begin : begin + count]
        places[here] = _ranks(distances[row], ordered[row], members[here])
        done += count
    order = np.lexsort((places, rows))
    return rows, members[order], places[order]


def _ranks(distances: Floats32, ordered: Floats32, members: Integers) -> Integers:
    """How many of all distances (G,) come before those of the members (M,), ties by index.

    `ordered` (G,) are the distances sorted.
    """
    values = distances[members]
    nearer: Integers = np.searchsorted(ordered, values, side="left")
    equal = np.searchsorted(ordered, values, side="right") - nearer
    for tied in np.flatnonzero(equal > 1):
        earlier = distances[: members[tied]]
        nearer[tied] += np.count_nonzero(earlier == values[tied])
    return nearer


def _running(flags: NDArray[np.bool_], rows: Integers) -> Integers:
    """For each entry of rising `rows`, how many flags of its row are set up to and with it."""
    total = np.cumsum(flags)
    starts = np.searchsorted(rows, rows, side="left")
    before: Integers = np.concatenate([[0], total])[starts]
    return total - before


def _nearest_that_count(
    distances: Floats32, rows: Integers, members: Integers, shown: int
) -> Integers:
    """First `shown` pictures of each row's ranking, without the given members; filled with -1."""
    most = int(np.bincount(rows, minlength=1).max()) if len(rows) else 0
    head = nearest(distances, shown + most)
    # Numbers of (row, picture), so that one look-up finds the pictures that do not count.
    width = distances.shape[1]
    base = np.arange(len(head))[:, None] * width
    head[np.isin(head + base, members + rows * width)] = -1
    kept = np.take_along_axis(head, np.argsort(head < 0, axis=1, kind="stable"), axis=1)
    padded = np.full((len(head), shown), -1, dtype=np.int64)
    padded[:, : min(shown, kept.shape[1])] = kept[:, :shown]
    return padded
