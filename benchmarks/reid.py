"""``python -m benchmarks.reid``: scoring and re-ranking at the size of Market-1501.

3,368 queries, 15,913 gallery pictures, features of 2,048 numbers, made so that persons form clouds.
Each part runs in a process of its own, whose peak memory is that of the part, features included.
Seconds are those of the clock; "CPU s" are those of all cores, which a busy machine changes less.
The score is compared with a plain loop in NumPy, one matrix of all distances and then one query
after the other: both sides are checked to agree. Either can be run alone: say its name.
"""

import resource
import sys
import time
from multiprocessing import get_context

import numpy as np
import torch

from tasks.reid.metrics import Labels, score
from tasks.reid.reranking import rerank
from tasks.reid.retrieval import distances, unit

QUERIES, GALLERY, CHANNELS = 3368, 15913, 2048
PERSONS, CAMERAS = 750, 6
LIMITS = {"score": (10, 2), "re-rank": (None, 8)}
"""Seconds and GB."""


def data() -> tuple[torch.Tensor, torch.Tensor, Labels, Labels]:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(PERSONS, CHANNELS, generator=generator)
    sides = []
    for count in (QUERIES, GALLERY):
        persons = torch.randint(PERSONS, (count,), generator=generator)
        cameras = torch.randint(CAMERAS, (count,), generator=generator)
        features = 6 * torch.randn(count, CHANNELS, generator=generator)
        features += centers[persons]
        sides.append((unit(features), Labels(persons.numpy(), cameras.numpy())))
    (query, query_labels), (gallery, gallery_labels) = sides
    return query, gallery, query_labels, gallery_labels


def loop(query, gallery, query_labels: Labels, gallery_labels: Labels) -> tuple[float, float]:
    """Score one query after the other: mAP and rank-1."""
    precisions, firsts = [], []
    matrix = 2 - 2 * query @ gallery.T
    for index, row in enumerate(matrix):
        order = np.argsort(row, kind="stable")
        person, camera = query_labels.persons[index], query_labels.cameras[index]
        same = gallery_labels.persons[order] == person
        kept = ~(same & (gallery_labels.cameras[order] == camera))
        hits = same[kept]
        if hits.any():
            places = np.flatnonzero(hits) + 1
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
            firsts.append(places[0] == 1)
    return float(np.mean(precisions)), float(np.mean(firsts))


def run(part: str) -> tuple[float, float, float, float, float]:
    """Seconds, seconds of all cores, peak memory in GB, mAP and rank-1 of one part."""
    query, gallery, query_labels, gallery_labels = data()
    start, begin = time.perf_counter(), time.process_time()
    if part == "loop":
        result = loop(query.numpy(), gallery.numpy(), query_labels, gallery_labels)
    else:
        blocks = distances(query, gallery) if part == "score" else rerank(query, gallery)
        metrics = score(blocks, query_labels, gallery_labels).metrics()
        result = metrics["mAP"], metrics["rank1"]
    seconds, cores = time.perf_counter() - start, time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return seconds, cores, memory, *result


def main() -> None:
    parts = sys.argv[1:] or ["score", "loop", "re-rank"]
    print(f"{QUERIES:,} x {GALLERY:,} x {CHANNELS:,}, {torch.get_num_threads()} threads")
    print(f"{'':10}{'seconds':>10}{'CPU s':>10}{'peak GB':>10}{'mAP':>9}{'rank-1':>9}")
    found = {}
    for part in parts:
        with get_context("spawn").Pool(1) as pool:
            found[part] = pool.apply(run, (part,))
        seconds, cores, memory, precision, first = found[part]
        limit, room = LIMITS.get(part, (None, None))
        limits = [f"{limit} s"] * (limit is not None) + [f"{room} GB"] * (room is not None)
        note = f"  limit {', '.join(limits)}" if limits else ""
        print(
            f"{part:10}{seconds:10.1f}{cores:10.1f}{memory:10.2f}{precision:9.5f}{first:9.5f}{note}"
        )
    if {"score", "loop"} <= found.keys():
        assert np.allclose(found["score"][3:], found["loop"][3:], atol=1e-5)
        print(f"score is {found['loop'][0] / found['score'][0]:.1f} times as fast as the loop")


if __name__ == "__main__":
    main()
