"""The whole way from pictures to a score, and the command."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from torch import nn

from common.commands import card, trained
from common.errors import DamagedFile, UserError
from common.reading import image
from common.training.distributed import World
from tasks.reid import evaluate
from tasks.reid.config import Config, ScoredConfig, ScoringConfig
from tasks.reid.data import read_test
from tasks.reid.model import to_published
from tests.tasks.reid import small

WORLD = World()


class Pixels(nn.Module):
    """The picture itself as its feature; pictures of a person are drawn alike."""

    def forward(self, images):
        flat = images.float().flatten(1) - 127
        return type("Found", (), {"before": flat, "after": flat})


def outcome(root, test=None, **data):
    config = dataclasses.replace(small.tiny_config(root, **data), test=test or ScoringConfig())
    return evaluate.evaluate(Pixels(), read_test(config.data), config, WORLD)


@pytest.mark.parametrize(
    "test",
    [
        ScoringConfig(),
        ScoringConfig(normalize=False),
        ScoringConfig(rerank=True, rerank_k1=3, rerank_k2=2),
        ScoringConfig(expansion=1),
        ScoringConfig(feature="before"),
    ],
)
def test_pictures_that_tell_persons_give_a_perfect_score(tmp_path, test):
    found = outcome(small.write_market(tmp_path), test)
    assert found.metrics == dict.fromkeys(
        ("mAP", "rank1", "rank5", "rank10", "mINP", "mAP_trapezoid"), 1.0
    )
    assert found.skipped == 0
    assert found.scores.queries.tolist() == list(range(6))


def test_a_distractor_that_looks_alike_costs_the_first_rank(tmp_path):
    root = small.write_market(tmp_path)
    # Nearer to person 11 than its own other pictures are: the very same file.
    query = root / "query" / "0011_c1s1_000000_00.jpg"
    copy = root / "bounding_box_test" / "0000_c2s1_000000_00.jpg"
    copy.write_bytes(query.read_bytes())
    found = outcome(root)
    assert found.metrics["rank5"] == 1
    assert found.metrics["rank1"] == pytest.approx(1 - 1 / 6)
    copy.rename(copy.with_name("-1_c2s1_000000_00.jpg"))
    assert outcome(root).metrics["rank1"] == 1, "junk is not there"


def test_a_query_without_a_match_is_not_scored(tmp_path):
    root = small.write_market(tmp_path, extra=["query/0044_c1s1_000000_00.jpg"])
    found = outcome(root)
    assert len(found.scores.queries) == 6
    assert found.metrics["mAP"] == 1


def test_damaged_pictures_stop_or_are_left_out(tmp_path, capsys):
    root = small.write_market(tmp_path)
    query = root / "query" / "0011_c1s1_000000_00.jpg"
    among = root / "bounding_box_test" / "0012_c2s1_000001_00.jpg"
    for path in (query, among):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedFile, match="cut short"):
        outcome(root)
    found = outcome(root, on_error="skip")
    assert found.skipped == 2
    assert (len(found.test.query), len(found.test.gallery)) == (5, 5)
    assert query not in found.test.query.paths
    # Person 12 is left with one picture, by camera 1: its query there has no match.
    assert len(found.scores.queries) == 4
    assert found.metrics["mAP"] == 1
    assert str(among) in capsys.readouterr().err
    for path in (root / "bounding_box_test").iterdir():
        if path != among:
            path.write_bytes(b"")
    among.write_bytes((root / "query" / "0012_c2s1_000000_00.jpg").read_bytes())
    (root / "query" / "0012_c1s1_000000_00.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="no query has a picture of its person by another camera"):
        outcome(root, on_error="skip")
    for path in (root / "query").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no picture of query or gallery can be read"):
        outcome(root, on_error="skip")


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate.main()


@pytest.fixture
def run(tmp_path):
    root = small.write_market(tmp_path / "market")
    small.write_run(tmp_path / "run", root)
    return tmp_path / "run"


def test_the_command_writes_card_curve_and_lists(run, tmp_path, monkeypatch, capsys):
    run_command(monkeypatch, "--run", run)
    printed = capsys.readouterr().out
    assert "6 queries among 6 pictures of 3 persons by 2 cameras" in printed
    assert "mAP_trapezoid" in printed
    assert "same camera removed" in printed
    one = card.read(run / "metrics.json")
    assert one.task == "reid"
    assert list(one.metrics) == ["mAP", "rank1", "rank5", "rank10", "mINP", "mAP_trapezoid"]
    assert one.protocol["re-ranking"] is False
    assert one.protocol["feature"] == "after the neck"
    assert one.protocol["distance"] == "cosine"
    assert (one.data["queries"], one.data["gallery"], one.data["skipped"]) == (6, 6, 0)
    assert one.checkpoint["epoch"] == 3
    for name in ("cmc.png", "ranked.jpg"):
        assert image.read(run / "pictures" / name).std() > 5


def test_flags_win_over_the_run_and_its_data(run, tmp_path, monkeypatch):
    """Learnt on one data set, scored on another one in another format."""
    file = small.write_csv(tmp_path / "other" / "people.csv")
    out = tmp_path / "elsewhere"
    words = ["--run", run, "--data.root", file, "--data.format", "csv", "--checkpoint", "last"]
    words += [
        "--test.rerank",
        "--test.rerank_k1",
        6,
        "--test.rerank_k2",
        3,
        "--test.expansion",
        1,
        "--test.flip",
    ]
    run_command(
        monkeypatch, *words, "--test.feature", "before", "--precision", "bf16", "--out", out,
        "--data.input_size", "[64, 32]",
    )  # fmt: skip
    assert not (run / "metrics.json").exists()
    one = card.read(out / "metrics.json")
    assert one.data["root"] == str(file)
    assert one.data["queries"] == 4
    assert one.protocol["re-ranking"] == {"k1": 6, "k2": 3, "weight": 0.3}
    assert one.protocol["query_expansion"] == {"neighbours": 1, "power": 0.0}
    assert one.protocol["flip"] is True
    assert one.protocol["feature"] == "before the neck"
    assert one.protocol["precision"] == "bf16"
    assert one.checkpoint["epoch"] == 5


def test_a_published_checkpoint_needs_no_run_and_no_fitting_classifier(run, tmp_path, monkeypatch):
    state = torch.load(run / "best.pt", weights_only=True)["model"]
    state["classifier.weight"] = torch.randn(751, state["classifier.weight"].shape[1])
    published = {f"module.{key}": value for key, value in to_published(state).items()}
    torch.save({"state_dict": published}, tmp_path / "published.pth")
    words = ["--config", run / "config.yaml", "--checkpoint", tmp_path / "published.pth"]
    run_command(monkeypatch, *words, "--out", tmp_path / "out")
    run_command(monkeypatch, "--run", run)
    found, own = card.read(tmp_path / "out" / "metrics.json"), card.read(run / "metrics.json")
    assert found.metrics == own.metrics
    assert found.checkpoint["file"] == "published.pth"
    assert found.checkpoint["epoch"] is None


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_or_broken_is_told_in_one_line(run, tmp_path, monkeypatch):
    assert "--run is missing" in refusal(monkeypatch)
    flags = ("--run", run)
    assert "no such folder" in refusal(monkeypatch, *flags, "--data.root", tmp_path / "none")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "trunk.pth")
    assert "--weights" in refusal(monkeypatch, *flags, "--checkpoint", tmp_path / "trunk.pth")
    assert "--backbone resnet26_half" in refusal(monkeypatch, *flags, "--backbone", "resnet50")
    assert "--model.pooling average" in refusal(monkeypatch, *flags, "--model.pooling", "gem")
    payload = torch.load(run / "best.pt", weights_only=True)
    payload["model"]["bottleneck.weight"] *= torch.nan
    torch.save({k: v for k, v in to_published(payload["model"]).items()}, tmp_path / "nan.pth")
    words = ("--config", run / "config.yaml", "--checkpoint", tmp_path / "nan.pth")
    assert "not finite" in refusal(monkeypatch, *words)


def test_the_sheet_names_who_was_found_and_by_which_camera(run, monkeypatch):
    """Hits have green frames, misses red ones: seen by their colours on the sheet."""
    run_command(monkeypatch, "--run", run)
    sheet = image.read(run / "pictures" / "ranked.jpg").astype(int)
    green = (np.abs(sheet - (40, 170, 70)).max(axis=2) < 40).sum()
    red = (np.abs(sheet - (214, 54, 48)).max(axis=2) < 40).sum()
    assert green > 1000
    assert red > 1000


def test_a_runs_config_is_taken(run):
    config = trained.parse(ScoredConfig, ["--run", str(run)], folder="out")
    assert config.backbone == "resnet26_half"
    assert config.data.input_size == (32, 16)
    assert isinstance(config, Config)
