"""The flag --engine.recompute reaches the backbone, whatever the model around it."""

import pytest
from torch import nn

from common import placement
from common.config import EngineConfig
from common.errors import UserError


class Backbone(nn.Module):
    recomputed: tuple[int, ...] = ()


def test_the_stages_reach_the_backbone():
    model = nn.Module()
    model.backbone = Backbone()
    placement.recompute(model, ())
    assert model.backbone.recomputed == ()
    placement.recompute(model, (1, 3))
    assert model.backbone.recomputed == (1, 3)


def test_a_model_that_cannot_says_so():
    placement.recompute(nn.Linear(1, 1), ())
    with pytest.raises(UserError, match=r"--engine\.recompute: this model's backbone cannot"):
        placement.recompute(nn.Linear(1, 1), (1,))


def test_wrong_stages_are_refused():
    assert EngineConfig(recompute=(1, 4)).recompute == (1, 4)
    with pytest.raises(UserError, match=r"--engine.recompute \[5\]: stages are 1, 2, 3 and 4"):
        EngineConfig(recompute=(5,))
    with pytest.raises(UserError, match=r"recompute and --engine\.compile: choose one"):
        EngineConfig(recompute=(1,), compile=True)
