import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.sample import SampleFlags, backgrounds, cached, new_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder):
    (folder / "picture.txt").write_text("whole")


def test_backgrounds_are_colour_pictures():
    photographs = backgrounds()
    assert len(photographs) == 6
    for photograph in photographs.values():
        assert photograph.dtype == np.uint8
        assert photograph.ndim == 3
        assert photograph.shape[2] == 3
        assert photograph.std() > 10


def test_written_once_and_announced(cache, capsys):
    folder = cached("toy", 1, write)
    said = capsys.readouterr().out
    assert folder.parent == cache
    assert (folder / "picture.txt").read_text() == "whole"
    assert "generated" in said
    assert "not the benchmark" in said
    assert str(folder) in said
    assert said.count("\n") == 1

    def fail(folder):
        raise AssertionError

    assert cached("toy", 1, fail) == folder
    assert not capsys.readouterr().out
    assert cached("toy", 2, write) != folder


def test_an_interrupted_write_leaves_nothing(cache):
    def interrupted(folder):
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("toy", 1, interrupted)
    assert list(cache.iterdir()) == []
    assert (cached("toy", 1, write) / "picture.txt").exists()


def test_the_second_of_two_writers_takes_the_firsts_set(cache):
    def overtaken(folder):
        write(folder)
        cached("toy", 1, lambda other: (other / "picture.txt").write_text("first"))

    folder = cached("toy", 1, overtaken)
    assert (folder / "picture.txt").read_text() == "first"
    assert list(cache.iterdir()) == [folder]


RACE = """
import sys, time
from pathlib import Path
from common.sample import cached
def write(folder):
    for part in range(20):
        (folder / f"{part}.txt").write_text("whole")
        time.sleep(0.01)
folder = cached("race", 1, write)
assert len(list(folder.iterdir())) == 20
"""


def test_many_processes_at_once(cache):
    root = Path(__file__).parents[3]
    processes = [subprocess.Popen([sys.executable, "-c", RACE], cwd=root) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert [path.name for path in cache.iterdir()] == ["race-v1"]


def test_a_cache_that_cannot_be_written(cache):
    cache.write_text("a file is in the way")
    with pytest.raises(UserError, match="RES2NET_CACHE"):
        cached("toy", 1, write)


def test_a_user_without_name_and_home_is_told_of_the_variable(monkeypatch):
    def nobody(_):
        raise KeyError("getpwuid(): uid not found")

    for name in ("RES2NET_CACHE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(UserError, match=r"no home folder; .* RES2NET_CACHE, or .*--data\.root"):
        cached("toy", 1, write)


def test_sample_data_goes_into_one_new_folder(tmp_path):
    assert new_folder([tmp_path / "new"], "sample") == tmp_path / "new"
    for words in ([], [tmp_path, tmp_path]):
        with pytest.raises(UserError, match="sample takes one folder, found"):
            new_folder(words, "sample")
    (tmp_path / "file").write_text("")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="not empty"):
            new_folder([taken], "sample")


def test_a_seed_of_samples_is_not_negative(tmp_path):
    with pytest.raises(UserError, match="--seed -1: must not be negative"):
        SampleFlags(out=(tmp_path,), seed=-1)
