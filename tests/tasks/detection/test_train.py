"""The train command from its flags to a scored run directory."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from backbone import WeightsError
from common.commands import card, config
from common.errors import UserError
from tasks.detection import sample, train
from tasks.detection.config import Config
from tests.tasks.detection import runs, small


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "coco"
    sample.write(folder, seed=3, train=10, val=2)
    return folder


def run_train(monkeypatch, data_root, out, *flags):
    words = [
        "--data.root", str(data_root), "--out", str(out), "--data.short_sides", "[64]",
        "--data.test_short_side", "64", "--model.channels", "32", "--model.box_channels", "16",
        "--model.proposals", "[60, 30]", "--model.samples", "16", "--engine.batch_size", "2",
        "--engine.device", "cpu", "--loader.workers", "0", "--engine.log_every", "1",
        "--engine.evaluate_every", "1", "--test.score_threshold", "0.3", *flags,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *words])
    train.main()


def logged(out, key):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture(scope="module")
def trained(data_root, tmp_path_factory):
    """A run of an epoch."""
    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_train(monkeypatch, data_root, run, "--engine.epochs", "1")
    return run


def test_a_run_directory_holds_all_that_it_promises(trained):
    names = [
        "config.yaml", "log.jsonl", "last.pt", "best.pt", "metrics.json", "classes.json",
        "detections.json", "curves.png", "pictures/detections.jpg",
    ]  # fmt: skip
    for name in names:
        assert (trained / name).stat().st_size > 0, name
    result = card.read(trained / "metrics.json")
    assert {"box_AP", "box_AP50", "mask_AP", "mask_ARl"} < set(result.metrics)
    saved = config.read(Config, trained / "config.yaml")
    assert saved.data.classes == tuple(sample.THINGS), "a run says what its labels mean"
    assert saved.data.category_ids == (1, 2, 4, 7, 8)
    (metrics,) = logged(trained, "metrics")
    assert list(metrics) == [f"{kind}_AP{at}" for kind in ("box", "mask") for at in ("", 50, 75)]
    terms = {"objectness", "rpn_box_reg", "classifier", "box_reg", "mask"}
    first = json.loads((trained / "log.jsonl").read_text().splitlines()[0])
    assert terms < set(first)
    assert first["loss"] == pytest.approx(sum(first[name] for name in terms), rel=1e-5)
    assert "samples_per_second" in first


def test_the_first_losses_are_the_stored_ones(trained):
    """A refactor that moves these numbers changes what users train: it must say why."""
    golden = [5.119, 4.359, 4.316]
    assert logged(trained, "loss")[: len(golden)] == pytest.approx(golden, rel=0.02)


def test_a_run_is_never_overwritten_and_can_go_on(monkeypatch, data_root, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    with pytest.raises(UserError, match="--resume"):
        run_train(monkeypatch, data_root, run, "--engine.epochs", "1")
    steps = logged(run, "step")[-1]
    run_train(monkeypatch, data_root, run, "--engine.epochs", "2", "--resume")
    assert logged(run, "step")[-1] > steps


def test_a_run_is_a_source_of_weights(monkeypatch, data_root, trained, tmp_path):
    """Of the backbone for another detector that freezes it, and of the whole for its like."""
    still = (
        "--engine.epochs", "1", "--optimizer.learning_rate", "1e-30", "--optimizer.name", "sgd",
        "--optimizer.weight_decay", "0",
    )  # fmt: skip
    other = (
        "--model.detector", "fcos", "--model.channels", "64", "--model.frozen_batchnorm",
        "--model.frozen_stages", "2",
    )  # fmt: skip
    run_train(
        monkeypatch, data_root, tmp_path / "second", "--weights", str(trained), *other, *still
    )
    run_train(monkeypatch, data_root, tmp_path / "third", "--finetune", str(trained), *still)
    old, second, third = (
        torch.load(run / "best.pt", weights_only=True)["model"]
        for run in (trained, tmp_path / "second", tmp_path / "third")
    )
    trunk = [key for key in old if key.startswith("backbone.")]
    assert all(torch.equal(old[key], second[key]) for key in trunk), "statistics are frozen too"
    heads = [key for key in old if key.startswith("detector.")]
    assert all(torch.equal(old[key], third[key]) for key in heads)


def test_empty_pictures_voc_and_bf16(monkeypatch, tmp_path):
    root = small.write_voc(tmp_path / "VOC2007", split="trainval")
    small.write_voc(root, split="test")
    run_train(
        monkeypatch, root, tmp_path / "run", "--data.format", "voc", "--data.masks", "false",
        "--data.train_split", "trainval", "--data.val_split", "test", "--data.keep_empty",
        "--model.detector", "faster_rcnn", "--engine.epochs", "1", "--engine.precision", "bf16",
        "--engine.ema", "0.9", "--data.group_by_aspect", "false",
    )  # fmt: skip
    assert "box_AP" in card.read(tmp_path / "run" / "metrics.json").metrics


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--backbone", "resnet51"), "--backbone resnet51"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--finetune", "nowhere"), "--finetune nowhere"),
        (("--data.root", "nowhere"), "nowhere"),
        (("--data.classes", "[ball, dog]"), "no class 'dog'"),
        (("--data.masks", "false"), "--model.detector mask_rcnn"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--model.frozen_stages", "2"), "--weights is missing"),
        (("--model.frozen_stages", "7"), "--model.frozen_stages is 7"),
        (("--model.detector", "fcos"), "must be 64, 96"),
        (("--model.detector", "yolo"), "yolo"),
        (("--test.nms_threshold", "2"), "--test.nms_threshold is 2"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    monkeypatch, data_root, tmp_path, flags, message
):
    with pytest.raises((UserError, WeightsError)) as caught:
        run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_a_checkpoint_with_more_classes_than_the_data(monkeypatch, data_root, trained, tmp_path):
    with pytest.raises(UserError, match="they are for 5 classes"):
        run_train(
            monkeypatch, data_root, tmp_path / "run", "--finetune", str(trained),
            "--data.classes", "[ball, crate]",
        )  # fmt: skip


@pytest.mark.slow
def test_the_command_ends_with_one_line_and_status_2(tmp_path):
    words = ["--data.root", "nowhere", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.detection.train", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_default_run_reaches_the_scores_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    metrics = card.read(tmp_path / "run" / "metrics.json").metrics
    assert metrics["box_AP50"] >= 0.80
    assert metrics["mask_AP50"] >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["cascade_mask_rcnn", "retinanet", "fcos"])
def test_every_detector_overfits_a_few_pictures(monkeypatch, tmp_path, detector):
    root = tmp_path / "coco"
    sample.write(root, seed=3, train=6, val=0)
    annotations = root / "annotations"
    (root / "val2017").rmdir()
    shutil.copytree(root / "train2017", root / "val2017")
    shutil.copy(annotations / "instances_train2017.json", annotations / "instances_val2017.json")
    run_train(
        monkeypatch, root, tmp_path / "run", "--model.detector", detector, "--model.channels", "64",
        "--model.box_channels", "64", "--model.samples", "64", "--engine.epochs", "160",
        "--engine.evaluate_every", "160", "--data.flip_probability", "0", "--data.short_sides",
        "[128]", "--data.test_short_side", "128", "--data.group_by_aspect", "false",
    )  # fmt: skip
    assert card.read(tmp_path / "run" / "metrics.json").metrics["box_AP50"] > 0.9
    assert config.read(Config, tmp_path / "run" / "config.yaml").backbone == runs.BACKBONE
