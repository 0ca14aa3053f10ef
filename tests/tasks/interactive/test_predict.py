"""What predict writes: masks, cut-outs, COCO's polygons; and what it refuses in one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from common.commands.inputs import Source
from common.errors import DamagedFile, UserError
from tasks import open_run
from tasks.interactive import predict
from tests.tasks.commands import call
from tests.tasks.interactive import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    small.write_run(folder)
    return folder


@pytest.fixture(scope="module")
def predictor(run):
    return open_run(run, device="cpu")


def predicted(run, out, *words):
    call(predict.main, *words, "--run", run, "--out", out, "--loader.workers", "0")
    return json.loads((out / "masks.json").read_text())


def test_files_beside_pictures_a_folder_of_files_and_a_text(run, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate(("a.png", "b.jpg")):
        small.save_clicked(folder / name, seed)
    found = predicted(run, out, folder)
    assert [one["file_name"] for one in found["images"]] == ["a.png", "b.jpg"]
    clicks = [{"x": 20, "y": 15, "positive": True}]
    assert all(one["clicks"] == clicks for one in found["images"])
    mask = np.asarray(Image.open(out / "a_mask.png"))
    assert mask.shape == (48, 64) and set(np.unique(mask)) <= {0, 255}
    cut = Image.open(out / "a_cutout.png")
    assert cut.mode == "RGBA" and np.array_equal(np.asarray(cut)[..., 3], mask)
    coco = COCO(str(out / "masks.json"))
    for one in found["annotations"]:
        area = int(coco.annToMask(one).sum())
        assert one["area"] == pytest.approx(area, rel=0.2, abs=40)
    (tmp_path / "other").mkdir()
    for name in ("a", "b"):
        text = json.dumps({"clicks": [{"x": 9, "y": 9}], "box": [2, 2, 30, 30]})
        (tmp_path / "other" / f"{name}.json").write_text(text)
    found = predicted(run, tmp_path / "two", folder, "--clicks", tmp_path / "other")
    assert found["images"][0]["clicks"] == [{"x": 9, "y": 9, "positive": True}]
    words = (folder, "--clicks", "5,6,+ 40,30,-", "--outputs", "[mask]")
    found = predicted(run, tmp_path / "three", *words)
    assert [one["x"] for one in found["images"][1]["clicks"]] == [5, 40]
    assert not list((tmp_path / "three").glob("*cutout*"))


def test_a_mask_to_begin_with_is_read_from_a_file(run, tmp_path):
    small.save(tmp_path / "a.png", small.picture(1))
    small.save(tmp_path / "m.png", np.where(small.objects() == 1, 255, 0).astype(np.uint8))
    (tmp_path / "a.json").write_text(json.dumps({"mask": "m.png"}))
    predicted(run, tmp_path / "out", tmp_path / "a.png")
    found = np.asarray(Image.open(tmp_path / "out" / "a_mask.png"))
    assert ((found == 255) == (small.objects() == 1)).all()


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        (None, r"a\.png: nothing is clicked on: no .*a\.json"),
        ("64,5,+", r"a\.png: click 64,5: lies outside of the picture"),
        ("5,5,-", "has no positive click"),
        ("5,5,+ 5,5,-", r"a\.png: click 5,5,-: contradicts click number 1"),
        ("5,5", "--clicks 5,5: is no file or folder, and no click, which is x,y"),
        ("--5,5,+", "--clicks --5,5,\\+: is no file"),
        ("5, 5, +", "without spaces"),
        ("nowhere", "--clicks nowhere: is no file or folder"),
        (" ", "--clicks is empty"),
    ],
)
def test_what_is_refused(predictor, tmp_path, clicks, message):
    small.save(tmp_path / "a.png", small.picture(1))
    source = Source(tmp_path / "a.png", Path("a"), "a.png")
    prediction = predict.Prediction(predictor, predict.PredictConfig(clicks=clicks))
    with pytest.raises(UserError, match=message) as caught:
        prediction.find(source, small.picture(1), None)
    assert "\n" not in str(caught.value)


def test_a_refusal_ends_the_command(run, tmp_path):
    small.save(tmp_path / "a.png", small.picture(1))
    with pytest.raises(UserError, match=r"a\.png: click 64,5: lies outside of the picture"):
        predicted(run, tmp_path / "out", tmp_path / "a.png", "--clicks=64,5,+")


def test_videos_are_refused(run, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"none")
    with pytest.raises(UserError, match=r"clip\.mp4: clicks are on pictures"):
        predicted(run, tmp_path / "out", tmp_path / "clip.mp4", "--clicks", "1,1,+")
    with pytest.raises(UserError, match="--camera 0: clicks are on pictures"):
        predicted(run, tmp_path / "out", "--camera", "0")


def test_one_file_of_clicks_is_for_every_picture(run, tmp_path):
    for seed, name in enumerate(("a.png", "b.png")):
        small.save(tmp_path / name, small.picture(seed))
    (tmp_path / "all.json").write_text(json.dumps({"clicks": [{"x": 9, "y": 8}]}))
    words = (tmp_path / "a.png", tmp_path / "b.png", "--clicks", tmp_path / "all.json")
    found = predicted(run, tmp_path / "out", *words)
    assert [one["clicks"][0]["y"] for one in found["images"]] == [8, 8]


DAMAGED = {
    "b": ('{"clicks": [{"x": 1.5, "y": 3}]}', 'b.json: has the click {"x": 1.5, "y": 3}'),
    "c": ("[]", "c.json: is no click file"),
    "d": ('{"box": [1, 2, 3]}', "d.json: has the box [1, 2, 3]"),
    "e": ('{"mask": 3}', "e.json: its mask is 3"),
    "f": ('{"clicks"', "f.json: is "),
}
"""Name of a picture -> what stands in its click file, and what is said of it."""


def test_damaged_click_files_are_skipped_like_damaged_pictures(run, tmp_path, capsys):
    folder = tmp_path / "in"
    for name in ("a", *DAMAGED):
        small.save_clicked(folder / f"{name}.png", 0)
    for name, (content, _) in DAMAGED.items():
        (folder / f"{name}.json").write_text(content)
    found = predicted(run, tmp_path / "out", folder, "--data.on_error", "skip")
    assert [one["file_name"] for one in found["images"]] == ["a.png"]
    skipped = [line for line in capsys.readouterr().err.splitlines() if "skipped: " in line]
    assert len(skipped) == len(DAMAGED)
    for line, (_, message) in zip(sorted(skipped), DAMAGED.values(), strict=True):
        assert message in line
    with pytest.raises(DamagedFile, match=re.escape(DAMAGED["b"][1])):
        predicted(run, tmp_path / "other", folder)


def test_a_mask_to_begin_with_has_any_levels_and_is_named(run, tmp_path):
    small.save(tmp_path / "a.png", small.picture(1))
    (tmp_path / "a.json").write_text(json.dumps({"mask": "m.png"}))
    inside = small.objects() == 1
    (tmp_path / "in").mkdir()
    for number in (1, 7, 255):
        path = tmp_path / "in" / f"{number}.png"
        small.save(path, small.picture(1))
        small.save(tmp_path / f"m{number}.png", np.where(inside, number, 0).astype(np.uint8))
        path.with_suffix(".json").write_text(json.dumps({"mask": f"../m{number}.png"}))
    predicted(run, tmp_path / "out", tmp_path / "in")
    for number in (1, 7, 255):
        mask = np.asarray(Image.open(tmp_path / "out" / f"{number}_mask.png"))
        assert ((mask == 255) == inside).all()
    for wrong, message in ((np.zeros((48, 64)), "is empty"), (np.ones((5, 4)), "has 4x5 pixels")):
        small.save(tmp_path / "m.png", wrong.astype(np.uint8))
        with pytest.raises(UserError, match=r"a\.png: the mask .*" + message):
            predicted(run, tmp_path / "no", tmp_path / "a.png")


def test_empty_masks_are_told(run, tmp_path, capsys):
    small.save(tmp_path / "a.png", small.picture(1))
    words = (tmp_path / "a.png", "--clicks", "20,15,+", "--test.threshold", "0.9999")
    found = predicted(run, tmp_path / "out", *words)
    assert found["annotations"] == []
    assert "note: 1 of 1 masks are empty (first: a.png)" in capsys.readouterr().out
