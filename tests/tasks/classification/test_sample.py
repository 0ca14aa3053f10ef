"""The generated pictures: deterministic, held out, and not to be told by a trivial cue."""

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from common.reading.image import read
from tasks.classification import sample
from tasks.classification.sample.painting import CLASSES, SHAPES, TEXTURES, paint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, seed=3, train=150, val=60)
    return folder


def test_the_layout_is_an_image_folder(root):
    for split, count in (("train", 15), ("val", 6)):
        folder = ImageFolder(root / split)
        assert tuple(folder.classes) == CLASSES == tuple(sorted(CLASSES))
        assert np.bincount(folder.targets).tolist() == [count] * 10


def test_each_class_is_a_shape_in_a_texture():
    assert len(CLASSES) == len(SHAPES) * len(TEXTURES) == 10


def test_the_same_seed_gives_the_same_bytes_whatever_the_length(root, tmp_path):
    sample.write(tmp_path / "again", seed=3, train=20, val=10)
    for path in (tmp_path / "again").rglob("*.jpg"):
        assert path.read_bytes() == (root / path.relative_to(tmp_path / "again")).read_bytes()
    sample.write(tmp_path / "other", seed=4, train=10, val=10)
    path = f"train/{CLASSES[0]}/{CLASSES[0]}_00000.jpg"
    assert (tmp_path / "other" / path).read_bytes() != (root / path).read_bytes()


def test_pictures_differ_in_size_and_content(root):
    pictures = [read(path) for path in sorted((root / "train").rglob("*.jpg"))]
    assert len({picture.shape for picture in pictures}) > 10
    assert all(picture.std() > 8 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def features(folder, describe):
    rows = [
        (describe(read(path)), CLASSES.index(path.parent.name))
        for path in sorted(folder.rglob("*.jpg"))
    ]
    return np.array([row for row, _ in rows], dtype=float), np.array([label for _, label in rows])


def colours(picture):
    histogram = [np.histogram(picture[..., k], 8, (0, 256))[0] for k in range(3)]
    return np.concatenate(histogram) / picture[..., 0].size


@pytest.mark.parametrize(
    "describe", [colours, lambda p: p.mean(axis=(0, 1))], ids=["histogram", "mean"]
)
def test_colour_does_not_tell_the_class(root, describe):
    """The nearest neighbour in colour is hardly more often right than one picture in ten."""
    known, labels = features(root / "train", describe)
    asked, truth = features(root / "val", describe)
    nearest = ((asked[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert np.mean(labels[nearest] == truth) < 0.3


def test_texture_and_shape_are_what_is_painted():
    """The same draws in another class change nothing but the figure."""
    photograph = (np.full((200, 200, 3), 90, np.uint8),)
    painted = {
        name: paint(name, photograph, 96, np.random.default_rng(1)).astype(int) for name in CLASSES
    }
    disc, star = painted["striped_disc"], painted["striped_star"]
    changed = (np.abs(disc - star).sum(axis=2) > 60).mean()
    assert 0.05 < changed < 0.6
    assert len({picture.tobytes() for picture in painted.values()}) == 10
