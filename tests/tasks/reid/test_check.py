"""The check of a re-identification set: a sound one has no finding, each planted fault has one."""

import pytest

from tasks.reid import check
from tests.tasks import checked
from tests.tasks.reid import small


@pytest.fixture
def market(tmp_path):
    return small.write_market(tmp_path / "market")


@pytest.fixture
def found(market, monkeypatch, capsys):
    flags = ["--data.root", market, "--out", market.parent / "run", "--engine.batch_size", 8]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found):
    assert found() == (0, [])


def test_a_person_in_both_splits(found, market):
    small.save(market / "bounding_box_test" / "0001_c1s1_000009_00.jpg", 5)
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "test: 1 persons are trained on as well (first 0001)" in lines[0]


def test_a_damaged_picture(found, market):
    file = next((market / "bounding_box_train").iterdir())
    file.write_bytes(b"")
    status, lines = found()
    assert status == 1 and str(file) in lines[0]


def test_too_few_persons_for_a_batch(found):
    status, lines = found("--engine.batch_size", 64)
    assert status == 1 and len(lines) == 1


def test_junk_is_a_note(found, market):
    small.save(market / "bounding_box_test" / "-1_c1s1_000001_00.jpg", 6)
    status, lines = found()
    assert status == 0 and len(lines) == 1 and "1 junk (-1)" in lines[0]


def test_a_gallery_alone_answers_nobody(found, market):
    for file in (market / "query").iterdir():
        file.write_bytes(b"")
    status, lines = found("--data.on_error", "skip")
    assert status == 1 and any(line.startswith("error: query: none of 6") for line in lines)
