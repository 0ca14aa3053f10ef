"""Layouts on disk, and what the loaders make of them."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from common.errors import UserError
from common.reading.voc_maps import read_voc
from common.training.sampling import generator_for
from tasks.segmentation.config import Config, DataConfig
from tasks.segmentation.data import ScoringSet, TrainSet, with_classes
from tasks.segmentation.palette import VOC_CLASSES
from tests.tasks.segmentation import small
from tests.tasks.segmentation.small import read_split

DATA = DataConfig(classes=small.CLASSES, short_side=0)


@pytest.fixture
def voc(tmp_path):
    return small.write_voc(tmp_path / "VOC2012")


def test_voc(voc):
    split = read_split(voc, "train", DATA)
    assert len(split) == 6
    assert split.pairs[0].image == voc / "JPEGImages" / "2007_000000.jpg"
    for index in range(6):
        sample = split.read(index)
        height, width = sample.label.shape
        assert np.array_equal(sample.label, small.labels(index, width, height))
        assert np.abs(sample.image - small.picture(index, width, height).astype(int)).mean() < 8
    assert split.summary() == "train: 6 pictures, 3 classes"


def test_lists_of_other_tasks_have_a_second_column(voc):
    file = voc / "ImageSets" / "Segmentation" / "val.txt"
    file.write_text("\n".join(f"{line}  1" for line in file.read_text().splitlines()) + "\n\n")
    assert len(read_split(voc, "val", DATA)) == 3


def test_the_augmented_training_set(tmp_path, voc):
    """VOC's train and both parts of SBD without VOC's val; VOC's labels win where both have one."""
    names = [path.stem for path in sorted((voc / "JPEGImages").iterdir())]
    train, val = names[:6], names[6:]
    sbd = small.write_sbd(
        tmp_path / "sbd", voc, [*train[:3], "2008_000001", val[0]], ["2008_000002", *val[1:]]
    )
    pairs = read_voc(voc, "trainaug", sbd)
    assert [pair.image.stem for pair in pairs] == [*train, "2008_000001", "2008_000002"]
    assert {pair.label.suffix for pair in pairs[:6]} == {".png"}
    assert pairs[6].label == sbd / "cls" / "2008_000001.mat"
    split = read_split(voc, "trainaug", replace(DATA, sbd=sbd))
    assert (split.read(7).label == 2).all()
    assert split.reader.read(pairs[0].label).max() == 255


def test_an_augmented_set_that_was_converted_before(voc):
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "trainaug.txt").write_text((lists / "train.txt").read_text())
    (voc / "SegmentationClass").rename(voc / "SegmentationClassAug")
    pairs = read_voc(voc, "trainaug", None)
    assert len(pairs) == 6
    assert pairs[0].label.parent.name == "SegmentationClassAug"


@pytest.mark.parametrize("prefix", ["", "camvid/"])
def test_a_list_of_pictures_and_labels(tmp_path, prefix):
    root = small.write_list(tmp_path / "camvid")
    # Lists are also circulated with the name of the set's folder before every path.
    words = (root / "train.txt").read_text().split()
    lines = [f"{prefix}{a} {prefix}{b}" for a, b in zip(words[::2], words[1::2], strict=True)]
    (root / "train.txt").write_text("\n".join(lines))
    data = replace(DATA, format="list", ignore_index=3)
    split = read_split(root, "train", data)
    assert len(split) == 4
    for index in range(4):
        sample = split.read(index)
        assert np.array_equal(sample.label, small.labels(index))
        assert np.array_equal(sample.image, small.picture(index))


def test_folders_of_equal_names(tmp_path):
    small.write_list(tmp_path, split="val")
    data = replace(
        DATA, format="folders", ignore_index=3, image_folder="{split}", label_folder="{split}annot"
    )
    split = read_split(tmp_path, "val", data)
    assert [pair.image.name for pair in split.pairs] == ["0.png", "1.png", "2.png", "3.png"]
    assert np.array_equal(split.read(2).label, small.labels(2))


