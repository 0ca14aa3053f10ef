"""The scale lens beside forward passes by hand."""

import json
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from backbone import MODELS
from common.errors import UserError
from common.reading.image import read
from tasks.classification import lens
from tasks.classification.config import ModelConfig
from tasks.classification.lens import Moments, group_energy, listening, stages_of, switched_off
from tasks.classification.lens_chart import group_names
from tasks.classification.model import build
from tests.tasks.classification import small
from tests.tasks.classification.test_model import pictures, randomise


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomise(build(small.BACKBONE, 3, ModelConfig()))


def heard(model, images):
    """What conv3 of the last block of the second stage is given."""
    seen = []
    block = model.backbone.layer2[1]
    handle = block.conv3.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    with torch.inference_mode():
        scores = model(images)
    handle.remove()
    return block, torch.cat(seen), scores


def test_energy_is_the_variance_of_a_groups_part_of_the_output(model):
    block, given, _ = heard(model, pictures())
    with listening([block]) as collected, torch.inference_mode():
        for image in pictures():
            model(image[None])
    found = group_energy(block, collected[0])
    width = given.shape[1] // 4
    for group in range(4):
        alone = torch.zeros_like(given)
        alone[:, group * width : (group + 1) * width] = given[
            :, group * width : (group + 1) * width
        ]
        with torch.inference_mode():
            part = F.batch_norm(
                block.conv3(alone), torch.zeros_like(block.bn3.running_mean),
                block.bn3.running_var, block.bn3.weight, eps=block.bn3.eps,
            )  # fmt: skip
        expected = part.var(dim=(0, 2, 3), correction=0).sum()
        assert found[group].item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_group_that_is_off_stands_at_its_mean(model):
    images = pictures()
    block, given, scores = heard(model, images)
    width = given.shape[1] // 4
    moments = Moments(4, width)
    moments.add(given)
    with switched_off([block], [moments], 2):
        _, held, other = heard(model, images)
    part = slice(2 * width, 3 * width)
    mean = given[:, part].mean(dim=(0, 2, 3))
    assert torch.allclose(held[:, part], mean[:, None, None].expand_as(held[:, part]), atol=1e-5)
    untouched = [c for c in range(4 * width) if c not in range(part.start, part.stop)]
    assert torch.equal(held[:, untouched], given[:, untouched])
    assert not torch.allclose(scores, other)
    _, again, same = heard(model, images)
    assert torch.equal(again, given)
    assert torch.equal(same, scores)


def test_hooks_go_also_when_something_fails(model):
    block, given, scores = heard(model, pictures())
    moments = Moments(4, given.shape[1] // 4)
    moments.add(given)
    with pytest.raises(RuntimeError), switched_off([block], [moments], 0):
        raise RuntimeError
    with pytest.raises(RuntimeError), listening([block]):
        raise RuntimeError
    assert torch.equal(heard(model, pictures())[2], scores)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("res2net26_14w_4s", ["layer1", "layer2", "layer3", "layer4"]),
        ("dla60_res2net", ["level2", "level3", "level4", "level5"]),
    ],
)
def test_the_blocks_of_each_stage(name, stages):
    found = stages_of(MODELS[name]())
    assert list(found) == stages
    assert all(block.scale == 4 for blocks in found.values() for block in blocks)


def test_a_plain_resnet_has_no_groups():
    with pytest.raises(UserError, match="this one has none; choose a res2net"):
        stages_of(MODELS["resnet26_half"]())


def test_names_of_groups():
    assert group_names(4) == ["group 1: 3x3", "group 2: 5x5", "group 3: 7x7", "group 4: passed on"]


def test_the_command(tmp_path, monkeypatch, capsys):
    root = small.write_tree(tmp_path / "data", train=1, val=3)
    small.write_run(tmp_path / "run", root)
    words = ["--run", tmp_path / "run", "--loader.workers", 0, "--pictures", 6]
    monkeypatch.setattr(sys, "argv", ["lens", *map(str, words)])
    lens.main()
    content = json.loads((tmp_path / "run" / "lens" / "lens.json").read_text())
    assert content["pictures"] == 6
    assert np.sum(content["energy_share"], axis=1) == pytest.approx([1] * 4, abs=1e-5)
    assert np.shape(content["top1_without"]) == (4, 4)
    assert read(tmp_path / "run" / "lens" / "lens.png").std() > 10
    assert "of 6 pictures" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["lens", *map(str, words[:-1]), "-1"])
    with pytest.raises(UserError, match="--pictures -1"):
        lens.main()
