"""The check of a depth set: what is sound has no finding, and each planted fault has one."""

import numpy as np
import pytest

from tasks.depth import check
from tests.tasks import checked
from tests.tasks.depth import small


@pytest.fixture
def root(tmp_path):
    return small.write_list(tmp_path / "set")


@pytest.fixture
def found(root, monkeypatch, capsys):
    """Exit status and findings with further flags."""
    flags = ["--data.root", root, "--out", root.parent / "run", "--engine.batch_size", "2"]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found, root):
    assert found() == (0, [])
    assert (root.parent / "run" / "check" / "index.html").is_file()


def test_a_damaged_depth_map(found, root):
    small.save(root / "train" / "sync_depth_2.png", np.zeros((48, 64)))
    status, lines = found()
    assert status == 1
    assert "1 of 4 pictures cannot be read" in lines[0] and "no measurement at all" in lines[0]
    assert found("--data.on_error", "skip")[0] == 0


def test_depth_beyond_the_maximum_and_sparse_depth_are_noted(found, root):
    depth = small.depth(1)
    depth[:, :40] = 0
    depth[0, 60] = 30
    small.save(root / "train" / "sync_depth_1.png", depth)
    status, lines = found()
    assert status == 0 and len(lines) == 2
    assert any("1 of 4 depth maps go beyond the maximum" in line for line in lines)
    assert any("1 of 4 depth maps are measured at less than half" in line for line in lines)


def test_lines_without_depth_are_noted(found, root):
    lines = (root / "val.txt").read_text().splitlines()
    (root / "val.txt").write_text(f"{lines[0]}\n{lines[1].split()[0]} None 500\n")
    status, said = found()
    assert status == 0
    assert said == ["note: val: 1 pictures of the list have no depth map (None); they do not count"]


def test_a_list_that_is_missing(found, root):
    (root / "val.txt").unlink()
    status, lines = found()
    assert status == 1 and "no list val.txt" in lines[0]
