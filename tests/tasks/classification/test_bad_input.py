"""Mistakes that people make, and the one line that each of them gets."""

import errno
import re
import shutil
import sys

import pytest
import torch

from backbone import MODELS, WeightsError
from common.errors import UserError
from tasks.classification import evaluate, pack, train
from tasks.classification.config import Config, DataConfig, LossConfig, ModelConfig, ScoringConfig
from tasks.classification.data import read_splits
from tasks.classification.model import build, to_published
from tasks.classification.sample import __main__ as sample
from tests.tasks.classification import small
from tests.tasks.classification.test_data import flat_validation, write_kit


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    return small.write_tree(tmp_path / "data", train=2, val=1)


def refused(root, message, **settings):
    with pytest.raises(UserError, match=message) as caught:
        read_splits(Config(data=DataConfig(root=root, **settings)))
    assert "\n" not in str(caught.value)


def run(monkeypatch, command, *words):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
    command.main()


def refused_run(monkeypatch, message, command, *words):
    with pytest.raises((UserError, WeightsError), match=message) as caught:
        run(monkeypatch, command, *words)
    assert "\n" not in str(caught.value)


def test_an_empty_class_folder(root):
    shutil.rmtree(root / "train" / "dog")
    (root / "train" / "dog").mkdir()
    refused(root, r"train: 1 of its 3 class folders have no picture \(dog\).*fill or remove them")


def test_a_class_folder_with_an_archive(root):
    shutil.rmtree(root / "train" / "dog")
    (root / "train" / "dog").mkdir()
    (root / "train" / "dog" / "dog.tar").write_bytes(b"")
    refused(root, "have no picture .*unpack the archives in them")


@pytest.mark.parametrize("split", ["train", "val"])
def test_class_lists_that_differ(root, split):
    shutil.move(root / split / "dog", root / split / "wolf")
    missing, unexpected = ("dog", "wolf") if split == "val" else ("wolf", "dog")
    refused(
        root,
        r"--data\.val_split val: its classes are not those of --data\.train_split train: "
        rf"1 missing \({missing}\), 1 unexpected \({unexpected}\)",
    )


def test_a_missing_class_in_validation(root):
    shutil.rmtree(root / "val" / "bee")
    refused(root, r"2 classes instead of 3, 1 missing \(bee\)")


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    root = small.write_tree(tmp_path, classes=small.CLASSES[:1])
    refused(root, f"has the one class {small.CLASSES[0]}, so there is nothing to tell apart")


def test_the_wrong_level_of_the_root(root):
    refused(root / "nowhere", "there is no such root")
    refused(root.parent, "has no folder train; found cache, data|has no folder train; found data")
    (root / "train" / "n01440764").mkdir()
    refused(root / "train", "it looks like one split: --data.root is the folder above it")


def test_archives_that_were_not_unpacked(root):
    shutil.rmtree(root / "train")
    (root / "ILSVRC2012_img_train.tar").write_bytes(b"")
    refused(root, "has no folder train; unpack the archives that lie there")


def test_pictures_without_class_folders(root, tmp_path):
    flat, _ = flat_validation(tmp_path)
    shutil.rmtree(root / "val")
    shutil.move(flat / "val", root / "val")
    refused(root, r"4 pictures lie in it directly; .*--data\.val_list")
    for path in (root / "val").iterdir():
        path.unlink()
    refused(root, "holds no folder; needed is a folder a class")


def write_list(tmp_path, text):
    (tmp_path / "val.txt").write_text(text)
    return tmp_path / "val.txt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("NAME 0\nNAME\n", "line 2: has 1 words"),
        ("NAME 0 1\n", "line 1: has 3 words"),
        ("nothing.JPEG 0\n", "1 of its 1 pictures are not in .*, first nothing.JPEG"),
        ("NAME bird\n", "bird is none of the 3 classes, such as bee"),
        ("NAME 3\nNAME 1\n", "has class 3, but there are 3, from 0 to 2; it seems to count from 1"),
        ("NAME 1\nNAME 1\n", "picture .* is listed twice"),
        ("NAME \u00b2\n", "\u00b2 is none of the 3 classes"),
        ("NAME 12\n", r"has class 12, but there are 3, from 0 to 2$"),
        ("1\n2\n", "has 2 lines, but .* has 4 pictures"),
        ("1\n2\n3\n1\n", "mean nothing without meta.mat beside it"),
    ],
)
def test_lists_of_the_validation_pictures(root, tmp_path, text, message):
    flat, names = flat_validation(tmp_path)
    shutil.move(flat / "val", root / "flat")
    file = write_list(tmp_path, text.replace("NAME", names[0]))
    refused(root, message, val_split="flat", val_list=file)


