"""Distances, query expansion and re-ranking against direct implementations."""

import numpy as np
import pytest
import torch

from tasks.reid.reranking import rerank
from tasks.reid.retrieval import distances, expand, unit


def clouds(seed, queries, gallery, channels, people=6, spread=0.3):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(people, channels, generator=generator)
    sides = [
        centers[torch.randint(people, (count,), generator=generator)]
        + spread * torch.randn(count, channels, generator=generator)
        for count in (queries, gallery)
    ]
    return [unit(side) for side in sides]


def direct_rerank(query, gallery, k1, k2, weight):
    """Zhong et al., CVPR 2017, section 3, in float64 with dense matrices and loops."""
    features = torch.cat([query, gallery]).double().numpy()
    size, queries = len(features), len(query)
    plain = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    plain = (plain / plain.max(axis=0)).T
    rank = np.argsort(plain, axis=1, kind="stable")

    def reciprocal(index, count):
        return [other for other in rank[index, : count + 1] if index in rank[other, : count + 1]]

    encoded = np.zeros((size, size))
    for index in range(size):
        neighbours = reciprocal(index, k1)
        expanded = set(neighbours)
        for candidate in neighbours:
            own = reciprocal(candidate, int(np.around(k1 / 2)))
            if len(set(own) & set(neighbours)) > 2 / 3 * len(own):
                expanded |= set(own)
        members = sorted(expanded)
        weights = np.exp(-plain[index, members])
        encoded[index, members] = weights / weights.sum()
    if k2 > 1:
        encoded = np.stack([encoded[rank[index, :k2]].mean(axis=0) for index in range(size)])
    rows = []
    for index in range(queries):
        overlap = np.minimum(encoded[index], encoded).sum(axis=1)
        jaccard = 1 - overlap / (2 - overlap)
        rows.append(jaccard * (1 - weight) + plain[index] * weight)
    return np.array(rows)[:, queries:]


@pytest.mark.parametrize(
    ("queries", "gallery", "k1", "k2", "weight"),
    [
        (12, 60, 20, 6, 0.3), (9, 50, 5, 3, 0.5), (5, 40, 7, 1, 0.0), (5, 40, 6, 2, 1.0),
        (3, 4, 20, 6, 0.3), (1, 1, 20, 6, 0.3), (300, 40, 8, 3, 0.3),
    ],
)  # fmt: skip
def test_reranking_is_that_of_the_paper(queries, gallery, k1, k2, weight):
    query, among = clouds(queries, queries, gallery, 16)
    found = np.concatenate(list(rerank(query, among, k1, k2, weight)))
    np.testing.assert_allclose(
        found, direct_rerank(query, among, k1, k2, weight), rtol=0, atol=2e-6
    )


def test_reranking_brings_together_what_shares_neighbours():
    """Noise around clouds: the direct distance errs more often than the re-ranked one."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(20, 32, generator=generator)
    persons = torch.arange(20).repeat(10)
    features = unit(centers[persons] + 1.7 * torch.randn(200, 32, generator=generator))
    query, gallery = features[:20], features[20:]

    def first_is_right(blocks):
        rows = np.concatenate(list(blocks))
        return float((persons[20:][rows.argmin(axis=1)] == persons[:20]).float().mean())

    plain, again = (first_is_right(make(query, gallery)) for make in (distances, rerank))
    assert again > plain


def test_reranking_of_pictures_that_are_all_alike():
    same = torch.ones(8, 4) / 2
    found = np.concatenate(list(rerank(same[:3], same[3:], 2, 2)))
    assert np.isfinite(found).all()


def test_distances_in_blocks_are_squared_euclidean():
    query, gallery = torch.randn(23, 8), torch.randn(31, 8)
    blocks = list(distances(query, gallery, rows=10))
    assert [len(block) for block in blocks] == [10, 10, 3]
    expected = torch.cdist(query.double(), gallery.double()).square()
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-4, atol=1e-5)
    query, gallery = unit(query), unit(gallery)
    cosine = query @ gallery.T
    np.testing.assert_allclose(
        np.concatenate(list(distances(query, gallery))), 2 - 2 * cosine, atol=1e-6
    )


@pytest.mark.parametrize("power", [0.0, 3.0])
def test_query_expansion_is_the_weighted_mean_of_the_nearest(power):
    query, gallery = clouds(1, 300, 40, 8)
    found = expand(query, gallery, 5, power)
    for row in range(0, 300, 50):
        similarity = [float(query[row] @ other) for other in gallery]
        order = sorted(range(40), key=lambda index: -similarity[index])[:5]
        total = query[row].clone()
        for index in order:
            total += max(similarity[index], 0) ** power * gallery[index]
        np.testing.assert_allclose(found[row], total / total.norm(), atol=1e-5)


def test_query_expansion_of_features_as_they_are():
    """They keep their length, as those of the gallery do which they are compared with."""
    query, gallery = clouds(1, 30, 40, 8)
    query, gallery = query * torch.linspace(1, 9, 30)[:, None], gallery * 3
    found = expand(query, gallery, 5, 2.0, normalize=False)
    for row in range(0, 30, 7):
        order = (gallery - query[row]).square().sum(dim=1).argsort()[:5]
        weights = torch.stack([torch.cosine_similarity(query[row], gallery[i], 0) for i in order])
        weights = weights.clamp(min=0) ** 2
        total = query[row] + (weights[:, None] * gallery[order]).sum(dim=0)
        np.testing.assert_allclose(found[row], total / (1 + weights.sum()), rtol=1e-4)


def test_query_expansion_by_more_than_there_is():
    query, gallery = clouds(2, 3, 4, 8)
    assert torch.equal(expand(query, gallery, 9, 0.0), expand(query, gallery, 4, 0.0))
