"""What is read, beside torchvision's ImageFolder, tarfile and the files themselves."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from common.errors import DamagedFile, UserError
from common.training.sampling import Counted, collate, generator_for
from tasks.classification import folders, labels, official
from tasks.classification.config import Config, DataConfig, ScoringConfig
from tasks.classification.data import ScoringSet, TrainSet, read_splits
from tasks.classification.labels import Classes
from tasks.classification.pictures import renumbered, spread
from tests.tasks.classification import small
from tests.tasks.classification.small import read_split


def test_classes_and_files_are_in_image_folders_order(root):
    (root / "train" / "cat" / "more" / "deep").mkdir(parents=True)
    small.picture(7).save(root / "train" / "cat" / "more" / "deep" / "a.PNG")
    small.picture(8).save(root / "train" / "cat" / "Z.JPEG")
    (root / "train" / "cat" / "notes.txt").write_text("no picture")
    (root / "train" / "a class").mkdir()
    small.picture(9).save(root / "train" / "a class" / "ä ö.webp")
    theirs = ImageFolder(root / "train")
    ours = folders.read(root, "train", None)
    assert list(ours.classes.names) == theirs.classes
    assert [ours.store.name(k) for k in range(len(ours))] == [path for path, _ in theirs.samples]
    assert ours.labels.tolist() == theirs.targets
    for index in (0, len(ours) - 1):
        assert ours.store.read(index).tobytes() == Path(theirs.samples[index][0]).read_bytes()


def test_hidden_folders_are_no_classes(root):
    (root / "train" / ".ipynb_checkpoints").mkdir()
    assert folders.read(root, "train", None).classes.names == small.CLASSES


def test_titles_come_from_the_list_in_the_root(root):
    (root / "classes.txt").write_text("dog\tman's best friend\ncat\tcat\n")
    found = read_split(DataConfig(root=root), "train")
    assert found.classes == Classes(small.CLASSES, ("bee", "cat", "man's best friend"))


def test_a_list_of_classes_reads_back(tmp_path):
    classes = Classes(("n01440764", "a class", "b"), ("tench, Tinca tinca", "a class", "B b"))
    labels.write(classes, tmp_path / "classes.txt")
    assert labels.read(tmp_path / "classes.txt") == classes
    (tmp_path / "kaggle.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    found = labels.read(tmp_path / "kaggle.txt")
    assert found.names == ("n01440764", "n01443537")
    assert found.titles == ("tench, Tinca tinca", "goldfish")


def test_names_of_every_kind_read_back(tmp_path):
    names = ("n01440764 tench", "a ", " b", "great white", "n01443537", "naïve", "x\u2028y")
    classes = Classes(names, names)
    labels.write(classes, tmp_path / "classes.txt")
    assert labels.read(tmp_path / "classes.txt").names == names
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbf cat \r\ndog\tDog\r\n\r\n")
    assert labels.read(tmp_path / "windows.txt") == Classes(("cat", "dog"), ("cat", "Dog"))


def test_a_file_name_that_is_not_utf_8_has_a_fingerprint(tmp_path):
    root = small.write_tree(tmp_path)
    plain = folders.read(root, "val", None).fingerprint
    odd = os.fsdecode(b"\xe9t\xe9.jpg")
    (root / "val/cat/cat_0.jpg").rename(root / "val/cat" / odd)
    assert folders.read(root, "val", None).fingerprint != plain


def test_imagenets_classes():
    classes = labels.imagenet()
    assert len(classes) == 1000
    assert list(classes.names) == sorted(classes.names)
    assert (classes.names[0], classes.titles[0]) == ("n01440764", "tench, Tinca tinca")
    assert classes.index("goldfish, Carassius auratus") == classes.index("n01443537") == 1


def flat_validation(tmp_path, count=4):
    folder = tmp_path / "imagenet" / "val"
    folder.mkdir(parents=True)
    names = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, count + 1)]
    for number, name in enumerate(names):
        small.picture(number).save(folder / name)
    return tmp_path / "imagenet", names


def test_a_list_of_names_and_numbers(tmp_path):
    root, names = flat_validation(tmp_path)
    (tmp_path / "val.txt").write_text("".join(f"{name} {k * 7}\n" for k, name in enumerate(names)))
    found = official.read(root, "val", tmp_path / "val.txt", None)
    assert found.labels.tolist() == [0, 7, 14, 21]
    assert len(found.classes) == 1000
    assert found.store.key(2) == names[2]


def test_a_list_of_names_and_classes(tmp_path):
    root, names = flat_validation(tmp_path)
    classes = Classes(small.CLASSES, small.CLASSES)
    rows = zip(names, ("dog", "bee", "bee", "cat"), strict=True)
    (tmp_path / "val.txt").write_text("".join(f"{name} {label}\n" for name, label in rows))
    found = official.read(root, "val", tmp_path / "val.txt", classes)
    assert found.labels.tolist() == [2, 0, 0, 1]


def write_kit(folder):
    """A development kit: numbers in an order of its own, and inner nodes of the hierarchy."""
    leaves = [(1, "n02", "cat, true cat"), (2, "n03", "dog"), (3, "n01", "bee")]
    kind = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    rows = [(number, wnid, words, 0) for number, wnid, words in leaves]
    synsets = np.array([*rows, (4, "n00", "animal", 3)], dtype=kind)
    folder.mkdir()
    savemat(folder / "meta.mat", {"synsets": synsets})
    file = folder / "ILSVRC2012_validation_ground_truth.txt"
    file.write_text("3\n1\n2\n1\n")
    return file


def test_the_development_kit_is_translated(tmp_path):
    root, names = flat_validation(tmp_path)
    found = official.read(root, "val", write_kit(tmp_path / "kit"), None)
    assert found.classes.names == ("n01", "n02", "n03")
    assert found.classes.titles == ("bee", "cat, true cat", "dog")
    assert found.labels.tolist() == [0, 1, 2, 1]
    assert [found.store.key(k) for k in range(4)] == names


def test_the_list_takes_the_place_of_the_validation_folders(root, tmp_path):
    flat, names = flat_validation(tmp_path)
    (flat / "val").rename(root / "flat")
    (tmp_path / "val.txt").write_text("".join(f"{name} 2\n" for name in names))
    data = DataConfig(root=root, val_split="flat", val_list=tmp_path / "val.txt")
    training, validation = read_splits(Config(data=data))
    assert validation.classes == training.classes
    assert validation.labels.tolist() == [2] * 4


def test_numbers_count_the_names_in_order_whatever_the_list_of_titles_says(root, tmp_path):
    flat, names = flat_validation(tmp_path)
    (flat / "val").rename(root / "flat")
    (tmp_path / "val.txt").write_text("".join(f"{name} 2\n" for name in names))
    (root / "classes.txt").write_text("dog\tman's best friend\nwolf\nbee\ncat\n")
    data = DataConfig(root=root, val_split="flat", val_list=tmp_path / "val.txt")
    training, validation = read_splits(Config(data=data))
    assert validation.classes.names == training.classes.names == ("bee", "cat", "dog")
    assert [validation.classes.titles[k] for k in validation.labels] == ["man's best friend"] * 4
    alone = read_split(data, "flat")
    assert [alone.classes.names[k] for k in alone.labels] == ["dog"] * 4


def test_a_name_comes_before_a_number():
    classes = Classes(("1", "2", "3"), ("one", "two", "three"))
    assert [classes.index(text) for text in ("1", "two", "3", "0")] == [0, 1, 2, 0]
    with pytest.raises(UserError, match="no such class"):
        classes.index("\u00b2")


@pytest.mark.parametrize("name", ["a\tb", "caf\udce9", "a\nb"])
def test_folder_names_that_no_list_can_hold(root, name):
    (root / "train" / "dog").rename(root / "train" / name)
    with pytest.raises(UserError, match="is not UTF-8, or has a tab or a line break in it"):
        folders.read(root, "train", None)


def test_a_training_sample(root):
    pictures = folders.read(root, "train", None)
    dataset = TrainSet(pictures, DataConfig(root=root, input_size=32))
    assert len(dataset) == 12
    sample = dataset.sample(5, generator_for(0, 0, 5))
    assert sample["image"].shape == (3, 32, 32)
    assert sample["image"].dtype == np.uint8
    assert sample["label"] == 1
    again = dataset.sample(5, generator_for(0, 0, 5))
    assert np.array_equal(sample["image"], again["image"])


@pytest.mark.parametrize("data_format", ["folder", "shards"])
def test_workers_change_nothing(root, packed, data_format):
    data = DataConfig(
        root=root if data_format == "folder" else packed,
        format=data_format, input_size=32, randaugment=9,
    )  # fmt: skip
    dataset = Counted(TrainSet(read_split(data, "train"), data), seed=1)
    keys = [(epoch, index) for epoch in range(2) for index in range(12)]
    batches = [
        list(DataLoader(dataset, 4, sampler=keys, num_workers=workers, collate_fn=collate))
        for workers in (0, 2)
    ]
    for alone, together in zip(*batches, strict=True):
        assert alone["label"].tolist() == together["label"].tolist()
        assert np.array_equal(alone["image"], together["image"])


def test_a_test_sample_is_red_green_blue(tmp_path):
    for name in ("blue", "red"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), name).save(tmp_path / "val" / name / "a.png")
    config = Config(test=ScoringConfig(input_size=16))
    dataset = ScoringSet(folders.read(tmp_path, "val", None), config)
    for index, plane in ((0, 2), (1, 0)):
        sample = dataset[index]
        assert sample["image"][plane].min() == 255
        assert sample["image"].sum() == 255 * 16 * 16
        assert (sample["label"], sample["index"]) == (index, index)


def test_a_damaged_picture_stops_or_is_left_out(root, capsys):
    path = root / "val" / "cat" / "cat_1.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    pictures = folders.read(root, "val", None)
    with pytest.raises(DamagedFile, match=r"cat_1\.jpg: the picture is cut short"):
        ScoringSet(pictures, Config())[3]
    assert ScoringSet(pictures, Config(data=DataConfig(on_error="skip")))[3] is None
    assert "skipped: " in capsys.readouterr().err


def test_pictures_under_another_models_numbers(root):
    pictures = folders.read(root, "val", None)
    wider = Classes(("ant", "bee", "cat", "cow", "dog"), ("ant", "bee", "cat", "cow", "dog"))
    found = renumbered(pictures, wider)
    assert found.labels.tolist() == [1, 1, 2, 2, 4, 4]
    assert found.counts().tolist() == [0, 2, 2, 0, 2]


def test_pictures_spread_over_a_split(root):
    pictures = folders.read(root, "train", None)
    few = spread(pictures, 3)
    assert few.labels.tolist() == [0, 1, 2]
    assert [few.store.key(k) for k in range(3)] == [pictures.store.key(k) for k in (0, 4, 8)]
    assert few.store.read(1).tobytes() == pictures.store.read(4).tobytes()
    assert few.store.name(2) == pictures.store.name(8)
    assert spread(pictures, 0) is pictures
    assert spread(pictures, 99) is pictures


def test_the_fingerprint_knows_names_and_classes_but_not_the_place(root, tmp_path):
    first = folders.read(root, "val", None).fingerprint
    root.rename(tmp_path / "elsewhere")
    assert folders.read(tmp_path / "elsewhere", "val", None).fingerprint == first
    (tmp_path / "elsewhere" / "val" / "cat" / "cat_0.jpg").rename(
        tmp_path / "elsewhere" / "val" / "dog" / "cat_0.jpg"
    )
    assert folders.read(tmp_path / "elsewhere", "val", None).fingerprint != first


def test_a_million_names_are_one_array(root):
    store = folders.read(root, "train", None).store
    assert store.names.dtype.kind == "S"
    assert len(store.names) == 12