def test_a_missing_list_and_a_broken_kit(root, tmp_path):
    flat, _ = flat_validation(tmp_path)
    shutil.move(flat / "val", root / "flat")
    settings = {"val_split": "flat"}
    refused(root, r"val\.txt: no such file", val_list=tmp_path / "val.txt", **settings)
    kit = write_kit(tmp_path / "kit")
    refused(root, "n01 is none of the 3 classes|n01.*none of the 3", val_list=kit, **settings)
    kit.write_text("3\n9\n2\n1\n")
    refused(root, "9 is not the number of a class", val_list=kit, **settings)
    (tmp_path / "kit" / "meta.mat").write_bytes(b"not Matlab's")
    refused(root, "is not the kit's table of classes", val_list=kit, **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("cat\ncat\n", "cat is listed twice")],
)
def test_lists_of_classes(root, tmp_path, text, message):
    (tmp_path / "classes.txt").write_text(text)
    refused(root, message, classes=tmp_path / "classes.txt")
    refused(root, "no such list of classes", classes=tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (DataConfig, {"input_size": 4}, r"--data\.input_size 4: must be at least 8"),
        (DataConfig, {"scale": (0.5, 0.1)}, r"--data\.scale \[0\.5, 0\.1\]: needs two rising"),
        (DataConfig, {"scale": (0.5, 1.5)}, r"--data\.scale .*at most the whole"),
        (DataConfig, {"ratio": (0.0, 1.0)}, r"--data\.ratio"),
        (DataConfig, {"flip_probability": 2.0}, r"--data\.flip_probability 2"),
        (DataConfig, {"randaugment": 11}, r"--data\.randaugment 11"),
        (DataConfig, {"randaugment_operations": 0}, r"--data\.randaugment_operations 0"),
        (ModelConfig, {"stem_stride": 3}, r"--model\.stem_stride 3: must be 1 or 2"),
        (LossConfig, {"label_smoothing": 1.0}, r"--loss\.label_smoothing 1"),
        (LossConfig, {"mixup": -1.0}, r"--loss\.mixup -1"),
        (LossConfig, {"cutmix": -1.0}, r"--loss\.cutmix -1"),
        (LossConfig, {"mix_probability": 1.1}, r"--loss\.mix_probability 1\.1"),
        (ScoringConfig, {"input_size": 0}, r"--test\.input_size 0"),
        (ScoringConfig, {"crop": 1.2}, r"--test\.crop 1\.2: must be from"),
    ],
)
def test_values_out_of_range(kind, settings, message):
    with pytest.raises(UserError, match=message):
        kind(**settings)


def test_settings_that_exclude_each_other(monkeypatch):
    refused_run(
        monkeypatch, "--weights and --finetune: give one", train,
        "--weights", "a", "--finetune", "b",
    )  # fmt: skip
    refused_run(
        monkeypatch, r"--engine\.batch_size 6 in --engine\.accumulate 2 parts", train,
        "--engine.batch_size", 6, "--engine.accumulate", 2, "--loss.mixup", 0.2,
    )  # fmt: skip


def test_a_backbone_without_a_stem_to_change():
    with pytest.raises(UserError, match=r"--model\.stem_stride 1: --backbone dla60_res2net has no"):
        build("dla60_res2net", 3, ModelConfig(stem_stride=1))
    with pytest.raises(UserError, match="--backbone resnet51: unknown"):
        build("resnet51", 3, ModelConfig())


def published(tmp_path, count, name="published.pth"):
    torch.manual_seed(0)
    model = build(small.BACKBONE, count, ModelConfig())
    torch.save(to_published(model.state_dict()), tmp_path / name)
    return tmp_path / name


def test_a_checkpoint_with_another_class_count_says_how_to_replace_the_layer(
    root, tmp_path, monkeypatch
):
    file = published(tmp_path, 7)
    words = ["--checkpoint", file, "--data.root", root, "--out", tmp_path / "out"]
    refused_run(
        monkeypatch,
        r"its classes are not the 7 of .*published\.pth: 3 classes instead of 7.*train --finetune "
        "with the same source and --new_classes: that keeps all but the last layer",
        evaluate, *words,
    )  # fmt: skip
    refused_run(
        monkeypatch,
        r"published\.pth: the weights do not fit the model: they are for 7 classes; train "
        "--new_classes keeps all but the last layer",
        train, "--data.root", root, "--finetune", file, "--out", tmp_path / "out",
    )  # fmt: skip


