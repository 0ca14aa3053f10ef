"""Every kind of bad data: what is said, and that it is said in one line with the file's name."""

import dataclasses
import time

import numpy as np
import pytest
from scipy.io import savemat

from common.errors import DamagedFile, UserError
from common.training.sampling import generator_for
from tasks.reid.config import DataConfig
from tasks.reid.data import ScoringSet, TrainSet, read_test, read_training, warn_of_overlap
from tasks.reid.listing import present
from tests.tasks.reid import small

SKIP = dataclasses.replace(small.PLAIN, on_error="skip")


def refused(read, *words):
    """The one line that a reader is refused with; it must contain the words."""
    with pytest.raises(UserError) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert str(word) in line, line
    return line


def training(root, format="market", **changes):
    return read_training(DataConfig(root=root, format=format, **changes))


def test(root, format="market", **changes):
    return read_test(DataConfig(root=root, format=format, **changes))


test.__test__ = False


def test_a_missing_root(tmp_path):
    for kind in ("market", "msmt17", "cuhk03"):
        refused(
            lambda kind=kind: training(tmp_path / "no", kind), tmp_path / "no", "no such folder"
        )
    refused(lambda: training(tmp_path / "no.csv", "csv"), "no.csv", "no such file")
    refused(lambda: training(tmp_path, "csv"), tmp_path, "takes a CSV file")
    archive = tmp_path / "Market-1501-v15.09.15.zip"
    archive.touch()
    refused(lambda: training(archive), archive, "unpack it")


def test_a_root_of_the_wrong_level(tmp_path):
    root = small.write_market(tmp_path / "Market-1501-v15.09.15")
    refused(lambda: training(tmp_path), f"say --data.root {root}")
    refused(lambda: test(root / "query"), f"say --data.root {root}")
    root = small.write_msmt17(tmp_path / "sets" / "MSMT17_V1")
    refused(lambda: training(root.parent, "msmt17"), f"say --data.root {root}")


def test_an_archive_that_is_not_unpacked(tmp_path):
    (tmp_path / "Market-1501-v15.09.15.zip").touch()
    refused(lambda: training(tmp_path), "Market-1501-v15.09.15.zip is not unpacked")
    (tmp_path / "empty").mkdir()
    refused(lambda: training(tmp_path / "empty"), "no folder bounding_box_train", "an empty folder")


def test_names_that_say_no_person_are_listed_with_their_count(tmp_path):
    extra = [f"bounding_box_train/picture{number}.jpg" for number in range(5)]
    root = small.write_market(tmp_path, extra=extra)
    refused(
        lambda: training(root), root / "bounding_box_train", "5 of 17 pictures", "picture0.jpg",
        "picture2.jpg, ...", "0002_c1s1_000451_03.jpg", "--data.on_error skip",
    )  # fmt: skip
    found = training(root, on_error="skip")
    assert len(found.pictures) == 12
    assert "5 with names of another form" in found.summary()


def test_queries_of_another_name_are_counted(tmp_path):
    root = small.write_market(tmp_path, extra=["query/picture.jpg"])
    assert (
        "queries, left out: 1 with names of another form among"
        in test(root, on_error="skip").summary()
    )


def test_duke_is_refused_with_the_reason(tmp_path):
    for root in (tmp_path / "DukeMTMC-reID", tmp_path / "dukemtmc-reid" / "DukeMTMC-reID"):
        small.write_market(root)
        refused(
            lambda root=root: training(root), root, "withdrew in 2019", "privacy", "Market-1501"
        )
    small.save(tmp_path / "other" / "bounding_box_train" / "0001_c2_f0046182.jpg")
    refused(lambda: training(tmp_path / "other"), "DukeMTMC")


def test_an_empty_gallery_query_or_training_set(tmp_path):
    root = small.write_market(tmp_path / "a")
    for path in (root / "bounding_box_test").iterdir():
        path.unlink()
    refused(lambda: test(root), root / "bounding_box_test", "the gallery is empty")
    small.save(root / "bounding_box_test" / "-1_c1s1_000000_00.jpg")
    refused(lambda: test(root), "the gallery is empty")
    root = small.write_market(tmp_path / "b", test=())
    small.save(root / "bounding_box_test" / "0007_c1s1_000000_00.jpg")
    refused(lambda: test(root), root / "query", "the query is empty")
    root = small.write_market(tmp_path / "c", train=())
    refused(lambda: training(root), root / "bounding_box_train", "no training pictures")


