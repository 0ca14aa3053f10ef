"""Runs a task's check command in the tests."""

import sys

import pytest


def run(main, monkeypatch, capsys, *words):
    """Exit status of a check command and its lines of findings."""
    monkeypatch.setattr(sys, "argv", ["check", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().out.splitlines()
    kinds = ("error:", "warning:", "note:")
    return ended.value.code, [line for line in lines if line.startswith(kinds)]
