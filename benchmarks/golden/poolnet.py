"""Res2Net-PoolNet, alone and with its edge branch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden.compare import Outcome, near, picture
from tasks.salient.model import build
from tasks.salient.published import LAYOUT

RECIPES = {
    "poolnet_res2net50": "res2net50",
    "joint_poolnet_res2net50_mode0": "res2net50_edge",
    "joint_poolnet_res2net50_mode1": "res2net50_edge",
}
_BACKBONE = "res2net50_26w_4s"


def outcome(name: str, entry: Mapping[str, Any], state: Mapping[str, Tensor]) -> Outcome:
    """Logits of a picture of 224 x 288: of saliency, or of the edge maps (mode 0)."""
    model = build(_BACKBONE, edge=name.startswith("joint")).eval()
    model.load_state_dict(LAYOUT.translate(state) or {})
    given = picture(224, 288, 1, seed=10)
    with torch.inference_mode():
        features = model.backbone(given)
        if not name.endswith("mode0"):
            return near([model.answer(given, features, 224, 288)], entry["outputs"])
        maps = model.head.edges(features, given.shape[2:])
        return near([maps[:, index : index + 1] for index in range(5)], entry["outputs"])