def test_queries_without_a_match_are_counted_and_named(tmp_path):
    root = small.write_market(
        tmp_path, extra=["query/0044_c1s1_0_0.jpg", "query/0055_c1s1_0_0.jpg"]
    )
    found = test(root)
    assert found.unmatched().sum() == 2
    assert "2 of the queries have no picture" in found.summary()
    assert "(persons 0044, 0055)" in found.summary()
    assert "have no picture" not in test(small.write_market(tmp_path / "sound")).summary()


def test_persons_seen_by_one_camera_only(tmp_path):
    root = small.write_market(tmp_path / "a", extra=["bounding_box_train/0099_c2s1_0_0.jpg"])
    assert "1 of the persons are seen by one camera only" in training(root).summary()
    # As queries they have no match: one of them is counted, nothing but them is an error.
    root = small.write_market(tmp_path / "b", cameras=(1,))
    refused(lambda: test(root), root / "query", "not one of the 3 queries", "0011, 0012, 0013")
    small.save(root / "bounding_box_test" / "0011_c2s1_000000_00.jpg")
    assert test(root).unmatched().tolist() == [False, True, True]


def test_persons_who_are_trained_on_and_scored_are_named(tmp_path, capsys):
    def warn(config):
        warn_of_overlap(read_training(config), read_test(config), config)

    root = small.write_market(tmp_path, train=(1, 2, 11, 13))
    warn(DataConfig(root=root))
    printed = capsys.readouterr()
    assert "warning: 2 persons are both trained on and scored (0011, 0013)" in printed.err
    root = small.write_market(tmp_path / "sound")
    warn(DataConfig(root=root))
    assert not capsys.readouterr().err
    # Also when the set is one of several that are trained on, however it is written.
    config = DataConfig(root=tmp_path, train_sets=(f"market:{tmp_path / 'sound' / '..'}",))
    warn(config)
    assert "0011, 0013" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["data/market", "market:", "duke:data/duke", ":data"])
def test_training_sets_of_another_form(text):
    refused(lambda: read_training(DataConfig(train_sets=(text,))), "--data.train_sets")


def test_a_training_set_given_twice(tmp_path):
    root = small.write_market(tmp_path)
    sets = (f"market:{root}", f"market:{root}/../{root.name}")
    refused(lambda: read_training(DataConfig(train_sets=sets)), "given twice")


def test_damaged_msmt17(tmp_path):
    root = small.write_msmt17(tmp_path)
    file = root / "list_train.txt"
    sound = file.read_text()
    for line in ("0000/picture.jpg 0", "0000/0000_000_01_0303morning_0008_0.jpg", "a b c", "x 0"):
        file.write_text(sound + line + "\n")
        refused(lambda: training(root, "msmt17"), f"{file}, line 5", line)
    file.write_bytes(b"\xff\xfe\x00")
    refused(lambda: training(root, "msmt17"), file, "cannot be read")
    file.write_text(sound)
    (root / "train" / "0001" / "0001_000_14_0303morning_0008_0.jpg").unlink()
    refused(
        lambda: training(root, "msmt17"), file, "names 4 pictures, 1 of them are missing",
        "0001_000_14_0303morning_0008_0.jpg", "--data.on_error skip",
    )  # fmt: skip
    found = training(root, "msmt17", on_error="skip")
    assert len(found.pictures) == 3
    assert "1 missing" in found.summary()
    (root / "train").rename(root / "elsewhere")
    refused(lambda: training(root, "msmt17"), root, "neither folder train nor mask_train_v2")
    file.unlink()
    refused(lambda: training(root, "msmt17"), root, "has no list_train.txt", "list_gallery.txt")


