"""The detector that is exported finds what the model finds, whatever the picture's size."""

import json
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import box_iou

from common.commands import export
from common.commands.trained import Trained
from common.errors import UserError
from tasks.detection.batched import BatchedDetector
from tasks.detection.config import DetectorName, ScoringConfig
from tasks.detection.export import ExportConfig, aligned, graph, main
from tasks.detection.model import build
from tasks.detection.suppression import suppress
from tests.common.commands.test_export import require_portable
from tests.tasks.detection import runs
from tests.tasks.detection.test_model import tiny
from tests.test_deployed_tasks import SLIM, randomise
from tests.test_exported_tasks import PLAIN

DETECTORS = DetectorName.__args__
MMDETECTION = [("mask_rcnn", "mmdetection"), ("htc", "mmdetection")]


def detector(name, test, conventions="torchvision", backbone=SLIM):
    torch.manual_seed(0)
    model = randomise(build(backbone, 3, tiny(name, conventions), test))
    for layer in model.modules():
        # A fresh head gives all places the same score, so that rounding would choose among them.
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.std() < 0.02:
            layer.weight.data *= 6
    return model


def noise(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("name", "conventions"),
    [*((one, "torchvision") for one in DETECTORS), *MMDETECTION],
)
def test_a_whole_batch_finds_what_each_picture_does(name, conventions):
    images, sizes = noise(2, 3, 70, 90), torch.tensor([[70, 90], [70, 90]])
    every, padded = ScoringConfig(score_threshold=0.0, detections=20), F.pad(images, (0, 6, 0, 26))
    with torch.inference_mode():
        between = in_the_widest_gap(detector(name, every, conventions)(padded, sizes)[0]["scores"])
        for test in (every, replace(every, score_threshold=between), replace(every, detections=90)):
            model = detector(name, test, conventions)
            found = BatchedDetector(model, test)(images)
            assert found[1].shape == (2, test.detections)
            compare(found, model(padded, sizes), full=test == every)


def test_proposals_of_one_level_suppress_none_of_another():
    """Anchors of two levels overlap too little for the usual threshold to show it."""
    test = ScoringConfig(score_threshold=0.0, detections=20)
    model = detector("mask_rcnn", test)
    model.detector.rpn.nms_thresh = 0.1
    images = noise(2, 3, 64, 96)
    with torch.inference_mode():
        expected = model(images, torch.tensor([[64, 96], [64, 96]]))
        compare(BatchedDetector(model, test)(images), expected, full=True)


def in_the_widest_gap(scores):
    """A threshold that rounding takes no score across; some are above it and some below."""
    middle = scores.sort().values[len(scores) // 4 : -(len(scores) // 4)]
    place = middle.diff().argmax()
    return middle[place : place + 2].mean().item()


def compare(found, expected, full):
    """The same in the first places, and zeros in the others."""
    boxes, scores, labels, *masks = found
    for index, one in enumerate(expected):
        count = len(one["scores"])
        assert count > 0 and (not full or count == scores.shape[1])
        torch.testing.assert_close(boxes[index, :count], one["boxes"])
        torch.testing.assert_close(scores[index, :count], one["scores"])
        assert labels[index, :count].tolist() == one["labels"].tolist()
        assert bool(masks) == ("masks" in one)
        if masks:
            torch.testing.assert_close(masks[0][index, :count], one["masks"][:, 0])
        for rest in found:
            assert not rest[index, count:].any()


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(-0.5, 1))
def test_suppression_is_greedy_within_group_and_class(seed, overlap, least):
    generator = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(2, 12, 2, generator=generator)
    boxes = torch.cat((corner, corner + 5 + 20 * torch.rand(2, 12, 2, generator=generator)), dim=2)
    scores = 2 * torch.rand(2, 3, 12, generator=generator) - 1
    left = suppress(boxes, scores, overlap, torch.tensor(least))
    for group in range(2):
        overlaps = box_iou(boxes[group], boxes[group])
        for label in range(3):
            kept = []
            for place in scores[group, label].argsort(descending=True).tolist():
                free = all(overlaps[place, better] <= overlap for better in kept)
                if scores[group, label, place] > least and free:
                    kept.append(place)
            assert torch.nonzero(left[group, label])[:, 0].tolist() == sorted(kept)


