"""The whole way from files to a score, and the command."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.commands import card
from common.errors import UserError
from common.training.distributed import World
from tasks.detection import evaluate
from tasks.detection.config import ModelConfig
from tasks.detection.data import read
from tasks.detection.inference import Detections, coco_results
from tasks.pose.data import read_boxes
from tests.tasks.detection import oracle, runs, small

WORLD = World()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("coco"))


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words), "--engine.device", "cpu"])
    evaluate.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outcome(root, mistake=None, **changes):
    config = runs.tiny_config(root, **changes)
    annotations = read(config, "val2017")
    model = runs.Knows(annotations, mistake).eval()
    return evaluate.evaluate(model, annotations, config, WORLD)


@pytest.mark.parametrize("short_side", [64, 120, 333])
def test_the_truth_scores_1_in_any_size(root, short_side):
    """Boxes come back in the pixels of the stored pictures, and masks lie where they belong."""
    found = outcome(root, data={"test_short_side": short_side})
    for name in ("box_AP", "box_AR", "mask_AP75"):
        assert found.metrics[name] == pytest.approx(1)
    assert found.skipped == 0
    boxes = {(one["image_id"], one["category_id"]): one["bbox"] for one in found.results}
    assert boxes.keys() == {(7, 1), (7, 17), (8, 44)}
    assert boxes[7, 17] == pytest.approx([100, 40, 30, 30], abs=1e-3)


def test_known_mistakes_have_known_scores(root):
    def cats_for_kites(found):
        found["labels"][found["labels"] == 3] = 2

    found = outcome(root, cats_for_kites)
    classes = found.scores["box"].classes
    assert classes[1]["AP50"] == pytest.approx(1)
    assert classes[44]["AP50"] == 0
    # The cat has the score 0.6, less than the false one's 0.9: half of what is found is right.
    assert classes[17]["AP50"] == pytest.approx(0.5)
    assert found.metrics["box_AP50"] == pytest.approx(0.5)


def test_the_classes_asked_for_are_scored_alone(root):
    found = outcome(root, data={"classes": ("kite",), "category_ids": (44,)})
    assert {one["category_id"] for one in found.results} == {44}
    assert found.metrics["box_AP"] == pytest.approx(1)


@pytest.fixture(scope="module")
def scored(root, tmp_path_factory):
    """A run that was evaluated, and what the command said."""
    run = tmp_path_factory.mktemp("scored") / "run"
    runs.write_run(run, root, sure=True)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(said):
        run_command(monkeypatch, "--run", run)
    return run, said.getvalue()


def test_the_command_leaves_all_that_it_promises(scored):
    run, said = scored
    assert "box" in said
    assert "kite" in said
    assert "scored by pycocotools" in said
    result = card.read(run / "metrics.json")
    assert result.task == "detection"
    assert len(result.metrics) == 24
    assert result.protocol["classes"] == 3
    assert len(result.protocol["class_names"]) == 8
    assert result.protocol["conventions"] == "torchvision"
    assert result.protocol["resize"] == "area"
    assert result.data["objects"] == 3
    assert result.checkpoint["file"] == "best.pt"
    rows = json.loads((run / "classes.json").read_text())
    assert [row["class"] for row in rows] == ["person", "cat", "kite"]
    assert [row["id"] for row in rows] == [1, 17, 44]
    assert Image.open(run / "pictures" / "detections.jpg").size[0] > 600
    results = json.loads((run / "detections.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} == set(results[0])


def test_detections_are_what_pycocotools_reads(root, scored):
    """Its own loader scores the written file as the card says."""
    run, _ = scored
    truth = COCO(str(root / "annotations" / "instances_val2017.json"))
    for kind, name in (("bbox", "box"), ("segm", "mask")):
        scored = COCOeval(truth, truth.loadRes(str(run / "detections.json")), kind)
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
        metrics = card.read(run / "metrics.json").metrics
        assert metrics[f"{name}_AP"] == pytest.approx(scored.stats[0], abs=1e-12)
        assert metrics[f"{name}_AR"] == pytest.approx(scored.stats[8], abs=1e-12)


def test_persons_found_are_boxes_for_pose_estimation(root, scored):
    """The file is what `tasks.pose` takes as its detector boxes; other classes are left out."""
    run, _ = scored
    results = json.loads((run / "detections.json").read_text())
    persons = [one for one in results if one["category_id"] == 1]
    assert len(persons) > 0
    boxes = read_boxes(run / "detections.json", pose_annotations(root), 0.0)
    assert len(boxes.scores) == len(persons)


def test_without_masks(root, tmp_path, monkeypatch):
    run = tmp_path / "run"
    model = ModelConfig(detector="retinanet", channels=32)
    runs.write_run(run, root, model=model, data={"masks": False})
    run_command(monkeypatch, "--run", run, "--test.scorer", "hotcoco")
    result = card.read(run / "metrics.json")
    assert len(result.metrics) == 12
    assert result.protocol["scored_by"] == "hotcoco"
    assert "mask_threshold" not in result.protocol
    assert "hotcoco" in result.versions


def test_a_checkpoint_of_torchvision_is_scored_without_a_run(root, tmp_path, monkeypatch):
    file = tmp_path / "torchvision.pth"
    torch.save(oracle.build("faster_rcnn", 4).state_dict(), file)
    run_command(
        monkeypatch, "--checkpoint", file, "--out", tmp_path / "out", "--data.root", root,
        "--data.masks", "false", "--data.test_short_side", "64", "--loader.workers", "0",
        "--backbone", oracle.BACKBONE, "--model.detector", "faster_rcnn",
        "--model.channels", oracle.CHANNELS, "--model.box_channels", oracle.BOX_CHANNELS,
        "--test.score_threshold", "0.3",
    )  # fmt: skip
    result = card.read(tmp_path / "out" / "metrics.json")
    assert result.checkpoint["file"] == "torchvision.pth"
    assert result.checkpoint["epoch"] is None


def test_a_damaged_picture_stops_or_is_counted(root, tmp_path, monkeypatch):
    broken = small.write(tmp_path / "coco")
    (broken / "images" / "val2017" / "000000000008.jpg").write_bytes(b"\xff\xd8\xff")
    run = tmp_path / "run"
    runs.write_run(run, root)
    assert "000000000008.jpg" in refusal(monkeypatch, "--run", run, "--data.root", broken)
    run_command(monkeypatch, "--run", run, "--data.root", broken, "--data.on_error", "skip")
    assert card.read(run / "metrics.json").data["skipped"] == 1
    for path in (broken / "images" / "val2017").iterdir():
        path.write_bytes(b"")
    words = "--run", run, "--data.root", broken, "--data.on_error", "skip"
    assert "not one of its" in refusal(monkeypatch, *words)


def test_objects_in_pictures_that_cannot_be_read_do_not_count(tmp_path):
    """Nothing was looked for there."""
    broken = small.write(tmp_path / "coco")
    (broken / "images" / "val2017" / "000000000009.jpg").write_bytes(b"")
    (broken / "images" / "val2017" / "000000000008.jpg").write_bytes(b"")
    found = outcome(broken, data={"on_error": "skip"})
    assert found.skipped == 2
    assert found.metrics["box_AP"] == pytest.approx(1)
    assert found.metrics["mask_AP75"] == pytest.approx(1)
    assert found.scores["box"].classes[44]["AP"] == -1


def test_mistakes_are_told_in_a_line(root, tmp_path, monkeypatch):
    run = tmp_path / "run"
    runs.write_run(run, root)
    other = refusal(monkeypatch, "--run", run, "--data.classes", "[person, dog]")
    assert other.startswith("--data.classes: ") and "has no class 'dog'" in other
    other = refusal(monkeypatch, "--run", run, "--model.channels", "16")
    assert "--model.channels" in other
    assert "--backbone res2net26_14w_4s_half" in refusal(
        monkeypatch, "--run", run, "--backbone", "resnet26_half"
    )
    assert "no class 'dog'" in refusal(monkeypatch, "--run", run, "--data.classes", "[person, dog]")
    assert "--run is missing" in refusal(monkeypatch)


@pytest.mark.parametrize("kept", ["crowds", "nothing", "no list", "pictures alone"])
def test_a_split_without_objects_gives_detections_and_no_score(
    tmp_path, monkeypatch, root, capsys, kept
):
    """As of a competition's test set, whose file may not even name the categories."""
    content = small.content()
    crowds = [one for one in content["annotations"] if one["iscrowd"]]
    small.write(tmp_path / "coco", content)
    content["annotations"] = crowds if kept == "crowds" else []
    for key in {"no list": ["annotations"], "pictures alone": ["annotations", "categories"]}.get(
        kept, []
    ):
        del content[key]
    small.annotate(tmp_path / "coco", content)
    runs.write_run(tmp_path / "run", root)
    words = ["--run", tmp_path / "run", "--data.root", tmp_path / "coco", "--out", tmp_path / "out"]
    words += ["--test.score_threshold", "0", "--test.detections", "10"]
    run_command(monkeypatch, *words)
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {one["image_id"] for one in found} <= {7, 8, 9}
    assert found
    assert not (tmp_path / "out" / "metrics.json").exists()
    assert "nothing to score by" in capsys.readouterr().out


