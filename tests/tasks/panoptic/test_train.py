"""What only panoptic training has: two kinds of class layers, outlines for maps, a cascade."""

import pytest
import torch

from common.commands import card
from common.errors import UserError
from tasks.panoptic import train
from tests.tasks import commands
from tests.tasks.commands import weights

SUBSET = ("--data.things", "[crate, ball]", "--data.stuff", "[wall, sky]")
THINGS = "detector.roi_heads.box_predictor.cls_score.weight"
STUFF = "semantic.predictor.weight"


def test_other_things_and_stuff_keep_their_rows(shared, tmp_path, capsys):
    data, run = shared.data("panoptic"), shared.trained("panoptic")
    flags = ("--finetune", str(run), *SUBSET)
    with pytest.raises(UserError, match=r"2 classes instead of 5.*--new_classes keeps all but"):
        commands.start("panoptic", data, tmp_path / "run", *flags)
    old = weights(run)
    new = commands.start("panoptic", data, tmp_path / "run", *flags, "--new_classes")
    # ball, crate, flower, fish, wheel; and by their ids water, sky, ground, wall.
    assert torch.equal(new[THINGS], old[THINGS][[0, 2, 1]])
    assert torch.equal(new[STUFF], old[STUFF][[0, 4, 2]])
    assert all(torch.equal(new[key], old[key]) for key in old if key.startswith("backbone."))
    assert "semantic.predictor" in capsys.readouterr().err


@pytest.mark.slow
def test_things_of_the_instances_file_in_a_cascade(shared, tmp_path):
    flags = ("--data.instances", "true", "--model.detector", "cascade_mask_rcnn")
    run = tmp_path / "run"
    commands.train("panoptic", shared.data("panoptic"), run, *flags, "--engine.epochs", "1")
    result = card.read(run / "metrics.json")
    assert result.protocol["things_scored_by"] == "instances file"
    assert "mask_AP" in result.metrics and result.model["detector"] == "cascade_mask_rcnn"


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(tmp_path):
    commands.call(train.main, "--out", tmp_path / "run")
    metrics = card.read(tmp_path / "run" / "metrics.json").metrics
    assert metrics["PQ"] >= 0.60
