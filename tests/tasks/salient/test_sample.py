"""The generated set: official layout, same bytes, varied, and no trivial way to solve it."""

import cv2
import numpy as np
import pytest

from common.training.sampling import generator_for
from tasks.salient import sample, sets
from tasks.salient.config import DataConfig
from tasks.salient.data import TrainSet, read_mask
from tasks.salient.metrics import measure, scores
from tasks.salient.sample.shapes import KINDS, coverage, random_shape


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, seed=3, train=10, test=24, edge=4)
    return folder


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == ["DUTS-TE", "DUTS-TR", "edges"]
    names = sorted(path.name for path in (root / "DUTS-TR" / "DUTS-TR-Image").iterdir())
    assert names == [f"sample_{number:05d}.jpg" for number in range(1, 11)]
    assert len(list((root / "DUTS-TE" / "DUTS-TE-Mask").glob("*.png"))) == 24


@pytest.mark.parametrize("source", ["DUTS-TR", "DUTS-TE", "DUTS-TR/train_pair.lst", "edges"])
def test_the_loader_reads_it(root, source):
    found = sets.find("--data.train_set", source, root)
    data = TrainSet(found, DataConfig(fit="native"))
    for index in range(len(data)):
        mask = data.sample(index, generator_for(0, 0, index))["mask"]
        assert 0.005 < (mask > 127).mean() < 0.6


def test_the_same_seed_gives_the_same_bytes_and_length_does_not_matter(root, tmp_path):
    sample.write(tmp_path / "a", seed=3, train=2, test=2, edge=1)
    for file in (path for path in (tmp_path / "a").rglob("*") if path.suffix in (".jpg", ".png")):
        assert file.read_bytes() == (root / file.relative_to(tmp_path / "a")).read_bytes()
    sample.write(tmp_path / "b", seed=4, train=1, test=0, edge=0)
    name = "DUTS-TR/DUTS-TR-Image/sample_00001.jpg"
    assert (tmp_path / "b" / name).read_bytes() != (root / name).read_bytes()


def test_pictures_vary(root):
    masks = [read_mask(path) for path in sorted((root / "DUTS-TE" / "DUTS-TE-Mask").iterdir())]
    assert len({mask.shape for mask in masks}) > 15
    parts = [cv2.connectedComponents((mask > 127).astype(np.uint8))[0] - 1 for mask in masks]
    assert {1, 2} <= set(parts)
    assert all(set(np.unique(mask)) - {0, 255} for mask in masks), "soft borders"
    shares = [(mask > 127).mean() for mask in masks]
    assert np.std(shares) > 0.04


def test_edge_maps_are_the_outlines_of_objects(root):
    for path in (root / "edges" / "masks").iterdir():
        edges = read_mask(path)
        assert set(np.unique(edges)) == {0, 255}
        assert 0.005 < (edges > 0).mean() < 0.15


def cues(picture):
    """Maps that need no learning: vividness, distance from the mean, contrast, the middle."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2Lab).astype(np.float32)
    blurred = cv2.GaussianBlur(lab, (0, 0), 3)
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    far = np.hypot(rows / height - 0.5, columns / width - 0.5)
    return {
        "vivid": np.abs(blurred[..., 1:] - 128).sum(axis=2),
        "unlike the rest": np.linalg.norm(blurred - lab.mean(axis=(0, 1)), axis=2),
        "contrast": cv2.GaussianBlur(np.abs(cv2.Laplacian(lab[..., 0], -1)), (0, 0), 5),
        "middle": far.max() - far,
    }


def test_no_trivial_cue_solves_it():
    """The default run has to reach 0.90 on these; what needs no learning stays well below."""
    measured = {}
    for number in range(sample.TEST_PICTURES):
        scene = sample.scene(1_000_000 + number)
        for name, map_ in cues(scene.picture).items():
            grey = np.uint8(255 * (map_ - map_.min()) / np.ptp(map_))
            measured.setdefault(name, []).append(measure(grey, scene.mask))
    best = {name: scores(all_of_it).metrics["MaxF"] for name, all_of_it in measured.items()}
    assert max(best.values()) < 0.83, best
    assert min(best.values()) > 0.2, best


@pytest.mark.parametrize("kind", dict.fromkeys(KINDS), ids=lambda kind: kind.__name__)
def test_shapes_are_about_a_unit_large(kind):
    for seed in range(20):
        contours = [c for part in kind(np.random.default_rng(seed)) for c in part]
        reach = max(np.linalg.norm(contour, axis=1).max() for contour in contours)
        assert 0.6 < reach < 2


def test_a_ring_has_a_hole():
    for seed in range(60):
        shape = random_shape(np.random.default_rng(seed))
        covered = coverage(shape, (50.0, 50.0), 25, 100, 100)
        assert 0 <= covered.min() < covered.max() <= 1
        if len(shape) == 1 and len(shape[0]) == 2:
            assert covered[50, 50] == 0
            return
    raise AssertionError("no ring among sixty shapes")
