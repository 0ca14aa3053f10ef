"""The layouts of six data sets, what their masks say, and what training makes of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from common.errors import DamagedFile, UserError
from tasks.interactive.config import Config, DataConfig
from tasks.interactive.data import ScoringSet, TrainSet, read
from tasks.interactive.masks import numbers, single
from tasks.interactive.transforms import Sample, augment
from tests.tasks.interactive import small


def split_of(root, split="val", **data):
    return read(small.tiny_config(root, data=data), split)


def first_object():
    return small.objects() == 1


def test_voc_has_every_object_but_ignored_pixels(tmp_path):
    root = small.write_voc(tmp_path / "voc")
    split = split_of(root, "train")
    assert [item.number for item in split.items] == [1, 3] * 4
    assert [item.area for item in split.items[:2]] == [480, 480]
    whole = split.read(0)
    assert (whole.truth.mask == first_object()).all()
    assert (whole.truth.ignored == (small.objects() == 255)).all()
    assert np.abs(whole.image - small.picture(0).astype(int)).mean() < 8
    assert split.summary() == "train: 8 objects in 4 pictures"
    assert len(split.files) == 4
    assert split.fingerprint() != split_of(root).fingerprint()


def write_sbd(root, voc, names):
    for name in names:
        labels = np.asarray(Image.open(voc / "SegmentationObject" / f"{name}.png")).copy()
        labels[labels == 255] = 0
        (root / "inst").mkdir(parents=True, exist_ok=True)
        content = {"GTinst": {"Segmentation": labels, "Boundaries": 0}}
        savemat(root / "inst" / f"{name}.mat", content)
        small.save(root / "img" / f"{name}.jpg", small.picture(int(name)))
    (root / "train.txt").write_text("\n".join(names) + "\n")
    (root / "val.txt").write_text(names[-1] + "\n")
    return root


def test_sbd_and_the_training_set_of_fcanet(tmp_path):
    voc = small.write_voc(tmp_path / "voc")
    sbd = write_sbd(tmp_path / "sbd", voc, ["100", "000"])
    split = split_of(sbd, "train", format="sbd")
    assert [item.number for item in split.items] == [1, 3, 1, 3]
    assert (split.read(0).truth.mask == first_object()).all()
    assert not split.read(0).truth.ignored.any()
    joined = split_of(voc, "trainaug", train_split="trainaug", sbd=sbd)
    assert {item.image.stem for item in joined.items} == {"000", "001", "002", "003"}
    with pytest.raises(UserError, match="holds SBD's val"):
        small.tiny_config(voc, data={"train_split": "trainaug", "val_format": "sbd"})


def write_single(root, images, masks, values, split=""):
    small.save(root / split / images / "a.png", small.picture(1))
    small.save(root / split / masks / "a.png", values)


@pytest.mark.parametrize(
    ("format", "images", "masks"),
    [
        ("grabcut", "data_GT", "boundary_GT"),
        ("berkeley", "images", "masks"),
        ("davis", "img", "gt"),
    ],
)
def test_sets_of_one_object_a_picture(tmp_path, format, images, masks):
    values = np.full((48, 64), 3 if format == "davis" else 255, np.uint8)
    values[:, :20] = 0
    if format == "grabcut":
        values[:, 20:24] = 128
    for split in ("", "val"):
        root = tmp_path / (split or "bare")
        write_single(root, images, masks, values, split)
        found = split_of(root, format=format)
        truth = found.read(0).truth
        assert len(found) == 1 and not truth.mask[:, :20].any() and truth.mask[:, 24:].all()
        assert truth.ignored[:, 20:24].all() == (format == "grabcut")
        assert truth.ignored.sum() == (4 * 48 if format == "grabcut" else 0)


def test_a_pair_of_folders_and_masks_of_zero_and_one(tmp_path):
    write_single(tmp_path, "pictures", "maps", first_object().astype(np.uint8))
    data = {"format": "folders", "image_folder": "pictures", "mask_folder": "maps"}
    assert (split_of(tmp_path, **data).read(0).truth.mask == first_object()).all()
    write_single(tmp_path, "pictures", "maps", small.objects())
    assert len(split_of(tmp_path, **data, masks="objects")) == 2
    with pytest.raises(UserError, match="no such folder"):
        split_of(tmp_path, **{**data, "mask_folder": "none"})


def write_coco(root, **changed):
    small.save(root / "val2017" / "a.jpg", small.picture(1))
    box = {"bbox": [8, 10, 20, 24], "category_id": 5, "image_id": 1, "iscrowd": 0}
    ring = [8, 10, 28, 10, 28, 34, 8, 34]
    entries = [
        {**box, "id": 7, "segmentation": [ring], **changed},
        {**box, "id": 8, "segmentation": {"size": [48, 64], "counts": [0, 48 * 64]}, "iscrowd": 1},
        {**box, "id": 9, "segmentation": {"size": [48, 64], "counts": [96, 48, 48 * 61]}},
        {**box, "id": 10},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 5, "name": "thing"}],
        "annotations": entries,
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return root


COCO = {"format": "coco", "train_split": "train2017", "val_split": "val2017"}


def test_coco_has_polygons_and_run_lengths_but_no_crowds(tmp_path):
    found = split_of(write_coco(tmp_path), "val2017", **COCO)
    assert [item.number for item in found.items] == [7, 9]
    assert (found.read(0).truth.mask == first_object()).all()
    column = found.read(1).truth.mask
    assert column[:, 2].all() and column.sum() == 48
    assert len(found.fingerprint()) == 64


def test_a_damaged_coco_entry_is_named_or_left_out(tmp_path):
    root = write_coco(tmp_path, segmentation=[[1, 2, 3]])
    with pytest.raises(DamagedFile, match="annotation 7 has a polygon"):
        split_of(root, "val2017", **COCO)
    assert len(split_of(root, "val2017", **COCO, on_error="skip")) == 1


def test_training_and_scoring_sets_of_two_kinds(tmp_path):
    voc = small.write_voc(tmp_path / "voc")
    write_single(tmp_path / "cut", "data_GT", "boundary_GT", np.full((48, 64), 255, np.uint8))
    data = {"val_root": tmp_path / "cut", "val_format": "grabcut"}
    assert len(split_of(voc, "train", **data)) == 8
    assert len(split_of(voc, "val", **data)) == 1
    with pytest.raises(UserError, match="of two data sets"):
        small.tiny_config(voc, data={**data, "train_split": "val"})


@pytest.mark.parametrize("values", [np.zeros((48, 64), np.uint8), np.full((48, 60), 255, np.uint8)])
def test_an_empty_mask_and_one_of_another_size(tmp_path, values):
    write_single(tmp_path, "images", "masks", values)
    message = "the mask is empty" if not values.any() else r"60x48 pixels.*64x48"
    with pytest.raises(DamagedFile, match=message) as caught:
        split_of(tmp_path, format="berkeley")
    assert "\n" not in str(caught.value)


def test_ignored_values_are_not_lost_in_bytes(tmp_path):
    small.save(tmp_path / "a.png", small.objects())
    found = numbers(tmp_path / "a.png", None)
    assert found.dtype == np.int64 and found.max() == 255
    small.save(tmp_path / "b.png", small.picture(0))
    with pytest.raises(DamagedFile, match="colour picture"):
        numbers(tmp_path / "b.png", None)
    (tmp_path / "c.png").write_bytes(b"nothing")
    with pytest.raises(DamagedFile, match="cannot be read"):
        numbers(tmp_path / "c.png", None)
    with pytest.raises(DamagedFile, match=r"c\.png"):
        single(tmp_path / "c.png", "half", None)


def test_small_objects_are_not_trained_on_but_scored(tmp_path):
    root = small.write_voc(tmp_path / "voc")
    labels = small.objects()
    labels[labels == 3] = 0
    labels[0, :5] = 3
    for name in ("000", "100"):
        small.save(root / "SegmentationObject" / f"{name}.png", labels)
    split = split_of(root, "train", least_area=50)
    assert len(split) == 7 and "; 1 smaller ones are left out" in split.summary()
    assert len(split_of(root, "val", least_area=50)) == 4
    with pytest.raises(UserError, match="no object of train is as large"):
        split_of(root, "train", least_area=5000)


def test_training_samples_show_the_object_and_repeat(tmp_path):
    config = small.tiny_config(small.write_voc(tmp_path / "voc"))
    samples = TrainSet(read(config, "train"), config)
    kinds = set()
    for seed in range(30):
        one = samples.sample(seed % 8, np.random.default_rng(seed))
        assert one["image"].shape == (3, 32, 32) and one["label"].shape == (32, 32)
        assert (one["label"] == 1).any() and set(np.unique(one["label"])) <= {0, 1, 255}
        # Without a box, a click is on the object; with one, there may be none.
        boxed = one["previous"].any()
        on_object = one["nearest"][0][one["label"] == 1].min() == 0
        assert on_object or boxed
        assert one["first"].min() == 0 and 0 <= one["corrections"] <= 3
        kinds.add((bool(boxed), one["corrections"]))
        again = samples.sample(seed % 8, np.random.default_rng(seed))
        assert all(np.array_equal(one[key], again[key]) for key in one)
    assert len(kinds) > 4


def test_picture_and_label_are_varied_together():
    label = np.zeros((60, 80), np.uint8)
    label[10:40, 20:70], label[40:44, 20:70] = 1, 255
    image = np.repeat((label != 0)[..., None] * np.uint8(200), 3, axis=2)
    data = DataConfig(crop_size=(48, 56), brightness=(1.0, 1.0))
    for seed in range(10):
        found = augment(Sample(image, label), data, np.random.default_rng(seed))
        inside = found.label != 0
        assert found.image.shape == (48, 56, 3)
        apart = np.abs(found.image[..., 0].astype(int) - np.where(inside, 200, 0))
        assert (np.median(apart) == 0 and (apart > 100).mean() < 0.05) or found.image.max() < 130
    plain = replace(data, ignored="background")
    found = augment(Sample(image, label), plain, np.random.default_rng(0))
    assert set(np.unique(found.label)) <= {0, 1}


def test_scored_samples_are_whole(tmp_path):
    config = small.tiny_config(small.write_voc(tmp_path / "voc"))
    found = ScoringSet(read(config, "val"), config.data)[1]
    assert found["image"].shape == (48, 64, 3)
    assert ((found["label"] == 1) == (small.objects() == 3)).all()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"data": {"crop_size": (0, 5)}}, "--data.crop_size"),
        ({"data": {"scales": (2.0, 1.0)}}, "--data.scales"),
        ({"data": {"sbd": "x"}}, "--data.sbd: belongs to"),
        ({"data": {"least_area": -1}}, "--data.least_area"),
        ({"data": {"flip_probability": 2.0}}, "--data.flip_probability"),
    ],
)
def test_settings_that_cannot_be(flags, message):
    with pytest.raises(UserError, match=message) as caught:
        small.tiny_config(**flags)
    assert "\n" not in str(caught.value)


def test_a_root_that_is_not_there():
    with pytest.raises(UserError, match=r"--data\.root nowhere: no such folder"):
        read(Config(data=DataConfig(root=Path("nowhere"))), "train")