def test_damaged_cuhk03(tmp_path):
    root = small.write_cuhk03(tmp_path / "a")
    file = root / "cuhk03_new_protocol_config_detected.mat"
    refused(
        lambda: training(root, "cuhk03", cuhk03_boxes="labeled"), "config_labeled.mat",
        "cuhk03_new_protocol_config_detected.mat",
    )  # fmt: skip
    (root / "images_detected" / "2_001_1_01.png").unlink()
    refused(lambda: training(root, "cuhk03"), file, "1 of them are missing", "2_001_1_01.png")
    (root / "images_detected").rename(root / "pictures")
    refused(lambda: training(root, "cuhk03"), "no folder images_detected", "cuhk-03.mat")
    (root / "pictures").rename(root / "images_detected")
    content = {"filelist": np.array([["a.png"]], dtype=object), "labels": [[1]]}
    for changed in ({}, {**content, "train_idx": [[7]]}, {**content, "train_idx": [[1]]}):
        savemat(file, changed)
        refused(lambda: training(root, "cuhk03"), file)
    file.write_bytes(b"MATLAB 7.3")
    line = refused(lambda: training(root, "cuhk03"), file, "new protocol")
    assert line.count("new protocol") == 1
    small.write_market(tmp_path / "np" / "labeled")
    refused(
        lambda: training(tmp_path / "np", "cuhk03"), "--data.format market --data.root", "labeled"
    )
    refused(lambda: training(tmp_path / "np" / "labeled", "cuhk03"), "say --data.format market")


def test_damaged_csv(tmp_path):
    file = tmp_path / "people.csv"
    small.write_csv(file, [("a.jpg", "1", "2", "train")], header="path,person,camera")
    refused(lambda: training(file, "csv"), file, "no column split", "path, person, camera")
    file.write_text("")
    refused(lambda: training(file, "csv"), file, "no column path", "found nothing")
    small.write_csv(file, [("a.jpg", "1", "2", "train"), ("b.jpg", "1", "2", "val")])
    refused(lambda: training(file, "csv"), f"{file}, line 3", "val", "train, query, gallery")
    small.write_csv(file, [("a.jpg", "1", "", "train")])
    refused(lambda: training(file, "csv"), f"{file}, line 2", "camera is empty")
    small.write_csv(file, [("a.jpg", "1")])
    refused(lambda: training(file, "csv"), f"{file}, line 2", "camera is empty")
    small.write_csv(file, [("a.jpg", "1", "2", "train", "more")])
    refused(lambda: training(file, "csv"), f"{file}, line 2", "has more fields than the first")
    small.write_csv(file, [("a.jpg", "1", "2", "train")])
    (tmp_path / "a.jpg").unlink()
    refused(lambda: training(file, "csv"), file, "names 1 pictures, 1 of them are missing", "a.jpg")
    file.write_bytes(b"path,person,camera,split\n\xff\xfe,1,1,train\n")
    refused(lambda: training(file, "csv"), file, "cannot be read as a CSV file")


def test_a_truncated_picture_stops_or_is_left_out(tmp_path, capsys):
    root = small.write_market(tmp_path)
    path = root / "bounding_box_train" / "0001_c1s1_000000_00.jpg"
    path.write_bytes(path.read_bytes()[:200])
    config = DataConfig(root=root)
    with pytest.raises(DamagedFile, match=f"^{path}: .*cut short"):
        TrainSet(read_training(config), config).sample(0, generator_for(0, 0, 0))
    with pytest.raises(DamagedFile, match=f"^{path}: .*cut short"):
        ScoringSet((path,), config)[0]
    assert ScoringSet((path,), SKIP)[0] is None
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_pictures_of_any_kind_just_work(tmp_path, mode):
    suffix = "jpg" if mode in ("L", "CMYK") else "png"
    path = tmp_path / f"picture.{suffix}"
    small.picture(3).convert(mode).save(path)
    found = ScoringSet((path,), small.PLAIN)[0]["image"]
    assert found.shape == (3, 32, 16)
    assert found.std() > 10


def test_looking_for_all_pictures_of_msmt17_is_quick(tmp_path, monkeypatch):
    """Each folder is listed once, as asking for every file takes minutes on a network drive."""
    listings = []

    def listdir(folder):
        listings.append(folder)
        return [f"{number}.jpg" for number in range(9)]

    monkeypatch.setattr("os.listdir", listdir)
    monkeypatch.setattr("os.path.isdir", lambda folder: True)
    monkeypatch.setattr("os.stat", None)
    rows = [
        (tmp_path / f"{person:04d}" / f"{number}.jpg", "0", "0")
        for person in range(4101)
        for number in range(9)
    ]
    start = time.process_time()
    there, missing = present(rows, tmp_path / "list.txt", "stop")
    assert time.process_time() - start < 8  # 0.5 s on an idle core.
    assert (len(there), missing, len(listings)) == (4101 * 9, 0, 4101)
