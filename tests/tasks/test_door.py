"""The door to any run: which task it is of, and what is said when it cannot be opened."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from backbone import WeightsError
from common.commands import config
from common.errors import UserError
from tasks import TASKS, _fits, open_run, task_of
from tests.tasks.segmentation import oracle

ROOT = Path(__file__).parents[2]
NAMES = {"open", "many", "describe", "__call__"}
PICTURE_NAMES = {"draw", "features", "answer", "trunk_input"}


def config_class(task):
    return importlib.import_module(f"tasks.{task}.config").Config


@pytest.mark.parametrize("task", TASKS)
def test_a_config_is_of_one_task_alone(task, tmp_path):
    recipes = sorted((ROOT / "tasks" / task / "configs").glob("*.yaml"))
    kinds = {other: config_class(other) for other in TASKS}
    for settings in (kinds[task](), config.read(kinds[task], recipes[0])):
        config.save(settings, tmp_path / "config.yaml")
        assert task_of(tmp_path) == task
        content = yaml.safe_load((tmp_path / "config.yaml").read_text())
        assert [other for other, kind in kinds.items() if _fits(content, kind)] == [task]


@pytest.mark.parametrize("task", TASKS)
def test_every_predictor_has_the_same_names(task):
    predictor = importlib.import_module(f"tasks.{task}.inference").Predictor
    wanted = NAMES | {"speaker": set(), "volumes": {"draw"}}.get(task, PICTURE_NAMES)
    assert wanted <= set(dir(predictor))
    given = inspect.signature(predictor.open).parameters
    assert list(given) == ["source", "checkpoint", "device", "precision", "compile", "flags"]


def refusal(source, **how):
    with pytest.raises(UserError) as caught:
        open_run(source, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    run = tmp_path / "run"
    oracle.write_run(run)
    assert "no such folder" in refusal(tmp_path / "none")
    assert "has no config.yaml" in refusal(tmp_path)
    assert "last.pt" not in refusal(run, checkpoint="nowhere.pt")
    assert "--test.nothing" in refusal(run, flags=("--test.nothing", "1"))
    (run / "best.pt").write_bytes((run / "best.pt").read_bytes()[:2000])
    assert "best.pt: is cut short" in refusal(run)
    (run / "best.pt").unlink()
    assert "best.pt: no such checkpoint" in refusal(run)


def test_weights_that_do_not_fit_are_an_error_of_the_same_kind(tmp_path, monkeypatch):
    oracle.write_run(tmp_path / "run")

    def refuse(*_, **__):
        raise WeightsError("res2net50: the download broke")

    monkeypatch.setattr(
        importlib.import_module("tasks.segmentation.inference").Predictor, "open", refuse
    )
    assert "the download broke" in refusal(tmp_path / "run")


def test_a_config_of_no_known_task_is_named(tmp_path):
    for text in ("weather: fine\n", "[1, 2]\n", "", "a: [\n"):
        (tmp_path / "config.yaml").write_text(text)
        assert str(tmp_path / "config.yaml") in refusal(tmp_path)
