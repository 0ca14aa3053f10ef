"""The score of the train command; what it shares with others is in tests/tasks."""

import sys

import pytest

from common.commands import card
from tasks.pose import train


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["AP"] >= 0.70
