"""The generated set: the same bytes by seed, maps without gaps, things as outlines too."""

import json

import numpy as np
from pycocotools import mask as rle

from tasks.detection.coco import read_coco as read_instances
from tasks.detection.transforms import View, draw
from tasks.panoptic import sample
from tasks.panoptic.coco import read_coco
from tasks.panoptic.transforms import thing_rows


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, count in (("a", 3), ("b", 3), ("c", 2)):
        sample.write(tmp_path / name, seed=5, train=count, val=1)
    first, second, shorter = (files(tmp_path / name) for name in "abc")
    assert first == second
    assert all(first[name] == shorter[name] for name in shorter if not name.endswith(".json"))


def test_maps_and_outlines_say_the_same(tmp_path):
    sample.write(tmp_path, seed=2, train=12, val=1)
    split, outlines = read_coco(tmp_path, "train2017"), read_instances(tmp_path, "train2017")
    void, crowds = [], 0
    for index in range(len(split)):
        places, segments = split.places(index), split.of(index)
        pixels = np.bincount(places.ravel(), minlength=len(segments) + 1)
        assert pixels[1:].tolist() == segments.areas.tolist()
        void.append(pixels[0] / places.size)
        objects = outlines.objects(index)
        crowds += int(objects.crowd.sum())
        rows = thing_rows(segments, len(split.things))
        kept = [
            one for one, crowd in zip(objects.outlines, objects.crowd, strict=True) if not crowd
        ]
        masks = draw(kept, View(places.shape, places.shape))
        assert len(rows) == len(masks)
        for row, mask in zip(rows, masks, strict=True):
            both = np.count_nonzero((places == row + 1) & (mask > 0))
            assert both > 0.85 * np.count_nonzero(places == row + 1)
    assert 0.01 < np.mean(void) < 0.12
    assert crowds == int(split.segments.crowd.sum())


def test_ids_are_near_the_colours_of_their_classes_and_boxes_fit(tmp_path):
    sample.write(tmp_path, train=2, val=0)
    content = json.loads((tmp_path / "annotations" / "panoptic_train2017.json").read_text())
    colours = {one["id"]: one["color"] for one in content["categories"]}
    assert sorted(colours) == [1, 2, 4, 7, 8, 178, 187, 193, 199]
    split = read_coco(tmp_path, "train2017")
    for index, entry in enumerate(content["annotations"]):
        places = split.places(index)
        for row, one in enumerate(entry["segments_info"], start=1):
            red, green, blue = one["id"] & 255, one["id"] >> 8 & 255, one["id"] >> 16
            assert np.abs(np.subtract((red, green, blue), colours[one["category_id"]])).max() <= 26
            runs = rle.encode(np.asfortranarray(places == row, dtype=np.uint8))
            assert one["bbox"] == rle.toBbox(runs).tolist()