def test_suppression_is_an_operator_like_any_other():
    boxes = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.0]]])
    torch.library.opcheck(suppress, (boxes, torch.tensor([[[0.9, 0.8]]]), 0.5, torch.tensor(0.0)))


def test_alignment_follows_labels_and_hides_no_difference():
    boxes = torch.tensor([[[0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 5.0, 5.0], [9.0, 9.0, 20.0, 20.0]]])
    scores, labels = torch.tensor([[0.5, 0.5, 0.5]]), torch.tensor([[1, 2, 1]])
    order = torch.tensor([2, 0, 1])
    moved = (boxes[:, order], scores[:, order], labels[:, order])
    expected = (boxes, scores, labels)
    assert all(map(torch.equal, aligned(moved, expected), expected))
    wrong = (boxes[:, order], scores[:, order], torch.tensor([[1, 1, 1]]))
    assert not torch.equal(aligned(wrong, expected)[2], labels)
    lost = (boxes * float("nan"), scores, labels)
    assert aligned(lost, expected)[0].isnan().all()
    twice = (boxes[:, [0, 1, 1]], scores, torch.tensor([[1, 2, 2]]))
    assert not torch.equal(aligned(twice, expected)[0], boxes)


@pytest.mark.parametrize(
    ("name", "conventions"),
    [
        ("mask_rcnn", "mmdetection"),
        *(pytest.param(one, "torchvision", marks=pytest.mark.slow) for one in DETECTORS),
        pytest.param("htc", "mmdetection", marks=pytest.mark.slow),
    ],
)
def test_every_detector_becomes_a_file_of_any_size(name, conventions, tmp_path):
    pytest.importorskip("onnxruntime")
    # Nothing is found above this, as in noise by a trained network.
    test = ScoringConfig(score_threshold=1.0, detections=20)
    config = ExportConfig(model=tiny(name, conventions), test=test)
    config = replace(config, data=replace(config.data, classes=("ant", "bee", "cat")))
    (tmp_path / "best.pt").write_bytes(b"weights")
    content = export.write(
        graph(config, detector(name, test, conventions, PLAIN)),
        tmp_path / "d.onnx",
        Trained(tmp_path / "best.pt", {}, 1),
    )
    assert len(content["differences"]) == 3 and content["largest_difference"] < 1e-4
    any_score = content["varied"]
    assert any_score["score_threshold"] == 0 and max(any_score["differences"].values()) < 1e-4
    require_portable(tmp_path / "d.onnx", ["batch", 3, "height", "width"])
    assert content["outputs"][:3] == ["boxes", "scores", "labels"]
    card = json.loads((tmp_path / "d.json").read_text())
    assert card["classes"] == ["ant", "bee", "cat"]
    assert card["conventions"] == conventions
    assert ("masks" in card) == config.model.masks
    if config.model.masks:
        place = "centre" if conventions == "mmdetection" else "number"
        assert f"a pixel lies at its {place}" in card["masks"]


def test_the_command_asks_for_one_file(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["export", "--run", str(tmp_path)])
    with pytest.raises(UserError):
        main()


def test_some_of_the_classes_are_not_exported(tmp_path, monkeypatch):
    runs.write_run(tmp_path / "run")
    words = ["--run", str(tmp_path / "run"), "--data.classes", "[cat]", str(tmp_path / "a.onnx")]
    monkeypatch.setattr(sys, "argv", ["export", *words])
    with pytest.raises(UserError, match=r"--data\.classes: an exported detector finds all classes"):
        main()
