"""Conversion changes the container and nothing else, and says where the weights come from."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from backbone import MODELS, WEIGHTS, WeightsError, load
from backbone.convert import convert, main
from backbone.files import read_card, sha256

ROOT = Path(__file__).parents[2]
VARIANT = "res2net26_14w_4s_half"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file as published: with a classifier and the prefix of DataParallel."""
    torch.manual_seed(0)
    state = MODELS[VARIANT]().state_dict()
    state = {**state, "fc.weight": torch.rand(1000, 1024), "fc.bias": torch.rand(1000)}
    file = tmp_path_factory.mktemp("published") / "official.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 99}, file)
    return file, state


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert all(one[key].dtype == other[key].dtype for key in one)


def test_there_and_back_every_bit_is_kept(published, tmp_path):
    file, state = published
    assert convert(file, tmp_path / "x.safetensors") == VARIANT
    same(load_file(tmp_path / "x.safetensors"), state)
    assert convert(tmp_path / "x.safetensors", tmp_path / "back.pth") == VARIANT
    same(torch.load(tmp_path / "back.pth", weights_only=True), state)
    trunk = MODELS[VARIANT]()
    assert set(load(trunk, tmp_path / "x.safetensors").dropped) == {"fc.weight", "fc.bias"}
    assert torch.equal(trunk.layer4[1].convs[2].weight, state["layer4.1.convs.2.weight"])


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_the_bytes_are_the_same_every_time(published, tmp_path, suffix):
    convert(published[0], tmp_path / f"a.{suffix}")
    convert(published[0], tmp_path / f"b.{suffix}")
    assert sha256(tmp_path / f"a.{suffix}") == sha256(tmp_path / f"b.{suffix}")


def test_the_card_of_an_unknown_file_says_unknown(published, tmp_path):
    convert(published[0], tmp_path / "x.safetensors")
    card = read_card(tmp_path / "x.safetensors")
    assert card.pop("source_sha256") == sha256(published[0])
    assert card.pop("source_file") == "official.pth"
    assert card.pop("variant") == VARIANT
    assert set(card) >= {"licence", "mean", "std", "colour", "input_size", "error"}
    assert set(card.values()) == {"unknown"}


def test_the_card_of_a_published_file_is_recognised_by_its_hash(published, tmp_path, monkeypatch):
    name = "res2net50_26w_4s.imagenet1k_official"
    row = replace(WEIGHTS[name], sha256=sha256(published[0])[:8])
    monkeypatch.setitem(WEIGHTS, name, row)
    convert(published[0], tmp_path / "x.safetensors")
    card = read_card(tmp_path / "x.safetensors")
    assert card["name"] == name
    assert card["licence"] == row.licence
    assert card["mean"] == [0.485, 0.456, 0.406]
    assert card["std"] == [0.229, 0.224, 0.225]
    assert card["colour"] == "RGB"
    assert card["input_size"] == 224
    assert card["error"] == [22.01, 6.15]


def test_the_command(published, tmp_path):
    target = tmp_path / "x.safetensors"
    done = subprocess.run(
        [sys.executable, "-m", "backbone.convert", published[0], target, "--variant", VARIANT],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: {VARIANT}, sha256 {sha256(target)}\n"
    # The order of sets and maps differs from process to process; the bytes must not.
    convert(published[0], tmp_path / "again.safetensors")
    assert sha256(tmp_path / "again.safetensors") == sha256(target)


@pytest.mark.parametrize(
    ("source", "target", "options", "words"),
    [
        ("official.pth", "x.safetensors", ["--variant", "resnet50"], "does not fit resnet50"),
        ("official.pth", "x.onnx", [], "allowed: .safetensors, .pth"),
        ("absent.pth", "x.safetensors", [], "neither a file"),
        ("official.pth", "official.pth", [], "is the input itself"),
        ("official.pth", "nowhere/x.pth", [], "cannot be written"),
        ("official.pth", "nowhere/x.safetensors", [], "cannot be written"),
    ],
)
def test_mistakes_are_told_in_one_line(
    published, tmp_path, monkeypatch, capsys, source, target, options, words
):
    (tmp_path / "official.pth").symlink_to(published[0])
    monkeypatch.chdir(tmp_path)
    assert main([source, target, *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert words in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["official.pth"]


def test_a_net_outside_the_family_is_refused(tmp_path):
    odd = MODELS[VARIANT](width=16)
    torch.save(odd.state_dict(), tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="of width 16"):
        convert(tmp_path / "odd.pth", tmp_path / "odd.safetensors")


def test_a_file_without_card_has_an_empty_one(published, tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    assert json.dumps(read_card(tmp_path / "bare.safetensors")) == "{}"


def test_a_whole_model_keeps_its_head(published, tmp_path):
    """Of a run or of a classifier under this project's names, not the backbone alone."""
    state = {f"backbone.{key}": value for key, value in MODELS[VARIANT]().state_dict().items()}
    state["fc.weight"] = torch.rand(5, 1024)
    torch.save({"model": state, "format": 1}, tmp_path / "best.pt")
    assert convert(tmp_path, tmp_path / "whole.safetensors") == VARIANT
    same(load_file(tmp_path / "whole.safetensors"), state)
    load(MODELS[VARIANT](), tmp_path / "whole.safetensors")
