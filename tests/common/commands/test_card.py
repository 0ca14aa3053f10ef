import dataclasses
import json
from pathlib import Path

import pytest
import torch

from common.commands import card, results
from common.errors import UserError


def make_card(**changes):
    base = card.Card(
        task="pose",
        metrics={"AP": 0.71234, "AR": 0.8},
        protocol={"boxes": "ground truth", "flip_test": True},
        data={"root": "data/coco", "split": "val2017", "images": 5, "fingerprint": "abc"},
        model={"backbone": "res2net50_26w_4s", "parameters": 34141785, "weights": "none"},
        checkpoint={"file": "best.pt", "sha256": "00", "epoch": 3},
        versions={"torch": "2"},
        device="CPU",
    )
    return dataclasses.replace(base, **changes)


def test_a_written_card_reads_back_equal(tmp_path):
    make_card().write(tmp_path / "metrics.json")
    assert card.read(tmp_path / "metrics.json") == make_card()
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"]["AP"] == 0.71234


def test_the_table_names_scores_and_protocol():
    lines = make_card().table().splitlines()
    assert lines[0].split() == ["AP", "AR"]
    assert lines[1].split() == ["0.7123", "0.8000"]
    assert "boxes ground truth" in lines[2]


def test_a_score_that_no_object_decides_is_no_number_in_the_table():
    lines = make_card(metrics={"AP": 0.5, "APM": -1.0}).table().splitlines()
    assert lines[1].split() == ["0.5000", "-"]


@pytest.mark.parametrize("content", ["{", "[]", '{"task": "pose"}'])
def test_a_file_that_is_no_card_is_named(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.json"):
        card.read(tmp_path / "metrics.json")


@pytest.mark.parametrize(
    ("part", "content"),
    [("data", []), ("model", None), ("protocol", "COCO"), ("model", {"parameters": "many"})],
)
def test_a_card_whose_parts_are_something_else_is_named(tmp_path, part, content):
    make_card(**{part: content}).write(tmp_path / "metrics.json")
    with pytest.raises(UserError, match=rf"metrics\.json: not a result card \({part}: "):
        card.read(tmp_path / "metrics.json")


def test_a_card_whose_scores_are_no_numbers_is_named(tmp_path):
    for metrics in ({"AP": None}, {"AP": "high"}, None):
        make_card(metrics=metrics).write(tmp_path / "metrics.json")
        with pytest.raises(UserError, match=r"metrics\.json: not a result card"):
            card.read(tmp_path / "metrics.json")


def test_a_checkpoint_is_described_by_its_hash(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"abc")
    entry = card.describe_checkpoint(tmp_path / "best.pt", 4)
    assert entry["sha256"].startswith("ba7816bf8f01cfea")  # SHA-256 of "abc", FIPS 180 example
    assert (entry["file"], entry["epoch"]) == ("best.pt", 4)


def test_like_scores_share_a_table_and_unlike_ones_do_not():
    same = results.tables({"a": make_card(), "b": make_card(metrics={"AP": 0.5, "AR": 0.6})})
    assert same.count("## pose") == 1
    detector = make_card(protocol={"boxes": "detector.json", "flip_test": True})
    other_data = make_card(data={**make_card().data, "fingerprint": "xyz"})
    other_metrics = make_card(metrics={"AP": 0.5})
    some_skipped = make_card(data={**make_card().data, "skipped": 2})
    for unlike in (detector, other_data, other_metrics, some_skipped):
        text = results.tables({"a": make_card(), "b": unlike})
        assert text.count("## pose") == 2


def test_a_table_row_holds_the_scores_of_its_run():
    text = results.tables({"runs/a": make_card()})
    row = "| runs/a | res2net50_26w_4s | 34,141,785 | none | 0.7123 | 0.8000 |"
    assert row in text.splitlines()


def test_a_model_and_a_root_are_described():
    found = card.describe_model(torch.nn.Linear(2, 3), "net", None)
    assert found == {"backbone": "net", "parameters": 9, "weights": None}
    assert card.describe_root(None) == "generated sample data"
    assert card.describe_root(Path("data/x")) == "data/x"


def test_tables_that_cannot_be_written_name_the_file(tmp_path, monkeypatch):
    make_card().write(tmp_path / "metrics.json")
    for out in (tmp_path, tmp_path / "metrics.json" / "x.md"):
        words = ["results", str(tmp_path / "metrics.json"), "--out", str(out)]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(UserError, match=r"cannot be (written|made)"):
            results.main()
