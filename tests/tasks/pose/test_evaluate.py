"""The whole way from annotations to a score, and the command."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from pycocotools import coco, cocoeval

from common.commands import card, trained
from common.errors import UserError
from common.training import checkpoint
from common.training.distributed import World
from tasks.pose import evaluate
from tasks.pose.config import Config, DataConfig, ScoredConfig, ScoringConfig
from tasks.pose.data import read
from tasks.pose.evaluate import Person, coco_results, watched_metric
from tasks.pose.model import from_published, to_published
from tasks.pose.skeleton import COCO
from tests.tasks.pose import small
from tests.tasks.pose.oracle import Oracle, data_set, tiny_config, write_run

WORLD = World()


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def scores_of_an_oracle(root, workers=0, **changes):
    config = tiny_config(root, **changes)
    config = dataclasses.replace(
        config,
        loader=dataclasses.replace(config.loader, workers=workers),
        engine=dataclasses.replace(config.engine, batch_size=3),
    )
    annotations = read(config, config.data.val_split)
    model = Oracle(annotations, config.data).eval()
    return evaluate.evaluate(model, annotations, config, WORLD)


@pytest.mark.parametrize("coding", ["published", "unbiased"])
@pytest.mark.parametrize("flip", [False, True])
def test_true_heat_maps_give_a_perfect_score(tmp_path, coding, flip):
    root = data_set(tmp_path / "coco")
    outcome = scores_of_an_oracle(
        root,
        data={"coding": coding, "input_size": (256, 192)},
        test=ScoringConfig(flip=flip, shift=False),
    )
    assert outcome.metrics["AP"] == pytest.approx(1)
    assert outcome.metrics["AR"] == pytest.approx(1)
    assert outcome.box_source == "ground truth"
    assert (outcome.boxes, outcome.skipped) == (3, 0)


def test_pictures_none_of_which_can_be_read(tmp_path):
    root = data_set(tmp_path / "coco")
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    config = tiny_config(root, data={"on_error": "skip"})
    annotations = read(config, config.data.val_split)
    with pytest.raises(UserError, match="not one picture of its 3 boxes can be read"):
        evaluate.evaluate(torch.nn.Identity(), annotations, config, WORLD)


def test_persons_in_pictures_that_cannot_be_read_do_not_count(tmp_path):
    """Nobody was looked for there; but who has no box in a picture that can be read is missed."""
    root = data_set(tmp_path / "coco")
    file = tmp_path / "boxes.json"
    content = json.loads((root / "annotations" / "person_keypoints_val2017.json").read_text())
    found = [{**person, "score": 1.0} for person in content["annotations"]]
    data = {"coding": "unbiased", "on_error": "skip"}
    test = ScoringConfig(flip=False)
    annotations = read(tiny_config(root), "val2017")
    oracles = [Oracle(annotations, tiny_config(root, data=data).data).eval() for _ in range(3)]
    (root / "images" / "val2017" / content["images"][2]["file_name"]).write_bytes(b"")

    def score(boxes):
        config = tiny_config(root, data={**data, "boxes": boxes}, test=test)
        return evaluate.evaluate(oracles.pop(), annotations, config, WORLD)

    for boxes in (None, file):
        file.write_text(json.dumps(found))
        outcome = score(boxes)
        assert outcome.skipped == 1
        assert outcome.metrics["AP"] == pytest.approx(1)
    file.write_text(json.dumps([found[0], found[2]]))
    assert score(file).metrics["AR"] == pytest.approx(1 / 2)


def test_estimated_joints_are_near_the_annotated_ones(tmp_path):
    root = data_set(tmp_path / "coco")
    outcome = scores_of_an_oracle(
        root,
        data={"coding": "unbiased", "input_size": (256, 192)},
        test=ScoringConfig(flip=False),
    )
    truth = np.array(small.person(1, 7)["keypoints"]).reshape(17, 3)
    for result in outcome.results:
        joints = np.array(result["keypoints"]).reshape(17, 3)
        assert np.abs(joints[:, :2] - truth[:, :2]).max() < 0.1
        assert result["score"] == pytest.approx(1, abs=0.1)


def test_mpii_is_scored_by_pckh(tmp_path):
    small.write_mpii(tmp_path)
    outcome = scores_of_an_oracle(
        tmp_path,
        data={
            "format": "mpii",
            "val_split": "valid",
            "input_size": (256, 256),
            "coding": "unbiased",
        },
        test=ScoringConfig(flip=False),
    )
    assert outcome.metrics["Mean"] == pytest.approx(100)
    assert set(outcome.metrics) >= {"Head", "Ankle", "Mean@0.1"}


def test_the_watched_metric_and_what_mpii_has_not(tmp_path):
    assert watched_metric(Config()) == "AP"
    mpii = DataConfig(format="mpii", val_split="valid")
    assert watched_metric(Config(data=mpii)) == "Mean"
    with pytest.raises(UserError, match=r"--data\.val_split train"):
        watched_metric(Config(data=dataclasses.replace(mpii, val_split="train")))
    with pytest.raises(UserError, match=r"--data\.boxes"):
        watched_metric(Config(data=dataclasses.replace(mpii, boxes=tmp_path / "boxes.json")))


def test_results_are_rescored_and_thinned_out_picture_by_picture():
    joints = np.random.default_rng(0).uniform(0, 90, (17, 3))
    joints[:, 2] = 0.5
    weaker = joints + np.array([0.1, 0.1, 0])
    people = [
        Person(2, 0, joints, 9000.0, 0.8),
        Person(1, 1, joints, 9000.0, 0.4),
        Person(2, 2, weaker, 9000.0, 0.7),
    ]
    hard = coco_results(people, COCO, ScoringConfig())
    assert [(one["image_id"], one["score"]) for one in hard] == [(1, 0.2), (2, 0.4)]
    assert hard[1]["keypoints"] == joints.ravel().tolist()
    everybody = coco_results(people, COCO, ScoringConfig(nms="none"))
    assert [one["score"] for one in everybody] == pytest.approx([0.2, 0.4, 0.35])


def test_a_model_of_nothing_but_nan_is_refused(tmp_path):
    config = tiny_config(data_set(tmp_path / "coco"))
    config = dataclasses.replace(config, loader=dataclasses.replace(config.loader, workers=0))
    annotations = read(config, "val2017")
    model = Oracle(annotations, config.data)
    model.heatmaps *= torch.nan
    with pytest.raises(UserError, match="not finite"):
        evaluate.evaluate(model, annotations, config, WORLD)


def test_the_command_writes_card_results_and_pictures(tmp_path, monkeypatch, capsys):
    root = data_set(tmp_path / "coco")
    write_run(tmp_path / "run", root)
    run_command(monkeypatch, "--run", tmp_path / "run", "--loader.workers", 0)
    printed = capsys.readouterr().out
    assert "boxes ground truth" in printed
    assert "flip test True" in printed
    assert "AP75" in printed
    one = card.read(tmp_path / "run" / "metrics.json")
    assert one.task == "pose"
    assert one.protocol["boxes"] == "ground truth"
    assert one.protocol["padding"] == 1.1
    assert one.protocol["colour"] == "RGB"
    assert one.data["images"] == one.data["boxes"] == 3
    assert one.checkpoint["epoch"] == 3
    assert (tmp_path / "run" / "pictures" / "predictions.jpg").stat().st_size > 5000
    # The result file is what the score was computed from.
    results = tmp_path / "run" / "keypoints_val2017_results.json"
    truth = coco.COCO(str(root / "annotations" / "person_keypoints_val2017.json"))
    evaluation = cocoeval.COCOeval(truth, truth.loadRes(str(results)), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert one.metrics["AP"] == pytest.approx(evaluation.stats[0])
    assert one.metrics["AR"] == pytest.approx(evaluation.stats[5])


def test_a_split_that_lists_pictures_alone(tmp_path, monkeypatch, capsys):
    """As of a competition's test set: a result file with the ids of its pictures, and no score."""
    root = data_set(tmp_path / "coco")
    content = small.content()
    del content["annotations"]
    (root / "annotations" / "image_info_val2017.json").write_text(json.dumps(content))
    (root / "annotations" / "person_keypoints_val2017.json").unlink()
    write_run(tmp_path / "run")
    words = ["--run", tmp_path / "run", "--data.root", root, "--out", tmp_path / "out"]
    assert "annotates no person; give a detector's boxes" in refusal(monkeypatch, *words)
    box = {"image_id": 8, "category_id": 1, "bbox": [40, 20, 60, 80], "score": 0.5}
    (tmp_path / "boxes.json").write_text(json.dumps([box]))
    run_command(monkeypatch, *words, "--data.boxes", tmp_path / "boxes.json")
    assert "nothing to score by" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "out" / "keypoints_val2017_results.json").read_text())
    assert (found["image_id"], len(found["keypoints"])) == (8, 51)
    with pytest.raises(UserError, match="annotates no person to train on or to score by"):
        read(tiny_config(root), "val2017").require_persons()


