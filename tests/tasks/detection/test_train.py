"""The train command from its flags to a scored run directory."""

import shutil
import sys

import pytest
import torch

from common.commands import card, config
from common.errors import UserError
from tasks.detection import sample, train
from tasks.detection.config import Config
from tests.tasks import commands
from tests.tasks.commands import logged, weights
from tests.tasks.detection import runs, small
from tests.tasks.rows import DETECTION, STILL


def run_train(root, out, *flags):
    commands.train("detection", root, out, *flags)


@pytest.fixture
def data_root(shared):
    return shared.data("detection")


@pytest.fixture
def trained(shared):
    """The shared run of two epochs, to be looked at only."""
    return shared.trained("detection")


def test_a_run_is_a_source_of_weights_for_a_detector_that_freezes_them(
    data_root, trained, tmp_path
):
    other = (
        "--model.detector", "fcos", "--model.channels", "64", "--model.frozen_batchnorm",
        "--model.frozen_stages", "2",
    )  # fmt: skip
    run_train(data_root, tmp_path / "second", "--weights", str(trained), *other, *STILL)
    old, second = weights(trained), weights(tmp_path / "second")
    trunk = [key for key in old if key.startswith("backbone.")]
    assert all(torch.equal(old[key], second[key]) for key in trunk), "statistics are frozen too"


def test_a_run_says_what_its_labels_mean_and_what_its_loss_is_made_of(trained):
    saved = config.read(Config, trained / "config.yaml")
    assert saved.data.classes == tuple(sample.THINGS)
    assert saved.data.category_ids == (1, 2, 4, 7, 8)
    parts = zip(*(logged(trained, term) for term in DETECTION.terms), strict=True)
    assert [sum(terms) for terms in parts] == pytest.approx(logged(trained, "loss"), rel=1e-5)


def test_empty_pictures_voc_and_bf16(tmp_path):
    root = small.write_voc(tmp_path / "VOC2007", split="trainval")
    small.write_voc(root, split="test")
    run_train(
        root, tmp_path / "run", "--data.format", "voc", "--data.masks", "false",
        "--data.train_split", "trainval", "--data.val_split", "test", "--data.keep_empty",
        "--model.detector", "faster_rcnn", "--engine.epochs", "1", "--engine.precision", "bf16",
        "--engine.ema", "0.9", "--data.group_by_aspect", "false",
    )  # fmt: skip
    assert "box_AP" in card.read(tmp_path / "run" / "metrics.json").metrics


def test_a_checkpoint_with_more_classes_than_the_data(data_root, trained, tmp_path):
    flags = ("--finetune", str(trained), "--data.classes", "[ball, crate]")
    with pytest.raises(UserError, match=r"2 classes instead of 5.*--new_classes keeps all but"):
        run_train(data_root, tmp_path / "run", *flags)
    old = weights(trained)
    new = commands.start("detection", data_root, tmp_path / "run", *flags, "--new_classes")
    predictor = "detector.roi_heads.box_predictor.cls_score.weight"
    rows = [0, *(list(sample.THINGS).index(name) + 1 for name in ("ball", "crate"))]
    assert torch.equal(new[predictor], old[predictor][rows])
    assert [key for key in old if old[key].shape != new[key].shape] == [
        f"detector.roi_heads.{layer}.{kind}"
        for layer in (
            "box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits"
        )
        for kind in ("weight", "bias")
    ]  # fmt: skip


@pytest.mark.slow
def test_the_default_run_reaches_the_scores_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    metrics = card.read(tmp_path / "run" / "metrics.json").metrics
    assert metrics["box_AP50"] >= 0.80
    assert metrics["mask_AP50"] >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["cascade_mask_rcnn", "retinanet", "fcos"])
def test_every_detector_overfits_a_few_pictures(tmp_path, detector):
    root = tmp_path / "coco"
    sample.write(root, seed=3, train=6, val=0)
    annotations = root / "annotations"
    (root / "val2017").rmdir()
    shutil.copytree(root / "train2017", root / "val2017")
    shutil.copy(annotations / "instances_train2017.json", annotations / "instances_val2017.json")
    run_train(
        root, tmp_path / "run", "--model.detector", detector, "--model.channels", "64",
        "--model.box_channels", "64", "--model.samples", "64", "--engine.epochs", "160",
        "--engine.evaluate_every", "160", "--data.flip_probability", "0", "--data.short_sides",
        "[128]", "--data.test_short_side", "128", "--data.group_by_aspect", "false",
    )  # fmt: skip
    assert card.read(tmp_path / "run" / "metrics.json").metrics["box_AP50"] > 0.9
    assert config.read(Config, tmp_path / "run" / "config.yaml").backbone == runs.BACKBONE
