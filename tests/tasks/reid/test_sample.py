"""The generated set: its layout, that it is a function of its seed, and that it is a real test."""

import cv2
import numpy as np
import pytest

from common.reading import image
from tasks.reid import sample
from tasks.reid.config import Config, DataConfig
from tasks.reid.data import read, read_test, warn_of_overlap
from tasks.reid.evaluate import labels
from tasks.reid.metrics import score
from tasks.reid.sample.camera import CAMERAS, HEIGHT, WIDTH
from tasks.reid.sample.look import BAGS, PATTERNS, family
from tasks.reid.sample.pedestrian import Sight, paint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, seed=3, train=8, test=8)
    return folder


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == [
        "bounding_box_test", "bounding_box_train", "query",
    ]  # fmt: skip
    counts = {folder.name: len(list(folder.iterdir())) for folder in root.iterdir()}
    gallery = 8 * 4 * 2
    assert counts == {
        "bounding_box_train": 8 * 4 * 2,
        "query": 8 * 4,
        "bounding_box_test": gallery + gallery // 6 + gallery // 12,
    }


def test_the_loader_reads_it(root, capsys):
    config = DataConfig(root=root)
    training, test = read(Config(data=config), "train"), read(Config(data=config), "test")
    warn_of_overlap(training, test, config)
    assert training.persons == 8
    assert not test.unmatched().any()
    assert set(test.query.cameras.tolist()) == {"1", "2", "3", "4"}
    assert "0000" in test.gallery.persons
    assert test.gallery.left_out["junk (-1)"] == 5
    assert not capsys.readouterr().err, "nobody is both trained on and scored"


def test_the_same_seed_gives_the_same_bytes(root, tmp_path):
    sample.write(tmp_path / "same", seed=3, train=8, test=8)
    for path in sorted(root.rglob("*.jpg")):
        assert path.read_bytes() == (tmp_path / "same" / path.relative_to(root)).read_bytes()
    sample.write(tmp_path / "other", seed=4, train=4, test=0)
    name = "bounding_box_train/0001_c1s1_000010_00.jpg"
    assert (root / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_a_family_shares_all_colours_and_nothing_that_tells_people_apart():
    for seed in range(20):
        people = family(4, np.random.default_rng(seed))
        for part in ("skin", "hair", "shirt", "second", "below", "shoes", "bag"):
            assert len({getattr(one, part) for one in people}) == 1, part
        for part in ("pattern", "bag_kind", "hair_style", "build"):
            assert len({getattr(one, part) for one in people}) == 4, part
    assert set(BAGS) == {one.bag_kind for one in people}
    assert len(family(10, np.random.default_rng(0))) == 10


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_person_looks_the_same_from_all_sides_but_not_equal(pattern):
    person = family(8, np.random.default_rng(1))
    look = next(one for one in person if one.pattern == pattern)
    sights = [paint(look, Sight(turn, 0.3, 0.0), 128) for turn in (0, 1.57, 3.14)]
    for colour, coverage in sights:
        assert colour.shape == (*coverage.shape, 3) == (128, 79, 3)
        assert 0.1 < (coverage > 0).mean() < 0.5
        assert (colour[coverage == 0] == 0).all()
        rows = np.flatnonzero(coverage.any(axis=1))
        assert rows[0] < 8
        assert rows[-1] > 120
    (front, _), (_, side), (back, _) = sights
    assert (side > 0).sum() < 0.95 * (sights[0][1] > 0).sum(), "a body is wider than deep"
    assert (front != back).any()


def test_cameras_differ_in_what_they_make_of_a_person(root):
    means = []
    for camera in range(1, 5):
        pictures = [image.read(path) for path in root.glob(f"*/*_c{camera}s1_*.jpg")]
        assert {picture.shape for picture in pictures} == {(HEIGHT, WIDTH, 3)}
        means.append(np.mean([picture.mean(axis=(0, 1)) for picture in pictures], axis=0))
    means = np.array(means)
    distances = np.abs(means[:, None] - means).max(axis=2)
    assert distances[~np.eye(4, dtype=bool)].min() > 8
    assert len({camera.scene for camera in CAMERAS}) == 4


def histogram(path):
    """The strongest of the colour histograms that the page names: 8 x 8 x 8, six stripes."""
    picture = image.read(path).astype(float)
    picture = np.clip(picture / picture.mean(axis=(0, 1)) * 110, 0, 255).astype(np.uint8)
    parts = [
        cv2.calcHist([part], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel()
        for part in np.array_split(picture[:, 16:48], 6)
    ]
    return np.sqrt(np.concatenate(parts) / np.sum(parts)).astype(np.float32)


def test_a_colour_histogram_does_not_solve_it(tmp_path):
    sample.write(tmp_path, seed=0, train=0, test=24)
    test = read_test(DataConfig(root=tmp_path))
    query, gallery = (
        np.stack([histogram(path) for path in side.paths]) for side in (test.query, test.gallery)
    )
    metrics = score([2 - 2 * query @ gallery.T], *labels(test)).metrics()
    assert metrics["mAP"] < 0.25
    assert metrics["rank1"] < 0.25
