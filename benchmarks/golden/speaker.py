"""Published speaker networks against recorded outputs of their authors' code."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden.compare import Outcome, near, picture
from common.commands import trained
from common.commands.config import parse
from common.commands.trained import Trained
from tasks.speaker.config import Config
from tasks.speaker.model import LAYOUT, SpeakerModel, build

RECIPES: Mapping[str, str] = {
    "3dspeaker_res2net": "3dspeaker_res2net34",
    "3dspeaker_eres2net_voxceleb": "3dspeaker_eres2net",
    "3dspeaker_eres2net_base": "3dspeaker_eres2net_512",
    "3dspeaker_eres2net_large": "3dspeaker_eres2net_large",
    "3dspeaker_eres2net_common": "3dspeaker_eres2net_common",
    "3dspeaker_eres2netv2": "3dspeaker_eres2netv2",
    "3dspeaker_eres2netv2_w24s4ep4": "3dspeaker_eres2netv2_w24s4ep4",
    "wespeaker_res2net34_base": "wespeaker_res2net34",
    "wespeaker_resnet34": "wespeaker_resnet34",
}
"""Recipe of each recorded network; embeddings may be of another length than in the recipe."""

FRAMES, BINS, SEED = 200, 80, 13


def outcome(name: str, entry: Mapping[str, Any], state: Mapping[str, Tensor]) -> Outcome:
    """Build and load a recorded network and compare its embeddings.

    Args:
        name: in RECIPES.
        entry: its recorded outputs.
        state: its weights, under the published names.

    Raises:
        UserError: the weights are not those of the recipe's network.
    """
    return near([embeddings(network(name, state))], entry["outputs"])


def network(name: str, state: Mapping[str, Tensor]) -> SpeakerModel:
    """The network of the recipe with these weights; raises as `outcome` does."""
    config = parse(Config, ["--config", RECIPES[name]])
    own = LAYOUT.translate(state)
    if own is None:
        raise ValueError(f"{name}: its weights are of no published layout")
    length = len(own["embedding.weight"])
    model = build(config.backbone, replace(config.model, embedding=length), None)
    trained.load(model, Trained(Path(name), own, None), LAYOUT.explain)
    return model.eval()


def embeddings(model: SpeakerModel) -> Tensor:
    """Embeddings (2, D) of the recorded input: noise in place of log mel energies."""
    energies = picture(FRAMES, BINS, batch=2, channels=1, seed=SEED).transpose(2, 3)
    with torch.inference_mode():
        return model.answer(model.backbone(energies))
