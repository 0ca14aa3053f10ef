"""Several heads on one pass of their trunk: the answers of each alone, and how often it ran."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.commands.predictor import TrunkInput
from common.errors import UserError
from tasks import open_run, together
from tasks.together import Together
from tests.tasks import commands

SIDE = "64"
SCALED = {
    "segmentation": (
        "--model.decoder", "unet", "--model.output_stride", "32", "--test.short_side", SIDE,
    ),
    "depth": ("--data.short_side", SIDE, "--model.multiple", "32"),
    "detection": ("--data.test_short_side", SIDE, "--data.longest_side", "0"),
    "salient": (
        "--model.network", "senet", "--model.multiple", "32", "--data.fit", "scale",
        "--data.input_size", f"[{SIDE}, {SIDE}]",
    ),
}  # fmt: skip
"""The settings under which a trunk's pass is shared."""


@pytest.fixture(scope="module")
def runs(shared, tmp_path_factory):
    """A run of each task, all on the trunk of one classification run."""
    folder = tmp_path_factory.mktemp("runs")
    flags = ("--weights", str(shared.trained("classification")), "--freeze_backbone", "true")
    for task, scaled in SCALED.items():
        epochs = ("--engine.epochs", "1")
        commands.fit(task, shared.data(task), folder / task, *flags, *scaled, *epochs)
    return folder


def photograph(height, width):
    generator = np.random.default_rng(height)
    coarse = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)))


def opened(runs, names=tuple(SCALED)):
    return {name: open_run(runs / name, device="cpu") for name in names}


def counted(predictors):
    """How often each predictor's own trunk runs, counted in a list."""
    passes = []
    for name, predictor in predictors.items():
        trunk = predictor.opened.layers.backbone
        trunk.register_forward_hook(lambda *_, name=name: passes.append(name))
    return passes


def equal(found, other):
    return all(
        one == two if isinstance(one, list) or one is None else np.array_equal(one, two)
        for one, two in zip(found, other, strict=True)
    )


@pytest.mark.parametrize("names", [tuple(SCALED), tuple(reversed(SCALED))])
def test_one_pass_gives_each_run_its_own_answer_bit_for_bit(runs, names):
    predictors = opened(runs, names)
    picture = photograph(96, 200)
    alone = {name: predictor(picture) for name, predictor in predictors.items()}
    passes = counted(predictors)
    asked = Together(predictors)
    assert asked.groups() == [list(names)]
    answers = asked(picture)
    assert passes == [names[0]] and answers.passes == 1
    assert all(equal(answers.found[name], alone[name]) for name in names)
    assert answers.trunk_seconds > 0 and all(answers.head_seconds[name] > 0 for name in names)


def test_other_trunks_and_other_inputs_have_passes_of_their_own(runs, shared):
    others = {
        "first": open_run(runs / "depth", device="cpu"),
        "larger": open_run(runs / "depth", device="cpu", flags=("--data.short_side", "96")),
        "trained": open_run(shared.trained("depth"), device="cpu"),
    }
    asked = Together(others)
    picture = photograph(96, 200)
    answers = asked(picture)
    assert answers.passes == 3 and asked.groups() == [["first"], ["larger"], ["trained"]]
    assert all(equal(answers.found[name], others[name](picture)) for name in others)
    one, two, three = asked.report()
    assert one == "one pass of a trunk for first"
    assert "another for larger, unlike first: resize short side 96," in two
    assert "other weights" in three
    # Where the size makes no difference a pass is shared all the same.
    assert (
        Together({name: others[name] for name in ("first", "larger")})(photograph(64, 96)).passes
        == 2
    )


def test_what_decides_a_trunks_input_is_compared_field_by_field(runs):
    given = open_run(runs / "depth", device="cpu").trunk_input
    assert isinstance(given, TrunkInput)
    other = replace(given, colour="BGR", precision="bf16")
    said = together._differences(other, given)
    assert said == "colour BGR, not RGB; precision bf16, not fp32"


def test_the_command_writes_the_answers_of_all_runs(runs, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        cv2.imwrite(str(photos / f"{number}.png"), photograph(96, 104 + 8 * number))
    names = [str(runs / task) for task in ("depth", "salient")]
    words = ["--runs", *names, str(photos), "--out", str(tmp_path / "out"), "--device", "cpu"]
    together.main(words)
    said = capsys.readouterr().out
    assert f"one pass of a trunk for {names[0]}, {names[1]}" in said
    assert "2 pictures, 2 runs, 1 passes of a trunk" in said
    files = json.loads((tmp_path / "out" / "together.json").read_text())["files"]
    picture = cv2.imread(str(photos / "0.png"))[..., ::-1]
    for name in names:
        predictor = open_run(name, device="cpu")
        assert files[0][name]["found"] == predictor.describe(predictor(picture))
        drawn = cv2.imread(str(tmp_path / "out" / files[0][name]["drawn"]))
        assert drawn.shape == predictor.draw(picture, predictor(picture)).shape


def test_the_way_on_from_a_damaged_picture_is_one_that_the_command_takes(runs, tmp_path, capsys):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    cv2.imwrite(str(photos / "good.png"), photograph(40, 48))
    (photos / "bad.png").write_bytes(b"no picture")
    words = ["--runs", str(runs / "depth"), str(photos), "--out", str(out), "--device", "cpu"]
    with pytest.raises(UserError) as caught:
        together.main(words)
    way = str(caught.value).partition("to go on without it, add ")[2].split()
    together.main([*words, *way])
    assert "1 pictures could not be read and were left out" in capsys.readouterr().out
    files = json.loads((out / "together.json").read_text())["files"]
    assert [Path(one["file_name"]).name for one in files] == ["good.png"]


def test_mistakes_are_one_line(runs, shared, tmp_path):
    run = str(runs / "depth")
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    shutil.copytree(runs / "salient", tmp_path / "depth")
    (tmp_path / "clip.mp4").write_bytes(b"")
    for words, message in (
        (["nowhere"], "--runs nowhere: is no run"),
        ([run, str(tmp_path / "depth"), "p.png"], "another run is called so too"),
        ([run, str(tmp_path / "none.png")], "none.png"),
        ([run, str(tmp_path / "clip.mp4")], "is a video; tasks.together takes pictures"),
        ([run], "no input given"),
        ([str(shared.trained("speaker")), run], "works on recordings"),
        ([run, "p.png", "--out", str(runs / "salient")], "a run is kept there"),
    ):
        with pytest.raises(UserError) as caught:
            together.main([*out, "--runs", *words])
        assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no run is given"):
        Together({})
