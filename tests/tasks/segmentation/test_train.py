"""The train command from its flags to a scored run directory."""

import json
import shutil
import sys

import pytest
import torch

from common.commands import card, config
from common.errors import UserError
from tasks.segmentation import sample, train
from tasks.segmentation.config import Config
from tasks.segmentation.inference import Predictor
from tests.tasks import commands
from tests.tasks.segmentation import small


def run_train(root, out, *flags):
    commands.train("segmentation", root, out, *flags)


@pytest.fixture
def data_root(shared):
    return shared.data("segmentation")


@pytest.fixture
def trained(shared):
    """The shared run of two epochs, to be looked at only."""
    return shared.trained("segmentation")


def test_a_run_says_what_its_labels_mean(trained):
    assert config.read(Config, trained / "config.yaml").data.classes == sample.CLASSES
    turned = json.dumps(sample.CLASSES[::-1])
    with pytest.raises(
        UserError, match=r"^--data\.classes: has the classes of .* in another order"
    ):
        Predictor.open(trained, device="cpu", flags=("--data.classes", turned))


def test_all_options_of_the_loss_together(data_root, tmp_path):
    flags = ("--engine.epochs", "1", "--loss.hard_threshold", "0.7")
    flags += ("--data.blur_probability", "0.5", "--engine.accumulate", "2")
    commands.fit("segmentation", data_root, tmp_path / "run", *flags)
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    parts = line["cross_entropy"] + line["dice"] + line["auxiliary"]
    assert line["loss"] == pytest.approx(parts, rel=1e-5)


def test_lists_without_a_class_file(tmp_path):
    root = small.write_list(tmp_path / "camvid")
    small.write_list(root, pictures=3, split="val")
    flags = ("--data.format", "list", "--data.ignore_index", "3", "--engine.epochs", "1")
    with pytest.raises(UserError, match=r"--data\.classes is missing"):
        run_train(root, tmp_path / "run", *flags)
    flags += ("--data.classes", "[background, disc, bar]")
    run_train(root, tmp_path / "run", *flags)
    assert "IoU bar" in card.read(tmp_path / "run" / "metrics.json").metrics


def test_other_classes_keep_all_but_their_layers(data_root, trained, tmp_path, capsys):
    names = ("own", *sample.CLASSES[1:])
    shutil.copytree(data_root, tmp_path / "data")
    (tmp_path / "data" / "classes.txt").write_text("\n".join(names))
    flags = (tmp_path / "data", tmp_path / "run", "--finetune", str(trained))
    with pytest.raises(UserError, match=r"1 unexpected \(own\).*--new_classes"):
        run_train(*flags)
    new = commands.start("segmentation", *flags, "--new_classes")
    old = commands.weights(trained)
    apart = {key for key in old if not torch.equal(old[key], new[key])}
    assert apart >= {"head.0.weight", "auxiliary.4.weight"}
    assert apart <= {f"{name}.{kind}" for name in ("head.0", "auxiliary.4")
                     for kind in ("weight", "bias")}  # fmt: skip
    assert torch.equal(old["head.0.weight"][1:], new["head.0.weight"][1:])
    kept = len(names) - 1
    said = f"begins anew: head.0, auxiliary.4; the rows of {kept} of {kept + 1} classes are kept"
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["mIoU"] >= 0.70
