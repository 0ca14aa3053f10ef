"""Files that two splits have in common."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.reading import overlap
from common.reading.overlap import compare

CONTENTS = (
    b"", b"a", b"b", b"x" * 5000 + b"a", b"y" * 5000 + b"a", b"x" * 4999 + b"ba", b"x" * 5000 + b"b"
)  # fmt: skip
"""Alike in size, in their last bytes, in both, or in nothing."""


def write(folder, contents):
    folder.mkdir(parents=True)
    for number, content in enumerate(contents):
        (folder / f"{number}.jpg").write_bytes(content)
    return sorted(folder.iterdir())


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(CONTENTS), max_size=8), st.lists(st.sampled_from(CONTENTS), max_size=8)
)
def test_equal_bytes_are_found_and_nothing_else(tmp_path_factory, left, right):
    root = tmp_path_factory.mktemp("splits")
    files, others = write(root / "a", left), write(root / "b", right)
    both = compare(others, files)
    assert both.compared == len(files)
    theirs = {file.read_bytes() for file in others}
    wanted = [str(file) for file in files if (content := file.read_bytes()) and content in theirs]
    assert [file for file, _ in both.found] == wanted
    for file, other in both.found:
        with open(file, "rb") as one, open(other, "rb") as two:
            assert one.read() == two.read()


def test_paths_that_both_have_are_not_read(tmp_path, monkeypatch):
    files = write(tmp_path / "a", CONTENTS)
    monkeypatch.setattr(overlap, "_digest", None)
    assert compare(files, [str(file) for file in files]).found == [(str(f), str(f)) for f in files]


def test_only_files_that_look_alike_are_read_whole(tmp_path, monkeypatch):
    read = []
    digest = overlap._digest
    monkeypatch.setattr(overlap, "_digest", lambda file: read.append(file) or digest(file))
    files = write(tmp_path / "a", [b"x" * 5000, b"y" * 6000, b"z" * 7000])
    others = write(tmp_path / "b", [b"x" * 5000, b"z" * 6000, b"z" * 8000])
    assert compare(others, files).found == [(str(files[0]), str(others[0]))]
    assert sorted(read) == [str(files[0]), str(others[0])]


def test_what_cannot_be_read_is_equal_to_nothing(tmp_path):
    files = write(tmp_path / "a", [b"x", b"y"])
    os.symlink(tmp_path / "gone", tmp_path / "link")
    odd = [tmp_path / "none.jpg", tmp_path / "link", tmp_path]
    assert compare([*odd, *files], [*odd[:0], files[1]]).found == [(str(files[1]),) * 2]
    assert compare(odd, files) == (2, [])
    assert compare([], []) == (0, [])


@pytest.mark.parametrize(("most", "compared"), [(100, 9), (9, 9), (5, 5), (4, 3), (1, 1)])
def test_of_many_files_some_are_looked_for(tmp_path, monkeypatch, most, compared):
    monkeypatch.setattr(overlap, "MOST", most)
    files = write(tmp_path / "a", [bytes([65 + number]) for number in range(9)])
    both = compare(files, files)
    assert both.compared == len(both.found) == compared