def test_results_keep_every_digit():
    found = Detections(
        np.array([[1.5, 2.25, 4.0, 8.125]], np.float32), np.array([0.1], np.float32),
        np.array([2]), None,
    )  # fmt: skip
    (one,) = coco_results(found, (7, 9))
    assert one == {
        "category_id": 9,
        "bbox": [1.5, 2.25, 2.5, 5.875],
        "score": float(np.float32(0.1)),
    }


def pose_annotations(root):
    """The same pictures as a keypoint set."""
    from tasks.pose.coco import read_coco

    content = small.content()
    for one in content["annotations"]:
        one |= {"category_id": 1, "keypoints": [60.0, 60.0, 2] * 17, "num_keypoints": 17}
    content["categories"] = [{"id": 1, "name": "person"}]
    file = root / "annotations" / "person_keypoints_val2017.json"
    file.write_text(json.dumps(content))
    return read_coco(root, "val2017")


def test_a_set_with_some_of_the_classes_is_scored_by_those(root, monkeypatch, tmp_path, capsys):
    """As persons alone by a detector of all of COCO's classes."""
    runs.write_run(tmp_path / "run", root)
    persons = tmp_path / "persons"
    (persons / "annotations").mkdir(parents=True)
    content = json.loads((root / "annotations/instances_val2017.json").read_text())
    content["categories"] = [one for one in content["categories"] if one["name"] == "person"]
    ids = {one["id"] for one in content["categories"]}
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] in ids]
    (persons / "annotations/instances_val2017.json").write_text(json.dumps(content))
    folder = root / "images" if (root / "images").is_dir() else root / "val2017"
    (persons / folder.name).symlink_to(folder)
    words = ("--run", tmp_path / "run", "--data.root", persons, "--out", tmp_path / "out")
    said = refusal(monkeypatch, *words)
    assert "has no class 'cat'; it has person; for those that both have say" in said
    run_command(monkeypatch, *words, "--data.classes", "[person]")
    assert "of its 3 classes 1 count: person" in capsys.readouterr().err
    protocol = card.read(tmp_path / "out" / "metrics.json").protocol
    assert (protocol["classes"], protocol["of_classes"]) == (1, 3)


def test_a_class_without_an_object_is_told(root, monkeypatch, tmp_path, capsys):
    """In evaluation and on the card, and before training with the crowds that do not count."""
    coco = small.content()
    coco["annotations"] = [one for one in coco["annotations"] if one["category_id"] != 17]
    lacking = small.write(tmp_path / "lacking", coco)
    annotations = read(runs.tiny_config(lacking), "val2017")
    assert annotations.absent() == ["cat"]
    annotations.tell_absent()
    assert capsys.readouterr().err == (
        "note: instances_val2017.json: class cat has no object in 3 pictures; 1 crowds or "
        "difficult objects do not count\n"
    )
    runs.write_run(tmp_path / "run", lacking)
    run_command(monkeypatch, "--run", tmp_path / "run")
    assert "class cat has no object, so no score" in capsys.readouterr().out
    found = card.read(tmp_path / "run" / "metrics.json").data
    assert found["absent_classes"] == "1 of 3 (cat)"
    read(runs.tiny_config(root), "val2017").tell_absent()
    assert capsys.readouterr().err == ""
