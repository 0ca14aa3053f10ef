"""The check of a segmentation set: what is sound has no finding, and each planted fault has one."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.training.settings import EngineConfig
from tasks.segmentation import check
from tasks.segmentation.config import Config, DataConfig
from tests.tasks import checked
from tests.tasks.segmentation import small


@pytest.fixture
def voc(tmp_path):
    return small.write_voc(tmp_path / "VOC2012")


@pytest.fixture
def found(voc, monkeypatch, capsys):
    """Exit status and findings with further flags."""
    flags = ["--data.root", voc, "--out", voc.parent / "run", "--engine.batch_size", "2"]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found, voc):
    assert found() == (0, [])
    assert (voc.parent / "run" / "check" / "index.html").is_file()
    assert [path.name for path in (voc.parent / "run").iterdir()] == ["check"]


def test_pixels_of_each_class_are_those_of_the_label_maps(voc):
    config = Config(data=DataConfig(root=voc), engine=EngineConfig(batch_size=2))
    split = check.examined(config, "train", "stop")
    for index in range(len(split)):
        labels = np.array(Image.open(voc / "SegmentationClass" / f"2007_{index:06d}.png"))
        wanted = {name: int((labels == label).sum()) for label, name in enumerate(small.CLASSES)}
        assert split.look(index).counts == {**wanted, "(ignored)": int((labels == 255).sum())}


def test_a_label_map_of_another_size(found, voc):
    small.write_labels(
        voc / "SegmentationClass" / "2007_000001.png", small.labels(1, 40, 30), small.voc_colours()
    )
    status, lines = found()
    assert status == 1 and len(lines) == 1
    assert "1 of 6 pictures cannot be read" in lines[0] and "40x30" in lines[0]
    assert found("--data.on_error", "skip")[0] == 0


def test_a_value_that_was_never_named(found, voc):
    labels = small.labels(2)
    labels[5, 5] = 9
    small.write_labels(voc / "SegmentationClass" / "2007_000002.png", labels, small.voc_colours())
    small.Image.fromarray(small.picture(2)).save(voc / "JPEGImages" / "2007_000002.jpg")
    status, lines = found()
    assert status == 1 and "1 of 6 pictures have labels that the settings do not exp" in lines[0]
    status, lines = found("--data.unknown", "ignore")
    assert status == 0 and "1 of 6 label maps hold values of no class" in lines[0]
    assert "1 pixels" in lines[0]


def test_a_class_without_a_pixel_is_told_by_its_finding_alone(found, voc, capsys):
    for path in (voc / "SegmentationClass").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.where(labels == 1, 0, labels).astype(np.uint8)).save(path)
    status, lines = found()
    assert status == 0 and [line.split()[1] for line in lines] == ["train:", "val:"]
    assert all("no pixels of 1 of" in line for line in lines)
    config = Config(data=replace(DataConfig(root=voc), classes=small.CLASSES))
    check.examined(config, "train", "stop").samples()
    assert capsys.readouterr().err == ""


def test_masks_of_0_and_255(found, voc):
    for path in (voc / "SegmentationClass").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).save(path)
    (voc / "classes.txt").write_text("background\nroad\n")
    status, lines = found()
    assert status == 1
    assert "say --data.values '{background: 0, road: 255}'" in lines[0]


def test_classes_that_nothing_says(found, voc):
    (voc / "classes.txt").unlink()
    status, lines = found("--data.format", "folders")
    assert status == 1 and "--data.classes is missing" in lines[0]


def test_samples_are_drawn_with_their_labels(voc):
    config = Config(data=replace(DataConfig(root=voc), classes=small.CLASSES))
    drawn = check.examined(config, "train", "stop").draw(0)
    picture = np.array(Image.open(voc / "JPEGImages" / "2007_000000.jpg"))
    labels = np.array(Image.open(voc / "SegmentationClass" / "2007_000000.png"))
    changed = (drawn != picture).any(axis=2)
    assert changed[labels == 1].mean() > 0.9 and changed[labels == 0].mean() < 0.2
