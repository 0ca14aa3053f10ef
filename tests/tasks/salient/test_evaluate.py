"""From pictures to scores: models, published checkpoints, and folders of existing maps."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from common.commands import card
from common.errors import DamagedFile, UserError
from common.reading import image
from common.training.distributed import World
from tasks.salient import evaluate, sets
from tasks.salient.data import read, read_mask
from tasks.salient.metrics import MAIN, measure, scores
from tasks.salient.model import Logits
from tasks.salient.published import to_published
from tests.tasks.salient import small

WORLD = World()


class Bright(torch.nn.Module):
    """Takes what is bright in one channel for salient."""

    def __init__(self, channel=0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.channel = channel

    def forward(self, images):
        share = (images[:, self.channel, None].float() / 255).clamp(0.0001, 0.9999)
        return Logits(torch.logit(share), None)


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pictures_that_are_their_masks(root, name="DUTS-TE", count=5):
    """A set whose pictures show their own masks in red, of different sizes."""
    images, masks = small.write_set(root, name, pictures=count)
    for number in range(count):
        mask = np.asarray(small.mask(number, (60 + 10 * number, 44)))
        Image.fromarray(mask).save(masks / f"p{number}.png")
        red = np.dstack([mask, 0 * mask, 0 * mask])
        Image.fromarray(red).save(images / f"p{number}.png")
        (images / f"p{number}.jpg").unlink()


def outcome(root, model, workers=0, **data):
    settings = small.tiny_config(root, data=data)
    found = read(settings)[0]
    return evaluate.evaluate(model.eval(), found, settings, WORLD)


@pytest.mark.parametrize("fit", ["native", "stretch", "pad"])
def test_the_true_maps_have_the_best_scores(tmp_path, fit):
    pictures_that_are_their_masks(tmp_path)
    found = outcome(tmp_path, Bright(), fit=fit, input_size=(88, 100))
    assert found.scores.metrics["MaxF"] > 0.97
    assert found.scores.metrics["MAE"] < 0.02
    assert (found.skipped, found.resized) == (0, 0)
    if fit == "native":
        assert found.scores.metrics["MAE"] < 0.002


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_the_recipes_colour_order_reaches_the_network(tmp_path, colour):
    pictures_that_are_their_masks(tmp_path)
    red = Bright(channel=0 if colour == "RGB" else 2)
    assert outcome(tmp_path, red, fit="native", colour=colour).scores.metrics["MaxF"] > 0.97


def test_maps_are_resized_to_masks_of_another_size(tmp_path):
    pictures_that_are_their_masks(tmp_path)
    path = tmp_path / "DUTS-TE" / "DUTS-TE-Mask" / "p1.png"
    Image.open(path).resize((130, 80)).save(path)
    found = outcome(tmp_path, Bright(), fit="native")
    assert found.resized == 1
    assert found.scores.metrics["MaxF"] > 0.95


def test_the_first_of_several_sets_is_the_watched_one(tmp_path, monkeypatch, capsys):
    for name in ("DUTS-TE", "ECSSD"):
        pictures_that_are_their_masks(tmp_path / "data", name, count=2)
    small.write_run(tmp_path / "run", tmp_path / "data")
    words = ["--run", tmp_path / "run", "--loader.workers", 0]
    run_command(monkeypatch, *words, "--data.test_sets", "[ECSSD, DUTS-TE]")
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[:3]] == ["set", "ECSSD", "DUTS-TE"]
    assert card.read(tmp_path / "run" / "metrics.json").data["split"] == "ECSSD"
    assert card.read(tmp_path / "run" / "metrics_DUTS-TE.json").data["split"] == "DUTS-TE"
    curves = json.loads((tmp_path / "run" / "precision_recall.json").read_text())
    assert list(curves) == ["ECSSD", "DUTS-TE"]
    assert len(curves["ECSSD"]["precision"]) == 256


def test_the_command_writes_card_curve_and_pictures(tmp_path, monkeypatch, capsys):
    small.write_set(tmp_path / "data")
    small.write_run(tmp_path / "run", tmp_path / "data")
    run_command(monkeypatch, "--run", tmp_path / "run", "--loader.workers", 0)
    printed = capsys.readouterr().out
    assert "MaxF SalMetric" in printed
    one = card.read(tmp_path / "run" / "metrics.json")
    assert one.task == "salient"
    assert tuple(one.metrics)[: len(MAIN)] == MAIN
    assert one.protocol["inputs"] == "stretch [32, 32]"
    assert one.protocol["colour"] == "RGB"
    assert one.data["images"] == 3
    assert one.data["skipped"] == one.data["resized"] == 0
    assert one.checkpoint["epoch"] == 3
    assert one.model["backbone"] == small.BACKBONE
    for name in ("precision_recall.png", "pictures/DUTS-TE.jpg"):
        assert (tmp_path / "run" / name).stat().st_size > 4000, name


def test_flags_win_over_the_run(tmp_path, monkeypatch):
    small.write_set(tmp_path / "data", "SOD", pictures=2)
    small.write_run(tmp_path / "run", tmp_path / "nowhere")
    words = ["--run", tmp_path / "run", "--data.root", tmp_path / "data", "--checkpoint", "last"]
    words += ["--data.test_sets", "[SOD]", "--data.fit", "native", "--loader.workers", 0]
    run_command(monkeypatch, *words, "--precision", "bf16", "--out", tmp_path / "elsewhere")
    one = card.read(tmp_path / "elsewhere" / "metrics.json")
    assert one.protocol["inputs"] == "native"
    assert one.protocol["precision"] == "bf16"
    assert one.checkpoint["epoch"] == 5
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("edge", [False, True])
def test_a_published_checkpoint_needs_no_run(tmp_path, monkeypatch, edge):
    small.write_set(tmp_path / "data")
    changes = {"model": small.ModelConfig(head_width=0.02, head_batchnorm=False, edge=edge)}
    model = small.write_run(tmp_path / "run", tmp_path / "data", **changes)
    state = to_published(model.state_dict())
    state["base.resnet.fc.weight"] = torch.zeros(1000, 1024)
    torch.save(state, tmp_path / "final.pth")
    words = ["--config", tmp_path / "run" / "config.yaml", "--loader.workers", 0]
    words += ["--checkpoint", tmp_path / "final.pth", "--out", tmp_path / "out"]
    run_command(monkeypatch, *words)
    run_command(monkeypatch, "--run", tmp_path / "run", "--loader.workers", 0)
    published, own = (card.read(tmp_path / name / "metrics.json") for name in ("out", "run"))
    assert published.metrics == own.metrics
    assert published.checkpoint["file"] == "final.pth"
    assert published.checkpoint["epoch"] is None


def test_damaged_pictures_are_left_out_and_counted(tmp_path, monkeypatch, capsys):
    images, masks = small.write_set(tmp_path / "data")
    (images / "p1.jpg").write_text("no picture")
    small.write_run(tmp_path / "run", tmp_path / "data")
    words = ["--run", tmp_path / "run", "--loader.workers", 0]
    assert "p1.jpg: is not a picture" in refusal(monkeypatch, *words)
    run_command(monkeypatch, *words, "--data.on_error", "skip")
    one = card.read(tmp_path / "run" / "metrics.json")
    assert (one.data["images"], one.data["skipped"]) == (2, 1)
    assert "skipped: " in capsys.readouterr().err
    for name in ("p0.png", "p2.png"):
        Image.new("L", (60, 44)).save(masks / name)
    message = refusal(monkeypatch, *words, "--data.on_error", "skip")
    assert message == "DUTS-TE: not one of its 3 pictures can be scored"


def write_maps(folder, pairs, suffix=""):
    folder.mkdir(parents=True)
    for pair in pairs:
        blurred = cv2.GaussianBlur(read_mask(pair.label), (0, 0), 3)
        image.write(folder / f"{pair.image.stem}{suffix}.png", blurred)


@pytest.fixture
def data(tmp_path):
    """Two sets on disk."""
    for name in ("ECSSD", "SOD"):
        small.write_set(tmp_path / "data", name)
    return tmp_path / "data"


def score_maps(monkeypatch, data, *words):
    run_command(monkeypatch, "--data.root", data, "--loader.workers", 0, *words)


def test_existing_maps_are_scored_without_a_model(tmp_path, data, monkeypatch, capsys):
    pairs = sets.find("x", "ECSSD", data).pairs
    write_maps(tmp_path / "maps", pairs)
    words = ("--maps", tmp_path / "maps", "--data.test_sets", "[ECSSD]")
    score_maps(monkeypatch, data, *words, "--out", tmp_path / "out")
    one = card.read(tmp_path / "out" / "metrics.json")
    maps = [
        (read_mask(tmp_path / "maps" / f"{p.image.stem}.png"), read_mask(p.label)) for p in pairs
    ]
    assert one.metrics == pytest.approx(scores([measure(*pair) for pair in maps]).metrics)
    assert one.model == one.checkpoint == {}
    assert one.protocol["maps"] == str(tmp_path / "maps")
    assert "ECSSD" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dtype", "told"), [(np.uint8, "hold levels 0 and 1 only"), (np.uint16, "levels up to 1 are")]
)
def test_maps_of_0_and_1_are_refused(tmp_path, data, monkeypatch, dtype, told):
    pairs = sets.find("x", "ECSSD", data).pairs
    write_maps(tmp_path / "maps", pairs)
    for path in (tmp_path / "maps").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) > 127).astype(dtype)).save(path)
    words = ("--maps", tmp_path / "maps", "--data.test_sets", "[ECSSD]", "--data.root", data)
    message = refusal(monkeypatch, *words, "--out", tmp_path / "out")
    assert str(tmp_path / "maps") in message
    assert told in message
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_maps_beside_a_run_of_their_name_want_a_folder(tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_maps(tmp_path / "maps", sets.find("x", "ECSSD", data).pairs)
    (tmp_path / "runs" / "maps").mkdir(parents=True)
    (tmp_path / "runs" / "maps" / "config.yaml").touch()
    words = ("--data.root", data, "--maps", tmp_path / "maps", "--data.test_sets", "[ECSSD]")
    assert refusal(monkeypatch, *words).startswith("--out runs/maps: a run is kept there")
    score_maps(monkeypatch, data, *words[2:], "--out", tmp_path / "own")
    assert not (tmp_path / "runs" / "maps" / "metrics.json").exists()


def test_maps_of_pictures_that_were_turned_are_refused(tmp_path, data, monkeypatch, capsys):
    pairs = sets.find("x", "ECSSD", data).pairs
    write_maps(tmp_path / "maps", pairs)
    path = tmp_path / "maps" / f"{pairs[0].image.stem}.png"
    image.write(path, np.rot90(read_mask(path)))
    words = ("--data.root", data, "--maps", tmp_path / "maps", "--data.test_sets", "[ECSSD]")
    assert "the map lies on its side; make it of the picture as it" in refusal(monkeypatch, *words)
    skip = ("--data.on_error", "skip", "--out", tmp_path / "out")
    score_maps(monkeypatch, data, *words[2:], *skip)
    assert card.read(tmp_path / "out" / "metrics.json").data["skipped"] == 1


def test_maps_of_several_sets_lie_in_folders_of_their_names(tmp_path, data, monkeypatch):
    for name in ("ECSSD", "SOD"):
        write_maps(tmp_path / "maps" / name, sets.find("x", name, data).pairs, "_sal_fuse")
    words = ("--maps", tmp_path / "maps", "--data.test_sets", "[ECSSD, SOD]")
    message = None
    with pytest.raises(UserError) as caught:
        score_maps(monkeypatch, data, *words)
    message = str(caught.value)
    assert "p0_sal_fuse.png is there: say --map_suffix '_sal_fuse'" in message
    words += ("--map_suffix", "_sal_fuse", "--out", tmp_path / "out")
    score_maps(monkeypatch, data, *words)
    assert (tmp_path / "out" / "metrics_SOD.json").is_file()


def test_faint_maps_are_maps(tmp_path, data, monkeypatch):
    pairs = sets.find("x", "ECSSD", data).pairs
    write_maps(tmp_path / "maps", pairs)
    faint = (read_mask(pairs[0].label) > 128).astype(np.uint8)
    image.write(tmp_path / "maps" / f"{pairs[0].image.stem}.png", faint)
    words = ("--maps", tmp_path / "maps", "--data.test_sets", "[ECSSD]")
    score_maps(monkeypatch, data, *words, "--out", tmp_path / "out")
    one = card.read(tmp_path / "out" / "metrics.json")
    assert one.data["images"] == len(pairs)


def test_each_picture_has_a_map_of_its_own(tmp_path, data, monkeypatch):
    pairs = sets.find("x", "ECSSD", data).pairs
    lines = []
    for folder, pair in zip("ab", pairs, strict=False):
        for place, path in zip(("images", "masks"), pair, strict=True):
            target = data / "video" / folder / place / f"0001{path.suffix}"
            target.parent.mkdir(parents=True)
            target.write_bytes(path.read_bytes())
        lines.append(f"{folder}/images/0001{pair.image.suffix} {folder}/masks/0001.png")
    (data / "video" / "test.lst").write_text("\n".join(lines))
    write_maps(tmp_path / "maps", [pairs[0]])
    (tmp_path / "maps" / f"{pairs[0].image.stem}.png").rename(tmp_path / "maps" / "0001.png")
    words = ("--data.root", data, "--maps", tmp_path / "maps", "--data.test_sets")
    message = refusal(monkeypatch, *words, "[video/test.lst]")
    assert "several pictures of test are called 0001" in message
    write_maps(tmp_path / "twins", pairs)
    twin = tmp_path / "twins" / f"{pairs[0].image.stem}.bmp"
    image.write(twin, read_mask(pairs[0].label))
    words = ("--data.root", data, "--maps", tmp_path / "twins", "--data.test_sets")
    message = refusal(monkeypatch, *words, "[ECSSD]")
    assert f"several maps are called {twin.stem}" in message


def test_maps_of_another_size_are_resized(tmp_path, data, monkeypatch, capsys):
    write_maps(tmp_path / "maps", sets.find("x", "SOD", data).pairs)
    path = tmp_path / "maps" / "p1.png"
    Image.open(path).resize((30, 22)).save(path)
    words = ("--maps", tmp_path / "maps", "--data.test_sets", "[SOD]", "--out", tmp_path / "out")
    score_maps(monkeypatch, data, *words)
    assert "SOD: 1 pictures have a mask of another size" in capsys.readouterr().out
    assert card.read(tmp_path / "out" / "metrics.json").metrics["MaxF"] > 0.9


def test_maps_that_are_missing_or_damaged(tmp_path, data, monkeypatch):
    write_maps(tmp_path / "maps", sets.find("x", "SOD", data).pairs)
    words = ["--data.root", data, "--data.test_sets", "[SOD]", "--loader.workers", 0]
    words += ["--out", tmp_path / "out"]
    maps = ("--maps", tmp_path / "maps")
    (tmp_path / "maps" / "p2.png").rename(tmp_path / "maps" / "P2.png")
    assert "P2.png differs in case: rename it" in refusal(monkeypatch, *words, *maps)
    (tmp_path / "maps" / "P2.png").unlink()
    message = refusal(monkeypatch, *words, *maps)
    assert "no map for 1 of the 3 pictures of SOD, such as p2.png" in message
    assert "no such folder" in refusal(monkeypatch, *words, "--maps", tmp_path / "none")
    assert "--maps and --run" in refusal(monkeypatch, *words, *maps, "--run", tmp_path)
    write_maps(tmp_path / "both" / "SOD", sets.find("x", "SOD", data).pairs)
    (tmp_path / "both" / "SOD" / "p0.png").write_text("no picture")
    with pytest.raises(DamagedFile, match=r"p0\.png: is not a picture"):
        run_command(monkeypatch, *words, "--maps", tmp_path / "both")


def test_a_model_of_nothing_but_nan_is_refused(tmp_path):
    small.write_set(tmp_path)

    class Broken(Bright):
        def forward(self, images):
            return Logits(super().forward(images).saliency * torch.nan, None)

    with pytest.raises(UserError, match="not finite"):
        outcome(tmp_path, Broken())


def test_what_is_missing_or_broken_is_told_in_one_line(tmp_path, monkeypatch):
    small.write_set(tmp_path / "data")
    small.write_run(tmp_path / "run", tmp_path / "data")
    run = ("--run", tmp_path / "run")
    assert "--run is missing" in refusal(monkeypatch)
    assert "no such folder" in refusal(monkeypatch, "--run", tmp_path / "none")
    assert "no such file" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "none.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "trunk.pth")
    assert "--weights" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "trunk.pth")
    assert "--backbone res2net26_14w_4s_half" in refusal(
        monkeypatch, *run, "--backbone", "resnet26"
    )
    assert "--model.head_width 0.02" in refusal(monkeypatch, *run, "--model.head_width", "0.1")
    twice = refusal(monkeypatch, *run, "--data.test_sets", "[DUTS-TE, DUTS-TE]")
    assert "two sets have one name" in twice
    assert "--data.test_sets SOD: no folder" in refusal(
        monkeypatch, *run, "--data.test_sets", "[SOD]"
    )
