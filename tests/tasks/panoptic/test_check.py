"""The check of a panoptic set: what is sound has no finding, and each planted fault has one."""

import pytest

from tasks.panoptic import check
from tasks.panoptic.maps import write_ids
from tests.tasks import checked
from tests.tasks.panoptic import small


@pytest.fixture
def root(tmp_path):
    return small.write(tmp_path / "set")


@pytest.fixture
def found(root, monkeypatch, capsys):
    """Exit status and findings with further flags."""
    flags = ["--data.root", root, "--out", root.parent / "run", "--engine.batch_size", "2"]
    flags += ["--test.stuff_area", "50"]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found, root):
    assert found() == (0, [])
    assert (root.parent / "run" / "check" / "index.html").is_file()


def test_a_map_of_unknown_ids(found, root):
    ids = small.ids()
    ids[:3] = 77
    write_ids(root / "annotations" / "panoptic_train2017" / "2.png", ids)
    status, lines = found()
    assert status == 1
    assert "1 of 3 pictures cannot be read" in lines[0] and "192 pixels of id 77" in lines[0]
    assert found("--data.on_error", "skip")[0] == 0


def test_areas_that_are_not_those_of_the_map_are_warned_of(found, root):
    content = small.content(root)
    content["annotations"][0]["segments_info"][2]["area"] = 7
    small.annotate(root, content)
    status, lines = found()
    assert status == 0
    assert lines[0].startswith("warning: val2017: 1 of 3 maps have areas")
    assert "segment 12 has 80 pixels in the PNG and the 'area' 7" in lines[0]


def test_stuff_that_the_limit_never_finds_is_noted(found):
    status, lines = found("--test.stuff_area", "1500")
    assert status == 0 and len(lines) == 2
    assert "3 of 3 maps have stuff below --test.stuff_area" in lines[0]


def test_stuff_in_several_segments_is_warned_of(found, root):
    content = small.content(root)
    content["categories"] = [{**one, "isthing": 1 - one["isthing"]} for one in small.CATEGORIES]
    content["annotations"][0]["segments_info"][3]["category_id"] = 3  # two kites, which are stuff
    small.annotate(root, content)
    other = small.content(root, "train2017")
    small.annotate(root, {**other, "categories": content["categories"]}, "train2017")
    status, lines = found("--test.stuff_area", "0")
    assert status == 0
    assert "1 of 3 maps have several segments of one kind of stuff" in lines[0]
    assert "kite has 2 segments" in lines[0]
