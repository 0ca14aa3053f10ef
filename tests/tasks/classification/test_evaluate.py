"""The whole way from pictures to a score, and the command."""

import csv
import dataclasses
import hashlib
import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backbone import WEIGHTS, WeightsError
from common.commands import card
from common.errors import UserError
from common.training.distributed import World
from tasks.classification import checkpoints, evaluate, folders, labels, pack
from tasks.classification.config import ModelConfig
from tasks.classification.model import build, to_published
from tests.server import serving
from tests.tasks.classification import small

WORLD = World()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    return small.write_tree(tmp_path / "data", train=1, val=4)


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words), "--loader.workers", "0"])
    evaluate.main()


class Brightness(nn.Module):
    """Scores by the mean of each colour: red is class 0, green 1, blue 2, and so on."""

    def forward(self, images):
        return images.float().mean(dim=(2, 3))


def test_scores_of_a_model_that_can_be_foreseen(root):
    pictures = folders.read(root, "val", None)
    config = small.tiny_config(root)
    expected = []
    for index in range(len(pictures)):
        picture = evaluate.ScoringSet(pictures, config)[index]["image"]
        expected.append(np.argsort(-picture.mean(axis=(1, 2)), kind="stable").tolist())
    found = evaluate.evaluate(Brightness(), pictures, config, WORLD)
    assert found.guess.tolist() == [order[0] for order in expected]
    truth = pictures.labels.tolist()
    rank = [order.index(label) for order, label in zip(expected, truth, strict=True)]
    assert found.rank.tolist() == rank
    assert found.metrics == {"top1": pytest.approx(np.mean(np.array(rank) == 0)), "top5": 1.0}
    assert found.index.tolist() == list(range(12))
    assert found.skipped == 0


def test_a_model_of_nothing_but_nan_is_refused(root):
    pictures, config = folders.read(root, "val", None), small.tiny_config(root)

    class Broken(Brightness):
        def forward(self, images):
            return super().forward(images) * torch.nan

    with pytest.raises(UserError, match="not finite: this checkpoint is of a failed run"):
        evaluate.evaluate(Broken(), pictures, config, WORLD)


def test_a_damaged_picture_is_left_out_and_counted(root, capsys):
    path = root / "val" / "cat" / "cat_1.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    pictures = folders.read(root, "val", None)
    config = small.tiny_config(root)
    with pytest.raises(UserError, match="cat_1"):
        evaluate.evaluate(Brightness(), pictures, config, WORLD)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, on_error="skip"))
    found = evaluate.evaluate(Brightness(), pictures, config, WORLD)
    assert found.skipped == 1
    assert 5 not in found.index
    assert "1 of 12 samples could not be read" in capsys.readouterr().out
    for path in (root / "val").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="val: not one of its 12 pictures can be read"):
        evaluate.evaluate(Brightness(), pictures, config, WORLD)


