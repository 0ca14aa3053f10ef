"""What the page draws of answers, on its own."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from app.asking import ask
from app.heads import classification, detection, opening, pose, salient
from app.heads.head import Choice, Slider, kind_of, mixed
from app.picture import opaque, paired
from app.turns import Deadline
from common.errors import UserError
from tasks import TASKS, open_run
from tasks.detection.inference import Detections
from tasks.panoptic.fusion import Part
from tasks.panoptic.inference import Panoptic
from tasks.panoptic.maps import read_ids
from tasks.salient.inference import Saliency
from tests.app import server
from tests.tasks.panoptic import small


def detections(scores, labels):
    boxes = np.array([[number, 2, number + 10, 22] for number in range(len(scores))], np.float32)
    masks = [{"counts": str(number)} for number in range(len(scores))]
    return Detections(boxes, np.array(scores, np.float32), np.array(labels), masks)


def test_objects_above_a_threshold_keep_their_masks():
    found = detection.above(detections([0.9, 0.5, 0.2], [1, 2, 3]), 0.5)
    assert found.scores.tolist() == pytest.approx([0.9]) and found.masks == [{"counts": "0"}]
    without = detection.above(detections([0.9], [1])._replace(masks=None), 0.95)
    assert without.masks is None and len(without.boxes) == 0


def heads(*known):
    """Detectors of these classes."""
    return [
        detection.Head("detection", f"d{number}", "run", SimpleNamespace(classes=classes))
        for number, classes in enumerate(known)
    ]


def test_pose_takes_the_persons_of_the_first_detector_that_knows_them():
    one, two, three = heads(("cat",), ("cat", "person"), ("person",))
    asked = []
    head = pose.Head("pose", "pose", "run", lambda picture, boxes: asked.append(boxes))
    assert head.needs([one, two, three]) == [two] and head.needs([one]) == []
    found = detections([0.9, 0.8, 0.4], [2, 1, 2])
    head.ask(server.photograph(0), {one: found, two: found})
    head.ask(server.photograph(0), {one: found})
    assert [(box.xywh, round(box.score, 2)) for box in asked[0]] == [((0, 2, 10, 20), 0.9)]
    assert asked[1] is None  # the whole picture
    assert "--boxes d1/detections.json" in head.command([one, two])


def test_heads_on_one_trunk_share_its_pass(runs):
    sources = ("salient", "segmentation", "salient")
    found = opening.opened(server.config_of(runs, sources)).pictures
    assert [one.name for one in found] == ["salient", "segmentation", "salient_2"]
    passes = server.counted(found)
    asked = ask(found, server.photograph(5), Deadline(60))
    assert passes == ["salient", "segmentation"] and asked.passes == 2
    assert list(asked.found) == list(asked.head_seconds) == [one.name for one in found]
    assert np.array_equal(asked.found["salient"].map, asked.found["salient_2"].map)


def test_onnxruntime_may_run_the_trunks(runs, monkeypatch, tmp_path):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    picture, sources = server.photograph(5), ("salient", "salient")
    plain, other = (
        ask(opening.opened(config).pictures, picture, Deadline(60))
        for config in (
            server.config_of(runs, sources),
            server.config_of(runs, sources, backend="onnxruntime"),
        )
    )
    assert len(list(tmp_path.glob("onnx/*.onnx"))) == other.passes == 1
    for name in ("salient", "salient_2"):
        maps = [one.found[name].map.astype(int) for one in (plain, other)]
        assert np.abs(maps[0] - maps[1]).max() <= 1 < maps[0].std()


def test_a_job_whose_time_is_over_asks_no_further_head(runs):
    found = opening.opened(server.config_of(runs, ("salient",))).pictures
    passes = server.counted(found)
    with pytest.raises(UserError, match="it took longer"):
        ask(found, server.photograph(5), Deadline(0.0))
    assert not passes


def test_runs_are_found_below_a_folder(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.pt").touch()
    (tmp_path / "screenshots").mkdir()
    assert opening.runs_in(tmp_path) == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert opening.runs_in(tmp_path / "none") == ()


def test_a_drawing_is_as_opaque_as_it_is_said():
    picture, drawn = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    for opacity, level in ((0.0, 100), (0.25, 125), (1.0, 200)):
        assert (mixed(picture, drawn, {"opacity": opacity}) == level).all()


def test_what_stands_out_is_cut_out_and_put_before_others():
    picture = server.photograph(1, height=20, width=30)
    levels = np.zeros((20, 30), np.uint8)
    levels[5:15, 5:15] = 255
    head = salient.Head("salient", "salient", "run", None)
    cut = head.draw(picture, Saliency(levels), {"shown": "cut-out", "opacity": 1.0})
    assert np.array_equal(cut[..., :3], picture) and np.array_equal(cut[..., 3], levels)
    black = head.draw(picture, Saliency(levels), {"shown": "on black", "opacity": 1.0})
    assert np.array_equal(black[5:15, 5:15], picture[5:15, 5:15]) and not black[:5].any()
    seen = opaque(cut)
    assert np.array_equal(seen[5:15, 5:15], picture[5:15, 5:15])
    assert set(np.unique(seen[:5])) == {205, 245}


def test_before_and_after_are_equally_large():
    picture = server.photograph(1, height=2000, width=3000)
    taller = np.zeros((2024, 3000, 3), np.uint8)
    before, after = paired(picture, taller)
    assert before.shape == after.shape and max(before.shape) == 1400
    small, same = paired(picture[:50, :60], picture[:50, :60])
    assert np.array_equal(small, same)


def test_the_lens_gives_each_group_of_each_stage_its_share(runs):
    predictor = open_run(runs / "classification", device="cpu")
    head = classification.Head("classification", "c", "run", predictor)
    lines = head.lens(server.photograph(2))
    by_stage = {}
    for line in lines:
        by_stage.setdefault(line.text.split(",")[0], []).append(line.share)
    assert len(by_stage) == 4
    assert all(min(shares) >= 0 for shares in by_stage.values())
    # The last stage of this network sees one place of so small a picture, where nothing varies.
    assert [sum(shares) for shares in by_stage.values()] == pytest.approx([1, 1, 1, 0])


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_head(task):
    assert kind_of(task).__name__ == "Head"


def test_a_control_takes_what_it_offers():
    slider, choice = Slider("a", "A", 0.5, 0.1, 0.9), Choice("b", "B", ("one", "two"))
    assert slider.accepted("0.3") == 0.3 and choice.accepted("two") == "two"
    for control, wrong in (
        (slider, 1),
        (slider, "x"),
        (slider, None),
        (choice, "three"),
        (choice, 1),
    ):
        with pytest.raises(UserError, match=rf"{control.name} is {wrong}; it is"):
            control.accepted(wrong)


def test_depths_scale_stands_below_the_picture(runs):
    head = kind_of("depth")("depth", "depth", "run", open_run(runs / "depth", device="cpu"))
    picture = server.photograph(4)
    found = head.predictor(picture)
    whole = head.draw(picture, found, {"opacity": 1.0})
    assert np.array_equal(whole, head.predictor.draw(picture, found))
    none = head.draw(picture, found, {"opacity": 0.0})
    assert np.array_equal(none[: len(picture)], picture)
    assert cv2.cvtColor(none[len(picture) :], cv2.COLOR_RGB2GRAY).any()


@pytest.fixture
def segments(tmp_path):
    """A head of panoptic segmentation, a picture, and things and stuff in it."""
    small.write_run(tmp_path / "run")
    head = kind_of("panoptic")("panoptic", "p", "run", open_run(tmp_path / "run", device="cpu"))
    ids = np.zeros((20, 30), np.int32)
    ids[:5], ids[5:9, :10], ids[10:, 20:] = 3, 1, 2
    parts = [Part(1, 1, 40, 0.9), Part(2, 1, 100, 0.61), Part(3, 4, 150, None)]
    return head, server.photograph(1, height=20, width=30), Panoptic(ids, parts, None, None)


def test_segments_have_a_legend_in_the_colours_of_the_drawing(segments):
    head, picture, found = segments
    alone = head.draw(picture, found, {"shown": "segments", "opacity": 1.0})
    lines = head.rows(found, {})
    assert [(one.text, one.number) for one in lines] == [
        ("kite", "0.90, 40 px"),
        ("kite", "0.61, 100 px"),
        ("sky", "150 px"),
    ]
    for number, line in enumerate(lines, start=1):
        assert (alone[found.ids == number] == line.colour).all()
        assert line.share == pytest.approx(found.segments[number - 1].area / 600)
    assert len({line.colour for line in lines}) == 3 and not alone[found.ids == 0].any()
    over = head.draw(picture, found, {"shown": "overlay", "opacity": 1.0})
    assert np.array_equal(over, head.predictor.draw(picture, found))


def test_segments_are_downloaded_in_cocos_form(segments, tmp_path):
    head, picture, found = segments
    written = head.files(picture, found, head.accepted({}))
    content = json.loads(written["p_coco.json"]())
    (tmp_path / content["annotations"][0]["file_name"]).write_bytes(written["p_ids.png"]())
    ids = read_ids(tmp_path / "p_ids.png")
    assert np.array_equal(ids, found.ids)
    told = content["annotations"][0]["segments_info"]
    assert [(one["id"], one["category_id"], one["area"]) for one in told] == [
        (1, 3, 40),
        (2, 3, 100),
        (3, 200, 150),
    ]
    assert content["images"][0]["id"] == content["annotations"][0]["image_id"]
    assert [one["name"] for one in content["categories"]] == [*small.THINGS, *small.STUFF]
    assert json.loads(written["p.json"]()) == told