def test_flags_win_over_the_run_and_its_folder(tmp_path, monkeypatch):
    root = data_set(tmp_path / "coco")
    write_run(tmp_path / "run", tmp_path / "nowhere")
    boxes = [
        {"image_id": 7 + k, "category_id": 1, "bbox": [40, 20, 60, 80], "score": 0.5}
        for k in range(3)
    ]
    (tmp_path / "detector.json").write_text(json.dumps(boxes))
    words = ["--run", tmp_path / "run", "--data.root", root, "--test.flip", "false"]
    words += ["--data.boxes", tmp_path / "detector.json", "--checkpoint", "last"]
    words += ["--loader.workers", 0, "--precision", "bf16"]
    run_command(monkeypatch, *words, "--out", tmp_path / "elsewhere")
    assert not (tmp_path / "run" / "metrics.json").exists()
    one = card.read(tmp_path / "elsewhere" / "metrics.json")
    assert one.protocol["boxes"] == "detector.json"
    assert len(one.protocol["box_fingerprint"]) == 64
    assert one.protocol["flip_test"] is False
    assert one.protocol["precision"] == "bf16"
    assert one.checkpoint["epoch"] == 5


def test_a_published_checkpoint_needs_no_run(tmp_path, monkeypatch):
    root = data_set(tmp_path / "coco")
    model = write_run(tmp_path / "run", root)
    recipe = tmp_path / "run" / "config.yaml"
    state = {f"module.{key}": value for key, value in to_published(model.state_dict()).items()}
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "published.pth")
    out = tmp_path / "out"
    words = ["--config", recipe, "--loader.workers", 0]
    run_command(monkeypatch, *words, "--checkpoint", tmp_path / "published.pth", "--out", out)
    published = card.read(out / "metrics.json")
    run_command(monkeypatch, "--run", tmp_path / "run", "--loader.workers", 0)
    own = card.read(tmp_path / "run" / "metrics.json")
    assert published.metrics == own.metrics
    assert published.checkpoint["file"] == "published.pth"
    assert published.checkpoint["epoch"] is None


