"""What leaves a run for other tasks: the backbone alone, bit for bit, with what is known of it."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from backbone import MODELS, WEIGHTS, WeightsError, load
from backbone.export import export, main
from backbone.files import read_card, sha256

ROOT = Path(__file__).parents[2]
VARIANT = "res2net26_14w_4s_half"
PUBLISHED = "res2net50_26w_4s.imagenet1k_official"


def trunk_of(variant=VARIANT, **options):
    torch.manual_seed(0)
    return MODELS[variant](**options)


def write_run(folder, trunk, initial="null", **parts):
    """A run of some task: a head beside the backbone, as the engine's checkpoints have it."""
    state = {f"backbone.{key}": value for key, value in trunk.state_dict().items()}
    state |= {"head.weight": torch.ones(3), "fc.weight": torch.rand(10, 4)}
    payload = {
        "format": 1,
        "model": state,
        "ema": None,
        "progress": {"epoch": 7},
        "config": f"out: runs/toy\nbackbone: {VARIANT}\nweights: {initial}\nfinetune: null\n",
        "metrics": {"top1": 0.9},
        **parts,
    }
    folder.mkdir(exist_ok=True)
    torch.save(payload, folder / "best.pt")
    return folder


def test_the_backbone_alone_comes_out_bit_for_bit(tmp_path):
    trunk = trunk_of()
    out = tmp_path / "out.safetensors"
    assert export(write_run(tmp_path / "run", trunk), out) == VARIANT
    weights, own = load_file(out), trunk.state_dict()
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[key], own[key]) for key in own)
    fresh = MODELS[VARIANT](strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    load(fresh, out)
    assert all(torch.equal(fresh.state_dict()[key], own[key]) for key in own)


def test_averaged_weights_come_first(tmp_path):
    trunk, average = trunk_of(), trunk_of()
    with torch.no_grad():
        average.conv1.weight.zero_()
    ema = {f"backbone.{key}": value for key, value in average.state_dict().items()}
    out = tmp_path / "out.safetensors"
    export(write_run(tmp_path / "run", trunk, ema=ema), out)
    assert not load_file(out)["conv1.weight"].any()


def test_the_card_says_what_the_run_knows(tmp_path):
    run = write_run(tmp_path / "run", trunk_of(), "runs/classification")
    export(run, tmp_path / "out.safetensors")
    card = read_card(tmp_path / "out.safetensors")
    assert card["variant"] == VARIANT
    assert card["source_file"] == "best.pt"
    assert card["source_sha256"] == sha256(run / "best.pt")
    assert (card["epochs"], card["metrics"]) == (7, {"top1": 0.9})
    assert card["initial_weights"] == "runs/classification"
    assert card["licence"] == "unknown"
    write_run(tmp_path / "run", trunk_of())
    export(run, tmp_path / "out.safetensors")
    assert read_card(tmp_path / "out.safetensors")["initial_weights"] is None


def test_published_weights_bring_their_licence_along(tmp_path):
    run = write_run(tmp_path / "run", trunk_of(), PUBLISHED)
    export(run, tmp_path / "out.safetensors")
    card = read_card(tmp_path / "out.safetensors")
    assert card["licence"] == f"that of {PUBLISHED}: {WEIGHTS[PUBLISHED].licence}"


def test_a_file_that_is_no_run_has_no_run_facts(tmp_path):
    file = tmp_path / "bare.pth"
    torch.save({**trunk_of().state_dict(), "fc.weight": torch.rand(5, 4)}, file)
    export(file, tmp_path / "out.safetensors")
    assert "epochs" not in read_card(tmp_path / "out.safetensors")
    assert "fc.weight" not in load_file(tmp_path / "out.safetensors")


def test_a_backbone_for_sound_is_described(tmp_path):
    run = write_run(tmp_path / "run", trunk_of(in_channels=1))
    variant = export(run, tmp_path / "out.safetensors")
    assert variant == f"{VARIANT} for input of 1 channel"
    assert read_card(tmp_path / "out.safetensors")["variant"] == variant


def test_the_bytes_are_the_same_every_time(tmp_path):
    run = write_run(tmp_path / "run", trunk_of())
    export(run, tmp_path / "a.safetensors")
    export(run, tmp_path / "b.safetensors")
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")


def test_mistakes_are_named(tmp_path):
    run = write_run(tmp_path / "run", trunk_of())
    with pytest.raises(WeightsError, match=r"out\.pth: unknown format; allowed: \.safetensors"):
        export(run, tmp_path / "out.pth")
    with pytest.raises(WeightsError, match="neither a file, nor a run directory"):
        export(tmp_path / "nowhere", tmp_path / "out.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds no best\.pt"):
        export(tmp_path / "empty", tmp_path / "out.safetensors")
    export(run, tmp_path / "out.safetensors")
    with pytest.raises(WeightsError, match="is the input itself"):
        export(tmp_path / "out.safetensors", tmp_path / "out.safetensors")
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="not the weights of a ResNet"):
        export(tmp_path / "other.pth", tmp_path / "other.safetensors")
    state = torch.load(run / "best.pt", weights_only=True)
    del state["model"]["backbone.layer2.0.conv1.weight"]
    torch.save(state, run / "best.pt")
    with pytest.raises(WeightsError, match=r"1 missing: layer2\.0\.conv1\.weight"):
        export(run, tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_the_command(tmp_path, capsys, monkeypatch):
    run, out = write_run(tmp_path / "run", trunk_of()), tmp_path / "out.safetensors"
    assert main([str(run), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: {VARIANT}, sha256 {sha256(out)}\n"
    monkeypatch.setattr(sys, "argv", ["export", "nowhere", str(out)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "backbone" / "export.py"), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: nowhere: ")
    assert json.loads(json.dumps(read_card(out)))["epochs"] == 7
