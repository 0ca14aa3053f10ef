"""Recipes are found by name, so that they work from an installed package."""

import pytest

from common.commands import recipes
from common.commands.config import parse
from common.errors import UserError
from tasks import TASKS, __main__
from tasks.pose.config import Config
from tasks.pose.predict import PredictConfig
from tests.tasks.commands import run_module


def test_a_name_is_the_packaged_recipe_in_every_command():
    named = parse(Config, ["--config", "resnet50_256x192"])
    assert named == parse(Config, ["--config", "tasks/pose/configs/resnet50_256x192.yaml"])
    assert parse(PredictConfig, ["--config=resnet50_256x192"]).backbone == "resnet50"


def test_a_file_in_the_working_folder_wins_over_a_recipe(tmp_path, monkeypatch):
    (tmp_path / "resnet50_256x192").write_text("backbone: resnet101\n")
    monkeypatch.chdir(tmp_path)
    assert parse(Config, ["--config", "resnet50_256x192"]).backbone == "resnet101"


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(UserError, match=r"--config resnet50_256x19: .*resnet50_256x192"):
        parse(Config, ["--config", "resnet50_256x19"])
    with pytest.raises(UserError, match=r"none\.yaml"):
        parse(Config, ["--config", "none.yaml"])


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_the_table_names_every_task_command_and_recipe(capsys):
    run_module("tasks")
    table = capsys.readouterr().out
    for task in TASKS:
        assert f"python -m tasks.{task}." in table
        folder = recipes.folder_of(__main__.importlib.import_module(f"tasks.{task}.config").Config)
        assert all(name in table for name in recipes.names(folder))
    assert "lens" in table, "commands that one task alone has"
