"""The exported network: raw outputs, from which a user's own combination makes the same map."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common.commands.export import write
from common.commands.trained import Trained
from tasks.panoptic import export
from tasks.panoptic.config import ScoringConfig
from tasks.panoptic.inference import in_full
from tests.tasks.panoptic import small


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Config, model, and what is exported of it."""
    test = ScoringConfig(detections=12, thing_score=0.05)
    changes = {"backbone": "resnet26_half", "test": test}
    model = small.write_run(tmp_path_factory.mktemp("a") / "run", sure=True, **changes)
    names = ("data", "model", "loss", "test", "backbone")
    settings = small.tiny_config(**changes)
    config = export.ExportConfig(**{name: getattr(settings, name) for name in names})
    return config, model, export.graph(config, model)


def combined(outputs, size, config):
    """The map that a user of the file makes of its outputs for one picture."""
    boxes, scores, labels, masks, semantic = (one[0] for one in outputs)
    there = scores > 0
    found = {
        "boxes": boxes[there], "scores": scores[there], "labels": labels[there],
        "masks": masks[there][:, None], "semantic": semantic,
    }  # fmt: skip
    return in_full([found], (64, 64), size, size, config)[0]


def test_the_outputs_combined_are_the_map(exported):
    config, model, graph = exported
    images = torch.from_numpy(small.picture(4).transpose(2, 0, 1)[None].copy())
    size = torch.tensor([images.shape[-2:]])
    padded = torch.nn.functional.pad(images, (0, 0, 0, 16))
    with torch.inference_mode():
        given = combined(graph.module(images), size, config)
        own = in_full(model(padded, size), (64, 64), size, size, config)[0]
    assert np.mean(given.ids == own.ids) > 0.99
    assert [one.label for one in given.segments] == [one.label for one in own.segments]


def test_the_card_says_how_to_combine(exported):
    graph = exported[2]
    assert graph.results == ("boxes", "scores", "labels", "masks", "semantic")
    assert graph.description["task"] == "panoptic"
    assert graph.description["stuff"] == ["grass", "sky"]
    assert "(B, 3, H / 4, W / 4)" in graph.description["semantic"]
    assert any("256 or more" in line for line in graph.description["combination"])


@pytest.mark.slow
def test_the_file_is_checked_against_pytorch(exported, tmp_path):
    (tmp_path / "best.pt").write_bytes(b"weights")
    card = write(exported[2], tmp_path / "x.onnx", Trained(Path(tmp_path / "best.pt"), {}, 1))
    assert card["largest_difference"] < 1e-3
    assert card["varied"]["things.score_threshold"] == 0
