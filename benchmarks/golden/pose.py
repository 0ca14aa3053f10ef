"""The pose networks of the official Res2Net and of Microsoft's ResNet code."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden.compare import Outcome, near, picture
from common.commands import config as configuration
from common.commands import recipes
from tasks.pose.config import Config
from tasks.pose.model import LAYOUT, build

JOINTS = 17

RECIPES = {
    f"pose_{name}": f"{name}_256x192"
    for name in (
        "res2net50",
        "res2net50_v1b",
        "res2net101",
        "res2net101_v1b",
        "resnet50",
        "resnet101",
    )
}


def outcome(name: str, entry: Mapping[str, Any], state: Mapping[str, Tensor]) -> Outcome:
    """Heat maps of two pictures of 256 x 192."""
    recipe = configuration.parse(Config, ["--config", recipes.find(Config, RECIPES[name])])
    model = build(recipe.backbone, JOINTS, recipe.model.head_channels).eval()
    model.load_state_dict(LAYOUT.translate(state) or {})
    with torch.inference_mode():
        return near([model.answer(model.backbone(picture(256, 192, seed=9)))], entry["outputs"])
