"""Every way of scoring by its definition, and the backend that some of them need."""

import numpy as np
import pytest

from common.errors import UserError
from tasks.speaker.scoring import Backend, Scorer


@pytest.mark.parametrize("scoring", ["cosine", "mean", "s-norm", "as-norm"])
def test_every_way_of_scoring_is_its_definition(scoring):
    generator = np.random.default_rng(0)
    trained = generator.normal(1, 1, (40, 6)).astype(np.float32)
    labels = np.repeat(np.arange(10), 4)
    tested = generator.normal(1, 1, (7, 6)).astype(np.float32)
    pairs = [(a, b) for a in range(7) for b in range(7)]
    first, second = np.array(pairs).T
    scorer = Scorer(scoring, 3, Backend.of(trained, labels))
    found = scorer(tested, tested, first, second)
    cosine = lambda a, b: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))  # noqa: E731
    mean = trained.mean(0)
    cohort = [(trained[labels == k] - mean).mean(0) for k in range(10)]
    for (a, b), score in zip(pairs, found, strict=True):
        if scoring == "cosine":
            expected = cosine(tested[a], tested[b])
        else:
            left, right = tested[a] - mean, tested[b] - mean
            expected = cosine(left, right)
        if scoring.endswith("norm"):
            sides = []
            for side in (left, right):
                values = sorted((cosine(side, other) for other in cohort), reverse=True)
                values = values[:3] if scoring == "as-norm" else values
                sides.append((expected - np.mean(values)) / np.std(values))
            expected = np.mean(sides)
        assert score == pytest.approx(expected, abs=1e-4)
    apart = scorer(tested, tested.copy(), first, second)
    np.testing.assert_allclose(apart, found, atol=1e-6)


def test_scoring_without_training_speakers():
    with pytest.raises(ValueError, match="needs embeddings of training speakers"):
        Scorer("mean", 3, None)(np.ones((2, 3)), np.ones((2, 3)), np.array([0]), np.array([1]))


def test_a_backend_reads_back(tmp_path):
    backend = Backend.of(np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) // 2)
    backend.save(tmp_path / "backend.npz")
    again = Backend.read(tmp_path / "backend.npz")
    np.testing.assert_array_equal(again.mean, backend.mean)
    np.testing.assert_array_equal(again.cohort, backend.cohort)
    (tmp_path / "other.npz").write_text("no archive")
    whole = (tmp_path / "backend.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").touch()
    Backend(backend.mean[:2], backend.cohort).save(tmp_path / "odd.npz")
    wrong = ("other.npz", "cut.npz", "empty.npz", "odd.npz")
    for name, words in (
        ("none.npz", "no such file"), *((name, "is not what evaluate wrote") for name in wrong),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            Backend.read(tmp_path / name)