def test_names_that_are_listed_and_folders_of_all_splits(tmp_path):
    """Pictures of all splits in one folder, labels with a word, and a list of names per split."""
    small.write_list(tmp_path, split="val")
    (tmp_path / "val").rename(tmp_path / "images")
    (tmp_path / "valannot").rename(tmp_path / "labels")
    for label in (tmp_path / "labels").iterdir():
        label.rename(label.with_name(f"{label.stem}_mask.png"))
    (tmp_path / "val.txt").write_text("3\n1\n")
    data = replace(DATA, format="list", ignore_index=3)
    split = read_split(tmp_path, "val", data)
    assert [pair.image.name for pair in split.pairs] == ["3.png", "1.png"]
    assert np.array_equal(split.read(0).label, small.labels(3))
    assert split.summary().endswith("; 3_mask.png is the label of 3.png")
    # Without a list the folder of all splits would be trained on and scored.
    with pytest.raises(UserError, match=r"image_folder images/{split}: .*has images, labels"):
        read_split(tmp_path, "val", replace(data, format="folders"))
    with pytest.raises(UserError, match=r"--data.image_folder photos: .*has images, labels"):
        read_split(tmp_path, "val", replace(data, format="folders", image_folder="photos"))


def test_names_of_the_classes(tmp_path, voc):
    assert with_classes(Config(data=DataConfig(root=voc))).data.classes == small.CLASSES
    (voc / "classes.txt").unlink()
    named = with_classes(Config(data=DataConfig(root=voc)))
    assert named.data.classes == VOC_CLASSES
    assert with_classes(named) == named


def test_names_of_the_classes_are_checked_against_the_palette(voc):
    data = DataConfig(root=voc, values=(0, 1))
    with pytest.raises(UserError, match=r"--data\.values has 2 entries for 3 classes"):
        with_classes(Config(data=data))


def test_training_sample(voc):
    data = replace(DATA, crop_size=(80, 40), blur_probability=0.5)
    dataset = TrainSet(read_split(voc, "train", data), data)
    assert len(dataset) == 6
    sample = dataset.sample(1, generator_for(0, 0, 1))
    assert sample["image"].shape == (3, 80, 40)
    assert sample["label"].shape == (80, 40)
    assert sample["image"].dtype == sample["label"].dtype == np.uint8
    assert sample["index"] == 1
    assert set(np.unique(sample["label"])) <= {0, 1, 2, 255}
    batch = default_collate([sample, dataset.sample(2, generator_for(0, 0, 2))])
    assert batch["image"].dtype == torch.uint8


def test_a_sample_depends_on_its_generator_alone(voc):
    data = replace(DATA, crop_size=(32, 32), blur_probability=0.5)
    dataset = TrainSet(read_split(voc, "train", data), data)
    first, again = (dataset.sample(0, generator_for(0, 0, 0)) for _ in range(2))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    others = [dataset.sample(0, generator_for(0, epoch, 0))["image"] for epoch in range(1, 6)]
    assert not any(np.array_equal(first["image"], other) for other in others)


def test_without_augmentation_the_picture_itself_is_learnt(voc):
    data = replace(DATA, crop_size=(48, 64), scales=(1, 1), flip_probability=0)
    split = read_split(voc, "train", data)
    sample = TrainSet(split, data).sample(1, generator_for(0, 0, 0))
    whole = split.read(1)
    assert np.array_equal(sample["image"], whole.image.transpose(2, 0, 1))
    assert np.array_equal(sample["label"], whole.label)


def test_evaluation_sees_whole_pictures(voc):
    split = read_split(voc, "val", DATA)
    found = ScoringSet(split, "stop")[0]
    assert found["image"].shape == (3, 64, 48)
    assert np.array_equal(found["label"], small.labels(6, 48, 64))


def test_the_fingerprint_follows_names_and_labels(voc):
    def fingerprint():
        return read_split(voc, "val", DATA).fingerprint()

    before = fingerprint()
    assert before == fingerprint()
    assert len(before) == len(hashlib.sha256().hexdigest())
    labels = np.zeros((48, 64), np.uint8)
    Image.fromarray(labels).save(voc / "SegmentationClass" / "2007_000007.png")
    assert fingerprint() != before
