"""What is said of files that are trained on and scored."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.commands import config as configuration
from common.commands import seen
from common.errors import UserError
from common.reading import overlap


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is read."""

    root: Path | None = None
    """A folder."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Of a run."""

    data: Data = field(default_factory=Data)
    folder: Path | None = None
    """A run."""


def write(folder, *contents):
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number}.jpg").write_text(content)
    return sorted(folder.iterdir())


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "train", "a", "b", "c"), write(tmp_path / "val", "d", "b", "a", "e")


def test_one_line_if_files_are_the_same(files, capsys, monkeypatch):
    training, scored = files
    seen.report(training, scored)
    assert capsys.readouterr().err == (
        "warning: 2 of the 4 files that are scored are in the training split as well (first: "
        f"{scored[1]} = {training[1]}); scores on them say nothing\n"
    )
    seen.report(training, training)
    said = capsys.readouterr().err
    assert "warning: 3 of the 3 files" in said
    assert f"(first: {training[0]});" in said
    monkeypatch.setattr(overlap, "MOST", 2)
    seen.report(training, scored)
    assert "1 of the 2 files" in (said := capsys.readouterr().err)
    assert "(2 of 4 were compared)" in said
    seen.report(training[2:], scored)
    assert capsys.readouterr() == ("", "")


def refuse(_):
    raise UserError("train.json: no such file")


def test_what_evaluate_scores_is_compared_with_the_runs_own_training(files, tmp_path, capsys):
    training, scored = files
    run = tmp_path / "run"
    run.mkdir()
    own = Config(data=Data(root=tmp_path / "train"))
    configuration.save(own, run / "config.yaml")

    def say(root, files=lambda _: training, run=run):
        seen.report_of_run(Config(data=Data(root=root), folder=run), Config, scored, files)
        return capsys.readouterr().err

    assert "2 of the 4 files" in say(
        tmp_path / "val", lambda config: sorted(config.data.root.iterdir())
    )
    assert say(tmp_path / "train") == "", "its training said it"
    assert say(tmp_path / "val", run=None) == ""
    assert say(tmp_path / "val", refuse) == (
        f"note: whether {run} was trained on what is scored is not known: "
        "train.json: no such file\n"
    )
    (tmp_path / "train").rename(tmp_path / "elsewhere")
    assert say(tmp_path / "val", refuse) == "", "it is not there"
    configuration.save(Config(), run / "config.yaml")
    assert say(tmp_path / "val", refuse) == "", "generated pictures are nobody's"
