"""From a run to its scores: a network that knows the answer, a threshold, and folds."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from common.commands import card
from common.errors import UserError
from common.networks.segmentation import Scores
from common.training.distributed import World
from tasks.volumes import baselines, evaluate, folds, metrics, sample
from tasks.volumes.config import Config, DataConfig
from tasks.volumes.data import read, with_classes
from tests.tasks.commands import call

ALONE = World()


class Knows(nn.Module):
    """Says the true labels of a split's slices, one after the other; `wrong` changes them."""

    def __init__(self, split, wrong=lambda labels: labels):
        super().__init__()
        every = [wrong(split.read(index)[1]) for index in range(len(split))]
        self.slices = [plane for labels in every for plane in labels]

    def forward(self, slices):
        planes = [self.slices.pop(0) for _ in range(len(slices))]
        truth = torch.from_numpy(np.stack(planes)).long()
        return Scores(20.0 * nn.functional.one_hot(truth, 4).permute(0, 3, 1, 2), None)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("set") / "set"
    sample.write(root, seed=1, cases=4, size=40, slices=10)
    loader = replace(Config().loader, workers=0)
    return with_classes(Config(data=DataConfig(root=root, folds=2), loader=loader))


def test_the_truth_scores_one(config):
    split = read(config, "all")
    found = evaluate.evaluate(Knows(split), split, config, ALONE)
    names = ("Dice", "Dice_liver", "Dice_kidney", "Dice_lesion", "NSD", "Dice_pooled", "hit_rate")
    assert all(found.metrics[name] == 1 for name in names)
    zero = ("HD95", "ASD", "volume_error", "false_positives")
    assert all(found.metrics[name] == 0 for name in zero)
    assert list(found.cases) == [f"phantom_00{number}" for number in range(4)]


def test_what_is_missed_is_seen_in_every_score(config):
    split = read(config, "all")

    def wrong(labels):
        return np.where(labels == 3, 1, labels).astype(np.uint8)

    found = evaluate.evaluate(Knows(split, wrong), split, config, ALONE).metrics
    assert found["Dice_lesion"] == found["hit_rate"] == 0 and found["Dice_kidney"] == 1
    assert found["Dice"] == pytest.approx((1 + found["Dice_liver"]) / 3)
    assert found["HD95"] > 10 and found["NSD"] < 0.7


def test_a_threshold_is_the_best_interval_of_the_training_cases(config):
    split = read(config, "train")
    wanted = metrics.regions(split.classes, config.test)
    found = baselines.learn(split, wanted)
    low, high = found["kidney"]
    assert 100 < low < 150 < high
    volume, labels = split.read(0)
    dice = baselines.dice(volume.values, labels, wanted, found)
    assert dice["kidney"] > 0.5 > dice["lesion"] or np.isnan(dice["lesion"])


def test_evaluate_leaves_a_card_the_cases_and_pictures(shared, tmp_path, capsys):
    out = tmp_path / "out"
    call(
        evaluate.main, "--run", shared.trained("volumes"), "--out", out, "--loader.workers", 0,
        "--test.distances", "medpy", "--engine.device", "cpu",
    )  # fmt: skip
    one = card.read(out / "metrics.json")
    assert "medpy" in one.protocol["HD95"] and one.data["images"] == 2
    assert set(one.data["baselines"][baselines.NAME]) >= {"Dice", "Dice_liver"}
    with (out / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {row["note"] for row in rows} == {"Research only, no diagnosis"}
    dice = [float(row["Dice"]) for row in rows if row["region"] == "liver"]
    assert one.metrics["Dice_liver"] == pytest.approx(np.mean(dice), abs=1e-5)
    assert "no diagnosis" in capsys.readouterr().out


def test_folds_are_averaged_and_what_does_not_belong_together_is_refused(shared, tmp_path, capsys):
    runs = [tmp_path / "fold_0", tmp_path / "fold_1"]
    for run in runs:
        shutil.copytree(shared.trained("volumes"), run)
    words = (*runs, "--out", tmp_path / "all")

    def refusal():
        with pytest.raises(UserError) as caught:
            call(folds.main, *words)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "are they folds?" in refusal()
    lines = (runs[1] / "cases.csv").read_text().replace("phantom", "other")
    (runs[1] / "cases.csv").write_text(lines)
    content = json.loads((runs[1] / "metrics.json").read_text())
    content["metrics"]["Dice"] += 0.2
    content["metrics"]["hit_rate"] = -1.0
    content["protocol"]["fold"] = 1
    (runs[1] / "metrics.json").write_text(json.dumps(content))
    call(folds.main, *words)
    assert "2 folds, 4 cases" in capsys.readouterr().out
    found = json.loads((tmp_path / "all" / "folds.json").read_text())["metrics"]
    first = card.read(runs[0] / "metrics.json").metrics
    assert found["Dice"]["mean"] == pytest.approx(first["Dice"] + 0.1)
    assert found["Dice"]["deviation"] == pytest.approx(0.2 / 2**0.5)
    assert len(found["hit_rate"]["folds"]) == 1  # a fold without lesions decides nothing
    content["protocol"]["NSD"] = "another"
    (runs[1] / "metrics.json").write_text(json.dumps(content))
    assert "was scored otherwise than" in refusal() and "(NSD)" in refusal()
    (runs[1] / "cases.csv").unlink()
    assert "no such file" in refusal()
    words = (runs[0],)
    assert "at least two folds, found 1" in refusal()


@pytest.mark.slow
def test_the_default_run_reaches_its_goal(tmp_path):
    from tasks.volumes import train

    call(train.main, "--out", tmp_path / "run")
    found = card.read(tmp_path / "run" / "metrics.json")
    guess = found.data["baselines"][baselines.NAME]
    assert (found.metrics["Dice_liver"] + found.metrics["Dice_kidney"]) / 2 >= 0.80
    assert found.metrics["Dice_lesion"] >= 0.55 > guess["Dice_lesion"]