def test_the_command_writes_card_accuracies_and_pictures(root, tmp_path, monkeypatch, capsys):
    small.write_run(tmp_path / "run", root)
    run_command(monkeypatch, "--run", tmp_path / "run")
    printed = capsys.readouterr().out
    assert "top1" in printed
    assert "crop 1.0" in printed
    one = card.read(tmp_path / "run" / "metrics.json")
    assert one.task == "classification"
    assert list(one.metrics) == ["top1", "top5"]
    assert one.protocol["input_size"] == 32
    assert (one.data["images"], one.data["classes"]) == (12, 3)
    assert one.checkpoint["epoch"] == 3
    with (tmp_path / "run" / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(small.CLASSES)
    assert sum(int(row["correct"]) for row in rows) == round(12 * one.metrics["top1"])
    assert all(int(row["pictures"]) == 4 for row in rows)
    assert (tmp_path / "run" / "pictures" / "predictions.jpg").stat().st_size > 5000


def published(tmp_path, count, suffix):
    torch.manual_seed(0)
    state = to_published(build(small.BACKBONE, count, ModelConfig()).state_dict())
    file = tmp_path / f"published{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save({"state_dict": state}, file)
    return file


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_published_checkpoint_in_one_command(root, tmp_path, monkeypatch, suffix):
    words = [
        "--checkpoint", published(tmp_path, 3, suffix), "--data.root", root,
        "--test.input_size", 48, "--test.crop", 0.875, "--out", tmp_path / "out",
    ]  # fmt: skip
    run_command(monkeypatch, *words)
    one = card.read(tmp_path / "out" / "metrics.json")
    assert (one.protocol["input_size"], one.protocol["crop"]) == (48, 0.875)
    assert one.checkpoint == {**one.checkpoint, "file": f"published{suffix}", "epoch": None}


def test_a_published_name_is_fetched(root, tmp_path, monkeypatch, capsys):
    """By its name in the table of weights; the file itself stands in for the download."""
    file = published(tmp_path, 3, ".pth")
    name = "res2net50_26w_4s.imagenet1k_official"
    monkeypatch.setattr(checkpoints, "fetch", lambda card: file if card.name == name else None)
    words = ["--checkpoint", name, "--data.root", root, "--out", tmp_path / "out"]
    run_command(monkeypatch, *words)
    assert card.read(tmp_path / "out" / "metrics.json").checkpoint["file"] == "published.pth"
    said = "was published at --test.input_size 224 --test.crop 0.875; this score is at 64 and 1.0"
    assert said in capsys.readouterr().out
    run_command(monkeypatch, *words, "--test.input_size", 224, "--test.crop", 0.875)
    assert "was published at" not in capsys.readouterr().out


def test_mmpretrains_file_by_its_name(root, tmp_path, monkeypatch):
    """Fetched, verified, and its last layer found."""
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    state = build(small.BACKBONE, 3, ModelConfig()).state_dict()
    state |= {f"head.{key}": state.pop(key) for key in ("fc.weight", "fc.bias")}
    torch.save({"meta": {}, "state_dict": state}, tmp_path / "made.pth")
    content = (tmp_path / "made.pth").read_bytes()
    name = "res2net50_14w_8s.imagenet1k_mmpretrain"
    with serving(content) as server:
        digest = hashlib.sha256(content).hexdigest()[:8]
        row = dataclasses.replace(WEIGHTS[name], urls=(server.url,), sha256=digest)
        monkeypatch.setitem(WEIGHTS, name, row)
        words = ["--checkpoint", name, "--data.root", root, "--out", tmp_path / "out"]
        run_command(monkeypatch, *words)
        run_command(monkeypatch, *words)
    assert len(server.requests) == 1
    assert card.read(tmp_path / "out" / "metrics.json").checkpoint["file"] == row.file


def test_a_published_name_without_a_hash_says_what_to_fetch(root, tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    name = "res2net50_v1b_summed.imagenet1k_paddle_ssld"
    with pytest.raises(WeightsError, match=r"Res2Net50_vd_26w_4s_ssld_pretrained\.pdparams yours"):
        run_command(
            monkeypatch, "--checkpoint", name, "--data.root", root, "--out", tmp_path / "out"
        )


def test_part_of_imagenets_classes_by_their_names(tmp_path, monkeypatch):
    """A checkpoint of 1000 classes on folders called by three of their WordNet ids."""
    names = ("n01443537", "n02123045", "n15075141")
    root = small.write_tree(tmp_path / "data", train=1, val=2, classes=names)
    words = [
        "--checkpoint", published(tmp_path, 1000, ".pth"), "--data.root", root,
        "--test.input_size", 32, "--test.subset", "--out", tmp_path / "out",
    ]  # fmt: skip
    run_command(monkeypatch, *words)
    with (tmp_path / "out" / "per_class.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["pictures"])]
    assert [row["class"] for row in rows] == list(names)
    assert rows[1]["title"] == "tabby, tabby cat"
    data = card.read(tmp_path / "out" / "metrics.json").data
    assert data["classes"] == 1000
    assert data["absent_classes"].startswith("997 of 1,000 (n01440764, ")


def test_shards_and_folders_have_one_score(root, tmp_path, monkeypatch):
    small.write_run(tmp_path / "run", root)
    pack.write(folders.read(root, "val", None), tmp_path / "shards" / "val", 5, seed=1)
    labels.write(folders.read(root, "val", None).classes, tmp_path / "shards" / "classes.txt")
    scores = []
    for words in (
        ("--data.root", root),
        ("--data.root", tmp_path / "shards", "--data.format", "shards"),
    ):
        run_command(monkeypatch, "--run", tmp_path / "run", *words, "--out", tmp_path / "out")
        scores.append(json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"])
    assert scores[0] == scores[1]


def test_the_official_list_has_the_folders_score(root, tmp_path, monkeypatch):
    small.write_run(tmp_path / "run", root)
    run_command(monkeypatch, "--run", tmp_path / "run", "--out", tmp_path / "out")
    (root / "flat").mkdir()
    lines = []
    for path in sorted((root / "val").rglob("*.jpg")):
        path.rename(root / "flat" / path.name)
        lines.append(f"{path.name} {small.CLASSES.index(path.parent.name)}\n")
    (tmp_path / "val.txt").write_text("".join(reversed(lines)))
    words = ["--data.val_split", "flat", "--data.val_list", tmp_path / "val.txt"]
    run_command(monkeypatch, "--run", tmp_path / "run", *words, "--out", tmp_path / "list")
    found, expected = (card.read(tmp_path / one / "metrics.json") for one in ("list", "out"))
    assert found.metrics == expected.metrics
    assert found.data["images"] == 12


def test_guess_and_rank_agree_where_probabilities_are_rounded_to_one():
    """Of logits 0 and 1e-8 the second is larger, though a softmax makes halves of both."""
    logits = torch.tensor([[0.0, 1e-8, -1.0]])
    batch = {"image": logits, "label": torch.tensor([1]), "index": torch.tensor([0])}
    (answer,) = evaluate._answers(nn.Identity(), batch)
    assert (answer.rank, answer.guess) == (0, 1)
    assert answer.confidence == pytest.approx(logits.softmax(1)[0, 1].item())
