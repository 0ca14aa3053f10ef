"""The generated data set: layout, labels, and that no single cue solves it."""

import time

import numpy as np
import pytest
from PIL import Image

from common.reading.image import read
from common.sample.scenery import gather
from common.sample.things import COLOURS, paint
from tasks.segmentation import sample
from tasks.segmentation.config import Config, DataConfig
from tasks.segmentation.data import with_classes
from tasks.segmentation.sample import CLASSES, scene
from tasks.segmentation.sample.things import SCRAP, THINGS
from tests.tasks.segmentation.small import read_split


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, seed=3, train=40, val=5)
    return folder


def labels_of(root):
    return [np.asarray(Image.open(path)) for path in sorted((root / "SegmentationClass").iterdir())]


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == [
        "ImageSets", "JPEGImages", "SegmentationClass", "classes.txt",
    ]  # fmt: skip
    names = (root / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
    assert names[0] == "sample_000001"
    assert len(names) == 40
    assert (root / "classes.txt").read_text().split() == list(CLASSES)


def test_the_loader_of_voc_reads_it(root):
    config = with_classes(Config(data=DataConfig(root=root)))
    assert config.data.classes == CLASSES
    for name, pictures in (("train", 40), ("val", 5)):
        split = read_split(root, name, config.data)
        assert len(split) == pictures
        for index in range(pictures):
            split.read(index)


def test_every_class_occurs_and_void_lies_between(root):
    labels = labels_of(root)
    counts = sum(np.bincount(one.ravel(), minlength=256) for one in labels)
    shares = counts / counts.sum()
    assert (shares[1 : len(CLASSES)] > 0.01).all()
    assert 0.4 < shares[0] < 0.85
    assert 0.01 < shares[255] < 0.12
    assert counts[len(CLASSES) : 255].sum() == 0
    for one in labels:
        # Two classes never touch: there is void in between.
        for first, second in ((one[:, :-1], one[:, 1:]), (one[:-1], one[1:])):
            assert ((first == second) | (first == 255) | (second == 255)).all()


def test_the_same_seed_gives_the_same_bytes_and_length_does_not_matter(root, tmp_path):
    sample.write(tmp_path, seed=3, train=2, val=2)
    for name in ("sample_000001", "sample_000002", "sample_500001", "sample_500002"):
        for file in (f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png"):
            assert (root / file).read_bytes() == (tmp_path / file).read_bytes()
    sample.write(tmp_path / "other", seed=4, train=1, val=0)
    file = "JPEGImages/sample_000001.jpg"
    assert (root / file).read_bytes() != (tmp_path / "other" / file).read_bytes()


def test_no_colour_gives_a_class_away():
    for thing in THINGS.values():
        for colour in thing.colours:
            assert sum(colour in other.colours for other in THINGS.values()) > 1, colour
    assert set(SCRAP.colours) == set(COLOURS), "scraps, which are background, have them all"


def test_no_class_gives_itself_away_by_mean_colour():
    """A nearest-mean classifier of single pixels stays far below what the form allows."""
    generator = np.random.default_rng(0)
    texture = np.ones((300, 300), np.float32)
    drawn = {}
    for name, thing in THINGS.items():
        pixels = []
        for _ in range(40):
            one = paint(thing, 40, texture, generator)
            pixels.append(one.colour[one.coverage == 1])
        drawn[name] = np.concatenate(pixels).astype(float)
    means = np.stack([pixels.mean(axis=0) for pixels in drawn.values()])
    right = [
        (np.linalg.norm(pixels[:, None] - means, axis=2).argmin(axis=1) == label).mean()
        for label, pixels in enumerate(drawn.values())
    ]
    assert np.mean(right) < 0.5


def test_pictures_look_like_photographs(root):
    for path in (root / "JPEGImages").iterdir():
        picture = read(path)
        assert picture.std() > 15
        assert 180 <= picture.shape[1] <= 220
        assert 140 <= picture.shape[0] <= 180


def test_a_scene_is_quick():
    scenery, generator = gather(False), np.random.default_rng(0)
    start = time.process_time()
    for _ in range(10):
        scene(scenery, generator)
    assert time.process_time() - start < 2
