"""Reading panoptic sets: ids, classes, targets, and the layouts."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from tasks.panoptic import sample
from tasks.panoptic.config import Config, DataConfig
from tasks.panoptic.data import ScoringSet, TrainSet, order, read, with_classes
from tasks.panoptic.maps import read_ids, write_ids
from tests.tasks.panoptic import small


def config_of(root, **data):
    plain = {"short_sides": (small.HEIGHT,), "test_short_side": small.HEIGHT, "flip_probability": 0}
    return Config(data=DataConfig(root=root, **{**plain, **data}))


def training(root, index=0, seed=0, **data):
    config = config_of(root, **data)
    found = TrainSet(read(config, "train2017"), config.data)
    return found.sample(index, np.random.default_rng(seed))


def test_an_id_is_its_colour(tmp_path):
    ids = np.array([[0, 255, 256], [65_536, 3_937_500, 2**24 - 1]], np.int32)
    write_ids(tmp_path / "a.png", ids)
    colours = np.asarray(Image.open(tmp_path / "a.png"))
    assert colours[1, 1].tolist() == [220, 20, 60]  # of COCO's own sample
    assert colours[0, 2].tolist() == [0, 1, 0]
    assert np.array_equal(read_ids(tmp_path / "a.png"), ids)


def test_classes_are_things_then_stuff_by_their_ids(tmp_path):
    split = read(config_of(small.write(tmp_path)), "val2017")
    assert split.things == small.THINGS and split.stuff == small.STUFF
    assert [one.id for one in split.categories] == [3, 7, 92, 200]
    segments = split.of(1)
    assert segments.ids.tolist() == [small.SKY, small.GRASS, small.KITE, small.CAT]
    assert segments.labels.tolist() == [4, 3, 1, 2]
    config = with_classes(config_of(tmp_path), split)
    assert config.data.thing_ids == (3, 7) and config.data.stuff_ids == (92, 200)
    assert "12 segments of 2 kinds of things and 2 of stuff in 3 pictures" in split.summary()


def test_targets_are_those_of_the_map(tmp_path):
    found = training(small.write(tmp_path))
    ids = small.ids()
    assert found["labels"].tolist() == [1, 2]
    assert found["boxes"].tolist() == [[6, 4, 16, 12], [40, 15, 56, 35]]
    assert np.array_equal(found["masks"], np.stack([ids == small.KITE, ids == small.CAT]))
    wanted = np.select([ids == small.GRASS, ids == small.SKY, ids > 0], [1, 2, 0], default=255)
    assert np.array_equal(found["semantic"], wanted)
    assert (found["semantic"][20:22, :40] == 255).all()


def test_a_mirrored_sample_is_mirrored_in_all_its_parts(tmp_path):
    small.write(tmp_path)
    plain, other = training(tmp_path), training(tmp_path, flip_probability=1)
    for name in ("image", "masks", "semantic"):
        assert np.array_equal(plain[name][..., ::-1], other[name]), name
    assert other["boxes"][0].tolist() == [small.WIDTH - 16, 4, small.WIDTH - 6, 12]


def test_a_resized_map_has_no_new_segment(tmp_path):
    found = training(small.write(tmp_path), short_sides=(31,), test_short_side=31)
    assert found["image"].shape[1:] == found["semantic"].shape == (31, 41)
    assert set(np.unique(found["semantic"])) == {0, 1, 2, 255}


def test_a_crowd_is_no_thing_to_find_and_a_thing_in_the_label_map(tmp_path):
    small.write(tmp_path, **{f"s{small.CAT}": {"iscrowd": 1}})
    found = training(tmp_path)
    assert found["labels"].tolist() == [1]
    assert (found["semantic"][small.ids() == small.CAT] == 0).all()


def test_what_is_not_asked_for_is_void(tmp_path):
    small.write(tmp_path)
    found = training(tmp_path, things=("cat",), stuff=("sky",))
    ids = small.ids()
    assert found["labels"].tolist() == [1]
    wanted = np.select([ids == small.SKY, ids == small.CAT], [1, 0], default=255)
    assert np.array_equal(found["semantic"], wanted)
    split = read(config_of(tmp_path, things=("cat",), stuff=("sky",)), "train2017")
    assert "of other classes: 6" in split.summary()
    with pytest.raises(UserError, match=r"has no 'dog' among its things; it has kite, cat"):
        read(config_of(tmp_path, things=("dog",), stuff=("sky",)), "train2017")


def test_the_maps_may_lie_beside_the_pictures_or_the_file(tmp_path):
    root = small.write(tmp_path / "a")
    before = read(config_of(root), "val2017").places(0)
    (root / "annotations" / "panoptic_val2017").rename(root / "panoptic_val2017")
    assert np.array_equal(read(config_of(root), "val2017").places(0), before)
    (root / "panoptic_val2017").rename(root / "labels")
    file = small.file_of(root).rename(root / "labels.json")
    found = read(config_of(root, val_annotations=file), "val2017")
    assert np.array_equal(found.places(0), before)


def test_things_of_the_instances_file_may_overlap(tmp_path):
    sample.write(tmp_path, seed=3, train=6, val=1)
    for index in range(6):
        maps = training(tmp_path, index)
        outlines = training(tmp_path, index, instances=True)
        assert np.array_equal(maps["semantic"], outlines["semantic"])
        assert sorted(maps["labels"]) == sorted(outlines["labels"])
        assert int(outlines["masks"].sum()) == pytest.approx(int(maps["masks"].sum()), rel=0.1)


def test_pictures_without_things_stay_in_training(tmp_path):
    root = small.write(tmp_path)
    ids = np.where(np.isin(small.ids(), (small.KITE, small.CAT)), small.SKY, small.ids())
    content = small.content(root, "train2017")
    write_ids(root / "annotations" / "panoptic_train2017" / "1.png", ids)
    content["annotations"][0]["segments_info"] = small.segments(ids)
    small.annotate(root, content, "train2017")
    found = training(root)
    assert found["boxes"].shape == (0, 4) and found["masks"].shape == (0, 48, 64)
    assert len(TrainSet(read(config_of(root), "train2017"), config_of(root).data)) == 3


def test_scoring_gives_whole_pictures_and_their_places(tmp_path):
    config = config_of(small.write(tmp_path), test_short_side=24)
    found = ScoringSet(read(config, "val2017"), config.data)[2]
    assert found["image"].shape == (3, 24, 32)
    ids = np.array([0, small.SKY, small.GRASS, small.KITE, small.CAT])
    assert np.array_equal(ids[found["places"]], small.ids())


def test_batches_hold_pictures_of_one_aspect(tmp_path):
    config = config_of(small.write(tmp_path, pictures=4))
    split = read(config, "train2017")
    assert sorted(order(split, config)(0).tolist()) == [0, 1, 2, 3]
    assert order(split, replace(config, data=replace(config.data, group_by_aspect=False))) is None


def cityscapes(root, split="val"):
    """One picture in the layout that Cityscapes' scripts write."""
    name = "aachen_000000_000019"
    folder = root / "gtFine" / f"cityscapes_panoptic_{split}"
    folder.mkdir(parents=True)
    place = root / "leftImg8bit" / split / "aachen"
    place.mkdir(parents=True)
    Image.fromarray(small.picture(0)).save(place / f"{name}_leftImg8bit.png")
    write_ids(folder / f"{name}_gtFine_panoptic.png", small.ids())
    content = {
        "images": [{"id": name, "file_name": f"{name}_gtFine_leftImg8bit.png",
                    "width": small.WIDTH, "height": small.HEIGHT}],
        "annotations": [{"image_id": name, "file_name": f"{name}_gtFine_panoptic.png",
                         "segments_info": small.segments(small.ids())}],
        "categories": small.CATEGORIES,
    }  # fmt: skip
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(content))
    return file, content


def test_cityscapes(tmp_path):
    file, content = cityscapes(tmp_path)
    config = config_of(tmp_path, format="cityscapes")
    split = read(config, "val")
    assert split.image_ids == ("aachen_000000_000019",)
    assert ScoringSet(split, config.data)[0]["image"].shape == (3, small.HEIGHT, small.WIDTH)
    assert split.of(0).labels.tolist() == [4, 3, 1, 2]
    with pytest.raises(UserError, match=r"gtFine/cityscapes_panoptic_train\.json"):
        read(config, "train")
    content["images"][0]["id"] = 5
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"a picture has the id 5; Cityscapes' are such as"):
        read(config, "val")