def test_a_published_checkpoint_of_1000_classes_is_imagenets(root, tmp_path, monkeypatch):
    file = published(tmp_path, 1000)
    words = ["--checkpoint", file, "--data.root", root, "--out", tmp_path / "out"]
    refused_run(monkeypatch, r"3 unexpected \(bee, cat, dog\)", evaluate, *words)
    (tmp_path / "two.txt").write_text("bee\ncat\n")
    refused_run(
        monkeypatch, r"two\.txt: lists 2 classes, but the checkpoint has 1000", evaluate, *words,
        "--data.classes", tmp_path / "two.txt",
    )  # fmt: skip


def test_a_run_on_other_classes(root, tmp_path, monkeypatch):
    small.write_run(tmp_path / "run", root, classes=("bee", "cat", "cow"))
    refused_run(
        monkeypatch, r"1 missing \(cow\), 1 unexpected \(dog\); to learn other classes", evaluate,
        "--run", tmp_path / "run",
    )  # fmt: skip
    small.write_run(tmp_path / "more", root, classes=("bee", "cat", "cow", "dog"))
    refused_run(
        monkeypatch, r"1 missing \(cow\); --test\.subset scores a part of the classes", evaluate,
        "--run", tmp_path / "more",
    )  # fmt: skip


def test_checkpoints_that_are_no_classifiers(root, tmp_path, monkeypatch):
    trunk = MODELS[small.BACKBONE]().state_dict()
    torch.save(trunk, tmp_path / "trunk.pth")
    words = ["--data.root", root, "--out", tmp_path / "out"]
    refused_run(
        monkeypatch, "weights of a backbone alone are given to train as --weights", evaluate,
        "--checkpoint", tmp_path / "trunk.pth", *words,
    )  # fmt: skip
    small.write_run(tmp_path / "run", root)
    content = torch.load(tmp_path / "run" / "best.pt", weights_only=True)
    del content["model"]["fc.weight"]
    torch.save(content, tmp_path / "run" / "best.pt")
    refused_run(
        monkeypatch, "is not a classifier: it has no fc.weight", evaluate, "--run", tmp_path / "run"
    )


def test_a_published_name_with_a_slip_is_offered(root, tmp_path, monkeypatch):
    refused_run(
        monkeypatch,
        r"--checkpoint res2net50_26w_4s\.imagenet: no such file or run directory, and none of the "
        r"\d+ published weights, such as res2net50_26w_4s\.imagenet1k_official",
        evaluate, "--checkpoint", "res2net50_26w_4s.imagenet", "--data.root", root,
        "--out", tmp_path / "out",
    )  # fmt: skip


def test_another_backbone_is_named(root, tmp_path, monkeypatch):
    words = ["--data.root", root, "--out", tmp_path / "out", "--backbone", "resnet26_half"]
    refused_run(
        monkeypatch, f"look.* like --backbone {small.BACKBONE}", evaluate,
        "--checkpoint", published(tmp_path, 3), *words,
    )  # fmt: skip


def test_mistakes_of_the_sample_and_pack_commands(root, tmp_path, monkeypatch):
    refused_run(monkeypatch, "--val 3: must be at least 10", sample, tmp_path / "new", "--val", 3)
    refused_run(monkeypatch, "is not empty; name a new folder", sample, root)
    refused_run(monkeypatch, "takes two folders.*found 1", pack, root)
    refused_run(monkeypatch, "is not empty; name a new folder", pack, root, root)
    shutil.move(root / "val" / "dog", root / "val" / "wolf")
    refused_run(monkeypatch, re.escape("1 missing (dog)"), pack, root, tmp_path / "new")


def test_a_list_of_classes_that_names_none_of_the_folders(root, tmp_path):
    (tmp_path / "classes.txt").write_text("wolf\nlion\n")
    refused(
        root, "has none of the 3 classes in .*train, such as bee", classes=tmp_path / "classes.txt"
    )


def test_a_full_disk_leaves_no_half_shard(root, tmp_path, monkeypatch):
    def full(archive, name, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack, "_add", full)
    refused_run(
        monkeypatch,
        r"train-000000\.tar: cannot be written \(No space",
        pack,
        root,
        tmp_path / "out",
    )
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_classifiers_own_state_dict_is_a_checkpoint(root, tmp_path, monkeypatch):
    model = build(small.BACKBONE, 3, ModelConfig())
    torch.save(model.state_dict(), tmp_path / "own.pth")
    words = ["--checkpoint", tmp_path / "own.pth", "--data.root", root, "--out", tmp_path / "out"]
    words += ["--backbone", small.BACKBONE, "--loader.workers", 0, "--engine.device", "cpu"]
    run(monkeypatch, evaluate, *words)
    assert (tmp_path / "out" / "metrics.json").is_file()
