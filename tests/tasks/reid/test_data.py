"""Reading the data sets: who is in which split, and what becomes of a picture."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from common.reading import image
from common.training.sampling import generator_for
from tasks.reid.config import DataConfig
from tasks.reid.csv_file import read_csv
from tasks.reid.cuhk03 import read_cuhk03
from tasks.reid.data import ScoringSet, TrainSet, overlap, read_test, read_training
from tasks.reid.evaluate import labels
from tasks.reid.listing import pictures
from tasks.reid.market import person_and_camera, read_market
from tasks.reid.msmt17 import read_msmt17
from tests.tasks.reid import small

PLAIN = small.PLAIN


def rows(pictures):
    return [
        (path.name, person, camera)
        for path, person, camera in zip(
            pictures.paths, pictures.persons.tolist(), pictures.cameras.tolist(), strict=True
        )
    ]


def test_market(tmp_path):
    small.write_market(tmp_path, extra=["bounding_box_test/0000_c3s2_000007_01.jpg"])
    for name in ("-1_c1s1_000401_03.jpg", "-1_c2s1_000401_03.jpg"):
        small.save(tmp_path / "bounding_box_test" / name)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / folder / "Thumbs.db").touch()
    train = read_market(tmp_path, "train", PLAIN)
    assert len(train) == 12
    assert rows(train)[0] == ("0001_c1s1_000000_00.jpg", "0001", "1")
    query = read_market(tmp_path, "query", PLAIN)
    assert [row[1:] for row in rows(query)[:2]] == [("0011", "1"), ("0011", "2")]
    gallery = read_market(tmp_path, "gallery", PLAIN)
    assert rows(gallery)[0] == ("0000_c3s2_000007_01.jpg", "0000", "3"), "distractors stay"
    assert len(gallery) == 7
    assert gallery.left_out["junk (-1)"] == 2
    assert "left out: 2 junk (-1)" in gallery.summary()
    assert "7 pictures of 4 persons by 3 cameras" in gallery.summary()


def test_nobody_is_a_query_or_learnt(tmp_path):
    small.write_market(
        tmp_path, extra=["query/0000_c1s1_000000_00.jpg", "bounding_box_train/0000_c1s1_0_0.jpg"]
    )
    for split in ("train", "query"):
        found = read_market(tmp_path, split, PLAIN)
        assert "0000" not in found.persons
        assert found.left_out["of nobody (0000)"] == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0002_c1s1_000451_03.jpg", ("0002", "1")),
        ("0001_c2_1.png", ("0001", "2")),  # CUHK03's conversion
        ("1501_c6s4_001877_01.jpg.jpg", ("1501", "6")),
        ("7_c12_x.jpg", ("0007", "12")),
        ("0000_c1s1_000401_03.jpg", ("0000", "1")),
        ("-1_c1s1_000401_03.jpg", None),
        ("me.jpg", None),
    ],
)
def test_names_in_markets_form(name, expected):
    assert person_and_camera(Path("folder") / name) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_msmt17(tmp_path, version):
    small.write_msmt17(tmp_path, version)
    train = read_msmt17(tmp_path, "train", PLAIN)
    assert len(train) == 4
    assert rows(train)[1][1:] == ("train 0000", "14")
    both = read_msmt17(tmp_path, "train", dataclasses.replace(PLAIN, train_split="trainval"))
    assert len(both) == 8
    query, gallery = (read_msmt17(tmp_path, split, PLAIN) for split in ("query", "gallery"))
    assert len(query) == len(gallery) == 4
    assert set(query.persons.tolist()) == {"test 0000", "test 0001"}
    # Both halves number their people from 0, so equal numbers are different people.
    config = DataConfig(root=tmp_path, format="msmt17")
    assert overlap(read_training(config), read_test(config), config) == []


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_cuhk03_in_its_new_protocol(tmp_path, boxes):
    small.write_cuhk03(tmp_path, boxes)
    config = dataclasses.replace(PLAIN, cuhk03_boxes=boxes)
    train, query, gallery = (
        read_cuhk03(tmp_path, split, config) for split in ("train", "query", "gallery")
    )
    assert (len(train), len(query), len(gallery)) == (8, 4, 4)
    assert rows(query)[:2] == [
        ("2_003_1_01.png", "0003", "1"),
        ("2_003_2_06.png", "0003", "2"),
    ]
    assert set(train.persons.tolist()) == {"0001", "0002"}


def test_csv(tmp_path):
    file = small.write_csv(tmp_path / "people.csv")
    train = read_csv(file, "train", PLAIN)
    assert rows(train)[0] == ("ann_door.jpg", "ann", "door")
    assert train.paths[0].is_file()
    test = read_test(DataConfig(root=file, format="csv"))
    assert set(test.query.persons.tolist()) == {"cid", "dora"}


def test_csv_in_another_order_with_a_mark_junk_and_nobody(tmp_path):
    file = tmp_path / "people.csv"
    small.save(tmp_path / "a.jpg")
    lines = ["split, camera,note,person,path", "gallery,1,x,-1,a.jpg", "gallery,1,,0,a.jpg"]
    lines += ["query,1,,0,a.jpg", 'query,2,"a, b",anna,a.jpg', "gallery,1,,anna,a.jpg"]
    file.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    gallery, query = (read_csv(file, split, PLAIN) for split in ("gallery", "query"))
    assert rows(gallery) == [("a.jpg", "0", "1"), ("a.jpg", "anna", "1")]
    assert rows(query) == [("a.jpg", "anna", "2")]
    assert gallery.left_out["junk (-1)"] == query.left_out["of nobody (0)"] == 1


def test_several_sets_are_learnt_together(tmp_path):
    """Equal numbers in two sets are different people; a class belongs to one set."""
    first = small.write_market(tmp_path / "first", train=(1, 2))
    second = small.write_market(tmp_path / "second", train=(2, 9, 5))
    third = small.write_csv(tmp_path / "third" / "people.csv")
    sets = (f"market:{first}", f"market:{second}", f"csv:{third}")
    training = read_training(DataConfig(train_sets=sets))
    assert training.persons == 2 + 3 + 2
    assert len(training.pictures) == 8 + 12 + 4
    classes = {}
    for path, label in zip(training.pictures.paths, training.labels.tolist(), strict=True):
        root = path.relative_to(tmp_path).parts[0]
        classes.setdefault(label, set()).add((root, path.name.split("_")[0]))
    assert classes == {
        0: {("first", "0001")}, 1: {("first", "0002")},
        2: {("second", "0002")}, 3: {("second", "0005")}, 4: {("second", "0009")},
        5: {("third", "ann")}, 6: {("third", "bob")},
    }  # fmt: skip
    assert "first" in training.summary()
    assert "second" in training.summary()


def test_learning_one_set_and_scoring_another(tmp_path):
    learnt = small.write_market(tmp_path / "learnt", train=(11, 12))
    scored = small.write_market(tmp_path / "scored", test=(11, 12))
    config = DataConfig(root=scored, train_sets=(f"market:{learnt}",))
    training, test = read_training(config), read_test(config)
    assert all("learnt" in str(path) for path in training.pictures.paths)
    assert all("scored" in str(path) for path in test.gallery.paths)
    assert overlap(training, test, config) == [], "equal numbers in other sets say nothing"


def test_labels_are_equal_where_names_are(tmp_path):
    test = read_test(DataConfig(root=small.write_csv(tmp_path / "a.csv"), format="csv"))
    query, gallery = labels(test)
    for side, numbers in ((test.query, query), (test.gallery, gallery)):
        for other, others in ((test.query, query), (test.gallery, gallery)):
            same = side.persons[:, None] == other.persons
            np.testing.assert_array_equal(numbers.persons[:, None] == others.persons, same)
            same = side.cameras[:, None] == other.cameras
            np.testing.assert_array_equal(numbers.cameras[:, None] == others.cameras, same)


def test_samples(tmp_path):
    config = DataConfig(root=small.write_market(tmp_path), input_size=(64, 32), padding=4)
    training = read_training(config)
    dataset = TrainSet(training, config)
    assert len(dataset) == 12 * 4
    one = dataset.sample(5, generator_for(0, 0, 5))
    assert one["image"].shape == (3, 64, 32)
    assert one["image"].dtype == np.uint8
    assert one["erased"].shape == (4,)
    assert one["label"] == training.labels[5]
    again = dataset.sample(5, generator_for(0, 0, 5))
    assert np.array_equal(one["image"], again["image"])
    # A copy is the same picture, varied otherwise because its number is another.
    copy = dataset.sample(5 + 12, generator_for(0, 0, 5 + 12))
    assert copy["label"] == one["label"]
    assert not np.array_equal(one["image"], copy["image"])


def test_a_test_picture_is_scaled_and_nothing_else(tmp_path):
    path = small.save(tmp_path / "a.png", 3)
    found = ScoringSet((path,), dataclasses.replace(PLAIN, input_size=(48, 24 * 2 // 2 + 8)))[0]
    assert found["index"] == 0
    assert found["image"].shape == (3, 48, 32)
    same = ScoringSet((path,), dataclasses.replace(PLAIN, input_size=(48, 32)))[0]["image"]
    np.testing.assert_array_equal(found["image"], same)
    stored = image.read(path)
    assert abs(found["image"].mean() - stored.mean()) < 2


def test_fingerprints_tell_lists_apart(tmp_path):
    one = read_market(small.write_market(tmp_path / "a"), "query", PLAIN)
    same = read_market(small.write_market(tmp_path / "b"), "query", PLAIN)
    other = read_market(small.write_market(tmp_path / "c", test=(11, 12, 14)), "query", PLAIN)
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    flat = pictures("", [(Path("a.jpg"), "1", "1"), (Path("b.jpg"), "1", "2")])
    nested = pictures("", [(Path("a.jpg"), "1", "1"), (Path("sub/b.jpg"), "1", "2")])
    assert flat.fingerprint() != nested.fingerprint()
