"""Every kind of bad data: what is said, and that it is said in one line with the file's name."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import DamagedFile, UserError
from common.networks.losses import cross_entropy
from common.training.distributed import World
from common.training.sampling import generator_for
from tasks.segmentation import evaluate, train
from tasks.segmentation.config import Config, DataConfig
from tasks.segmentation.data import ScoringSet, TrainSet, read, with_classes
from tests.tasks.segmentation import small
from tests.tasks.segmentation.oracle import Oracle, tiny_config
from tests.tasks.segmentation.small import read_split

DATA = DataConfig(classes=small.CLASSES)


@pytest.fixture
def voc(tmp_path):
    return small.write_voc(tmp_path / "VOC2012")


def refused(read, *words, kind=UserError):
    """The one line that a reader is refused with; it must contain the words."""
    with pytest.raises(kind) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert str(word) in line
    return line


def refused_split(root, *words, split="train", **changes):
    return refused(lambda: read_split(root, split, replace(DATA, **changes)), *words)


def test_a_missing_root(tmp_path):
    refused_split(tmp_path / "none", f"--data.root {tmp_path / 'none'}", "no such folder")
    config = Config(data=DataConfig(root=tmp_path / "none", format="list"))
    refused(lambda: with_classes(config), f"--data.root {tmp_path / 'none'}", "no such folder")


def test_a_root_one_level_too_high_or_too_deep(voc):
    refused_split(voc.parent, f"say --data.root {voc}")
    refused_split(voc / "JPEGImages", f"say --data.root {voc}")
    devkit = voc.parent / "data" / "VOCdevkit"
    devkit.mkdir(parents=True)
    voc.rename(devkit / "VOC2012")
    refused_split(devkit.parent, f"say --data.root {devkit / 'VOC2012'}")


def test_an_archive_that_is_not_unpacked(tmp_path):
    (tmp_path / "VOCtrainval_11-May-2012.tar").touch()
    refused_split(tmp_path, "VOCtrainval_11-May-2012.tar is not unpacked")


def test_another_layout(tmp_path):
    refused_split(tmp_path, "another --data.format")


def test_an_unknown_split(voc):
    refused_split(voc, "test.txt: no such split; there are train, val", split="test")
    refused_split(voc, "--data.sbd", split="trainaug")


def test_sbd_one_level_too_high_or_not_there(voc, tmp_path):
    small.write_sbd(tmp_path / "release" / "dataset", voc, ["2008_000001"], ["2008_000002"])
    changes = {"split": "trainaug", "sbd": tmp_path / "release"}
    refused_split(voc, f"say --data.sbd {tmp_path / 'release' / 'dataset'}", **changes)
    refused_split(voc, "is it unpacked?", split="trainaug", sbd=tmp_path / "none")


def test_missing_labels_and_pictures_are_counted_and_named(voc):
    (voc / "SegmentationClass" / "2007_000002.png").unlink()
    refused_split(voc, "names 6 pictures, 1 of their labels are missing", "2007_000002.png")
    (voc / "SegmentationClass" / "2007_000002.png").touch()
    (voc / "JPEGImages" / "2007_000003.jpg").unlink()
    refused_split(voc, "1 of their pictures are missing", "2007_000003.jpg")


def test_a_missing_label_in_lists_and_folders(tmp_path):
    root = small.write_list(tmp_path)
    (root / "trainannot" / "1.png").unlink()
    changes = {"ignore_index": 3, "image_folder": "{split}", "label_folder": "{split}annot"}
    refused_split(root, "train.txt", "trainannot/1.png", format="list")
    refused_split(root, "no label for 1 of the 4 pictures", "1.png", format="folders", **changes)


def test_an_empty_list(voc):
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("\n")
    refused_split(voc, "train.txt: is empty")


def test_nobody_says_which_classes_there_are(tmp_path):
    root = small.write_list(tmp_path)
    config = Config(data=DataConfig(root=root, format="list"))
    refused(lambda: with_classes(config), "--data.classes is missing", root / "classes.txt")
    (root / "classes.txt").write_text("\n".join(small.CLASSES))
    assert with_classes(config).data.classes == small.CLASSES


def test_a_label_beyond_the_classes_is_found_at_the_door(voc):
    refused_split(
        voc, "2007_000000.png", "label value 2", "2 classes have 0 to 1", classes=small.CLASSES[:2]
    )


def test_colour_masks_are_found_at_the_door_and_a_palette_converts_them(voc):
    palette = ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    wanted = read_split(voc, "train", DATA).read(0).label
    for path in (voc / "SegmentationClass").iterdir():
        Image.open(path).convert("RGB").save(path)
    refused_split(voc, "2007_000000.png", "colour picture", "--data.palette")
    refused_split(voc, "[224, 224, 192]", "--data.unknown ignore", palette=palette)
    split = read_split(voc, "train", replace(DATA, palette=palette, unknown="ignore"))
    assert np.array_equal(split.read(0).label, wanted)


def test_a_label_map_of_another_size(voc):
    file = voc / "SegmentationClass" / "2007_000000.png"
    Image.fromarray(small.labels(0)).save(file)
    line = refused_split(voc, file, "64x48", "48x64", "scaled or turned")
    assert str(voc / "JPEGImages" / "2007_000000.jpg") in line


def test_a_damaged_picture_or_label_stops_or_is_skipped(voc, capsys):
    picture = voc / "JPEGImages" / "2007_000006.jpg"
    picture.write_bytes(picture.read_bytes()[:700])
    refused_split(voc, picture, "cut short", split="val")
    split = read_split(voc, "val", replace(DATA, on_error="skip"))
    refused(lambda: ScoringSet(split, "stop")[0], picture, kind=DamagedFile)
    assert ScoringSet(split, "skip")[0] is None
    assert str(picture) in capsys.readouterr().err
    refused(
        lambda: TrainSet(split, DATA).sample(0, generator_for(0, 0, 0)), picture, kind=DamagedFile
    )


def test_skipped_pictures_are_counted(voc):
    (voc / "SegmentationClass" / "2007_000006.png").write_bytes(b"")
    config = tiny_config(voc, data={"on_error": "skip"})
    split = read(config, "val")
    model = Oracle(split)
    model.seen = 1
    found = evaluate.evaluate(model.eval(), split, config, World())
    assert found.skipped == 1
    assert found.metrics["mIoU"] == 1


def test_an_all_ignored_picture_teaches_and_scores_nothing(voc):
    Image.fromarray(np.full((64, 48), 255, np.uint8)).save(
        voc / "SegmentationClass" / "2007_000006.png"
    )
    config = tiny_config(voc)
    split = read(config, "val")
    assert evaluate.evaluate(Oracle(split).eval(), split, config, World()).metrics["mIoU"] == 1
    label = TrainSet(split, config.data).sample(0, generator_for(0, 0, 0))["label"]
    assert (label == 255).all()
    loss = cross_entropy(torch.randn(1, 3, *label.shape), torch.from_numpy(label)[None])
    assert loss == 0


def test_a_split_without_any_label_has_no_score(voc):
    for path in (voc / "SegmentationClass").iterdir():
        Image.fromarray(np.full_like(np.asarray(Image.open(path)), 255)).save(path)
    config = tiny_config(voc)
    split = read(config, "val")
    refused(
        lambda: evaluate.evaluate(Oracle(split).eval(), split, config, World()),
        "val has no labelled pixel", "--data.ignore_index 255",
    )  # fmt: skip


def run_train(monkeypatch, root, out, *flags):
    words = [
        "--data.root", root, "--out", out, "--model.channels", "32", "--data.crop_size", "[32, 32]",
        "--engine.batch_size", "4", "--engine.device", "cpu", "--loader.workers", "0", *flags,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *map(str, words)])
    train.main()


@pytest.mark.parametrize("decoder", ["deeplabv3plus", "deeplabv3", "upernet", "pan"])
def test_one_sample_and_a_decoder_that_pools_the_whole_picture(voc, tmp_path, monkeypatch, decoder):
    flags = ("--model.decoder", decoder, "--engine.batch_size", "1", "--engine.epochs", "1")
    line = refused(
        lambda: run_train(monkeypatch, voc, tmp_path / "run", *flags),
        "--engine.batch_size 1", decoder, "--engine.sync_batchnorm", "unet",
    )  # fmt: skip
    assert "pspnet" in line
    assert not (tmp_path / "run").exists()


def test_micro_batches_of_one_sample(voc, tmp_path, monkeypatch):
    refused(
        lambda: run_train(monkeypatch, voc, tmp_path / "run", "--engine.accumulate", "4"),
        "--engine.batch_size 4: leaves one sample",
    )


def test_one_sample_and_a_decoder_that_does_not_mind(voc, tmp_path, monkeypatch):
    flags = ("--model.decoder", "unet", "--engine.batch_size", "1", "--engine.epochs", "1")
    run_train(monkeypatch, voc, tmp_path / "run", *flags)
    assert (tmp_path / "run" / "metrics.json").exists()


def test_an_output_stride_that_a_decoder_cannot_take(voc, tmp_path, monkeypatch):
    flags = ("--model.decoder", "fpn", "--model.output_stride", "16")
    refused(
        lambda: run_train(monkeypatch, voc, tmp_path / "run", *flags),
        "--model.output_stride 16: fpn takes 32",
    )
