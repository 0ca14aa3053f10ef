"""FCA-Net against recorded outputs of its authors' own code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.golden.compare import Outcome, near
from common.commands import config, recipes, trained
from common.commands.trained import Trained
from tasks.interactive.config import Config
from tasks.interactive.model import LAYOUT, InteractiveModel, build

RECIPES: Mapping[str, str] = {
    "fcanet_res2net": "fcanet_res2net101",
    "fcanet_resnet": "fcanet_resnet101",
}
"""The recipe of each recorded network."""

SIZE, SEED, FARTHEST = (128, 160), 12, 60.0


def loaded(name: str, state: Mapping[str, Tensor]) -> InteractiveModel:
    """The network of a recipe, in eval mode, with published weights in it."""
    file = Path(recipes.find(Config, RECIPES[name]))
    model = build(config.read(Config, file))
    translated = LAYOUT.translate(state)
    if translated is None:
        raise ValueError("its keys are of no layout that is known")
    trained.load(model, Trained(file.with_suffix(".pth"), translated, None), LAYOUT.explain)
    return model.eval()


def given() -> Tensor:
    """A picture of 0..255 and distances from positive, negative and first clicks, (1, 6, H, W)."""
    generator = np.random.default_rng(SEED)
    drawn = [generator.uniform(0, 255, (1, 3, *SIZE))]
    drawn += [generator.uniform(0, FARTHEST, (1, 1, *SIZE)) for _ in range(3)]
    return torch.from_numpy(np.concatenate(drawn, axis=1).astype(np.float32))


def outcome(name: str, entry: Mapping[str, Any], state: Mapping[str, Tensor]) -> Outcome:
    """Logits of a picture with clicks.

    Args:
        name: a name in RECIPES.
        entry: the recorded network, with its `outputs`.
        state: its weights, under the names of its authors' code.
    """
    model = loaded(name, state)
    with torch.inference_mode():
        return near([model(given()).mask], entry["outputs"])
