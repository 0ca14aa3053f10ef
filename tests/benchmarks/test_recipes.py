"""Every task has a row of its own recipe, and a row says what it measured."""

import importlib

import pytest

from benchmarks import recipes
from common.commands import config
from tasks.classification.model import build
from tests.test_deployed_tasks import TASKS


def test_every_task_has_a_row_whose_recipe_is_there():
    assert set(recipes.RECIPES) == set(TASKS)
    for task, recipe in recipes.RECIPES.items():
        kind = importlib.import_module(f"tasks.{task}.config").Config
        found = config.parse(kind, ["--config", recipe.name])
        assert "res2net50" in found.backbone


def test_a_row_has_a_time_for_each_mode(monkeypatch, capsys):
    tiny = recipes.Recipe(
        "res2net50_26w_4s", (3, 32, 32), lambda c: build("res2net26_14w_4s_half", 5, c.model)
    )
    monkeypatch.setitem(recipes.RECIPES, "classification", tiny)
    words = ["classification", "--modes", "plain", "deployed", "--rounds", "1"]
    assert recipes.main(words) == 0
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert row[1].strip() == "classification, res2net50_26w_4s" and row[2].strip() == "32x32"
    assert row[3].endswith("(1.00) ") and float(row[4].partition("(")[2].partition(")")[0]) > 0


@pytest.mark.parametrize("words", [["tumours"], ["pose", "--rounds", "0"]])
def test_what_cannot_be_measured_is_named(words, capsys):
    assert recipes.main(words) == 2
    assert f"error: {words[0] if words == ['tumours'] else '--rounds 0'}" in capsys.readouterr().err
