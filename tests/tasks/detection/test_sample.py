"""The generated data set: layout, every kind of outline, overlap, and that it is reproducible."""

import json
import time

import numpy as np
import pytest

from common.reading.image import read
from common.reading.outlines import decode, encode, parse, trace
from common.sample.scenery import gather
from common.sample.scenes import THINGS, Laid, scene
from tasks.detection import sample
from tasks.detection.coco import read_coco
from tasks.detection.config import DataConfig
from tasks.detection.data import ScoringSet, TrainSet
from tasks.detection.sample import annotate
from tests.tasks.detection.small import read_split


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "set"
    sample.write(folder, seed=3, train=60, val=8)
    return folder


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "train2017", "val2017"]
    assert len(list((root / "train2017").iterdir())) == 60
    content = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    ids = [category["id"] for category in content["categories"]]
    assert ids != list(range(1, len(ids) + 1)), "ids with gaps"
    assert [category["name"] for category in content["categories"]] == list(THINGS)
    assert not any(path.stat().st_size > 40_000 for path in (root / "train2017").iterdir())


def test_the_loader_reads_it_without_complaint(root):
    config = DataConfig(root=root)
    for split in ("train2017", "val2017"):
        annotations = read_split(root, split, config)
        assert not annotations.dropped
        dataset, whole = TrainSet(annotations, config), ScoringSet(annotations, config)
        for index in range(8):
            assert len(dataset.sample(index, np.random.default_rng(0))["labels"])
            assert whole[index] is not None


def test_every_class_and_every_kind_of_outline_occurs(root):
    found = read_coco(root, "train2017")
    counts = np.bincount(found.labels, minlength=6)[1:]
    assert (counts > 0.1 * counts.sum()).all()
    kinds = [type(one) for one in found.outlines]
    assert 0.1 < kinds.count(bytes) / len(kinds) < 0.4
    assert found.crowd.any()
    assert all(isinstance(found.outlines[row], bytes) for row in np.flatnonzero(found.crowd))
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    forms = {
        type(one["segmentation"]["counts"])
        for one in content["annotations"]
        if isinstance(one["segmentation"], dict)
    }
    assert forms == {str, list}, "compressed run lengths and plain ones"


def test_pictures_are_small_of_both_aspects_and_objects_are_not_tiny(root):
    found = read_coco(root, "train2017")
    height, width = found.sizes.T
    assert 0.1 < (height > width).mean() < 0.5
    assert found.sizes.min() >= 120
    assert found.sizes.max() <= 180
    assert np.median(np.sqrt(found.areas[~found.crowd])) > 35
    for path in found.images[:10]:
        assert read(path).std() > 15


def scenes(count=40):
    generator = np.random.default_rng(1)
    scenery = gather(False)
    return [scene(scenery, generator) for _ in range(count)]


def test_things_overlap_and_no_pixel_belongs_to_two():
    touching = 0
    for _, things in scenes():
        masks = np.stack([one.mask for one in things]).astype(int)
        assert masks.sum(axis=0).max() == 1
        grown = masks.astype(bool).copy()
        grown[:, 1:] |= masks[:, :-1] > 0
        grown[:, :, 1:] |= masks[:, :, :-1] > 0
        touching += grown.sum(axis=0).max() > 1
    assert touching > 8


def test_annotations_mean_the_masks_that_were_painted():
    generator = np.random.default_rng(0)
    overlaps = []
    for picture, things in scenes(20):
        for thing in things:
            entry = annotate(thing, generator)
            size = picture.shape[:2]
            one = parse(entry["segmentation"], *size)
            mask = decode([one if isinstance(one, bytes) else encode(one, *size)], *size)[0] > 0
            union = (mask | thing.mask).sum()
            overlaps.append((mask & thing.mask).sum() / union)
            assert entry["area"] == mask.sum()
            rows, columns = np.nonzero(thing.mask)
            left, top, across, down = entry["bbox"]
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose([left, top, left + across, top + down], expected, atol=1.3)
    assert min(overlaps) > 0.9
    assert np.mean(overlaps) > 0.97


def test_what_polygons_cannot_say_is_written_as_run_lengths():
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:30] = True
    assert len(trace(mask)) == 1
    mask[33:39, 33:39] = True
    assert len(trace(mask)) == 2
    mask[10:20, 10:20] = False
    assert trace(mask) == []
    entry = annotate(Laid("ball", mask, crowd=False), np.random.default_rng(0))
    assert isinstance(entry["segmentation"]["counts"], str)
    assert entry["bbox"] == [5, 5, 34, 34]


def test_the_same_seed_gives_the_same_bytes_and_length_does_not_matter(root, tmp_path):
    sample.write(tmp_path / "short", seed=3, train=3, val=2)
    sample.write(tmp_path / "other", seed=4, train=1, val=1)
    for name in ("train2017/000000000001.jpg", "val2017/000000500002.jpg"):
        assert (root / name).read_bytes() == (tmp_path / "short" / name).read_bytes()
    name = "train2017/000000000001.jpg"
    assert (root / name).read_bytes() != (tmp_path / "other" / name).read_bytes()
    short, long = (
        json.loads((folder / "annotations" / "instances_train2017.json").read_text())
        for folder in (tmp_path / "short", root)
    )
    assert short["images"] == long["images"][:3]
    assert short["annotations"] == long["annotations"][: len(short["annotations"])]


def test_a_scene_is_quick():
    start = time.process_time()
    scenes(10)
    assert time.process_time() - start < 2