def test_averaged_weights_of_the_last_checkpoint_are_taken(tmp_path):
    model = write_run(tmp_path / "run")
    file = tmp_path / "run" / "last.pt"
    payload = torch.load(file, weights_only=True)
    payload["ema"] = {key: value + 1 for key, value in model.state_dict().items()}
    checkpoint.save(file, payload)
    loaded = trained.read("--checkpoint", file, from_published).state
    key = "head.final_layer.bias"
    assert torch.equal(loaded[key], model.state_dict()[key] + 1)


def test_what_is_missing_or_broken_is_told_in_one_line(tmp_path, monkeypatch):
    root = data_set(tmp_path / "coco")
    write_run(tmp_path / "run", root)
    assert "--run is missing" in refusal(monkeypatch)
    assert "no such folder" in refusal(monkeypatch, "--run", tmp_path / "none")
    assert "has no config.yaml" in refusal(monkeypatch, "--run", tmp_path)
    run = ("--run", tmp_path / "run")
    assert "no such file" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "run" / "best.pt").read_bytes()[:5000])
    assert "cut short" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "cut.pth")
    (tmp_path / "text.pth").write_text("not weights")
    assert "not a checkpoint" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "text.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "trunk.pth")
    assert "--weights" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "trunk.pth")
    assert "resnet50" in refusal(monkeypatch, *run, "--backbone", "resnet51")
    assert "--backbone res2net26_14w_4s" in refusal(monkeypatch, *run, "--backbone", "resnet50")
    (tmp_path / "run" / "best.pt").unlink()
    assert "best.pt" in refusal(monkeypatch, *run)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"deconv_layers.0.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match=r"would run code \(print\)"):
        trained.read("--checkpoint", tmp_path / "trap.pth", from_published)


def test_flags_win_over_the_run_config(tmp_path):
    write_run(tmp_path / "run", data={"sigma": 2.5, "box_threshold": 0.1})
    words = ["--run", str(tmp_path / "run"), "--data.box_threshold", "0.3"]
    config = trained.parse(ScoredConfig, words, folder="out")
    assert config.data.sigma == 2.5
    assert config.data.box_threshold == 0.3
    assert config.out == tmp_path / "run" / "out"
