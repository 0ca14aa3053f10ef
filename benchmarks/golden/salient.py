"""Published networks of salient and camouflaged objects, polyps and lung infection."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden import compare
from benchmarks.golden.compare import Outcome
from common.commands import config, recipes, trained
from common.commands.trained import Trained
from tasks.salient.config import Config
from tasks.salient.inference import fresh
from tasks.salient.model import SaliencyNetwork
from tasks.salient.networks.inspyrenet import InSPyReNetHead
from tasks.salient.networks.parts import resize
from tasks.salient.published import LAYOUT

RECIPES: Mapping[str, str] = {
    "pranet": "pranet_res2net50_v1b",
    "inf_net": "infnet_res2net50_v1b",
    "sinet_v2": "sinetv2_res2net50_v1b",
    "modelscope_res2net_salient": "senet_res2net50_v1b",
    "inspyrenet_res2net50": "inspyrenet_res2net50_v1b",
}
"""The recipe of each recorded network."""


def outcome(name: str, entry: Mapping[str, Any], state: Mapping[str, Tensor]) -> Outcome:
    """How near the network of a recipe is to the recorded outputs.

    Args:
        name: a name in RECIPES.
        entry: the recorded network, with its `outputs`.
        state: its weights, under the names of its authors' code.
    """
    model = loaded(name, state)
    with torch.inference_mode():
        return compare.near(OUTPUTS[name](model), entry["outputs"])


def loaded(name: str, state: Mapping[str, Tensor]) -> SaliencyNetwork:
    """The network of a recipe, in eval mode, with published weights in it."""
    file = Path(recipes.find(Config, RECIPES[name]))
    model = fresh(config.read(Config, file))
    translated = LAYOUT.translate(state)
    if translated is None:
        raise ValueError("its keys are of no layout that is known")
    trained.load(model, Trained(file.with_suffix(".pth"), translated, None), LAYOUT.explain)
    return model.eval()


def _maps(model: SaliencyNetwork) -> list[Tensor]:
    """All maps, coarsest first, and the outlines where there are any."""
    x = compare.picture(352, 352, batch=1, seed=11)
    found = model.maps(x, model.backbone(x), 352, 352)
    outlines = [] if found.contour is None else [found.contour]
    return [*found.sides, found.result, *outlines]


def _probabilities(model: SaliencyNetwork) -> list[Tensor]:
    """All maps, finest first, and the outlines; these were made bigger as probabilities."""
    x = compare.picture(320, 320, batch=1, seed=16)
    features = model.backbone(x)
    found, outlines = model.maps(x, features, 320, 320), model.head(features).contour
    assert outlines is not None
    whole = resize(outlines.sigmoid(), (320, 320), align_corners=False)
    return [*(one.sigmoid() for one in (found.result, *reversed(found.sides))), whole]


def _pyramids(model: SaliencyNetwork) -> list[Tensor]:
    """The maps, coarsest first, and the Laplacian maps."""
    features = model.backbone(compare.picture(384, 384, batch=1, seed=14))
    assert isinstance(model.head, InSPyReNetHead)
    maps, laplacians = model.head.pyramids(features)
    return [*maps, *laplacians]


OUTPUTS: Mapping[str, Callable[[SaliencyNetwork], list[Tensor]]] = {
    "pranet": _maps,
    "inf_net": _maps,
    "sinet_v2": _maps,
    "modelscope_res2net_salient": _probabilities,
    "inspyrenet_res2net50": _pyramids,
}
"""What is compared of each network on its recorded input."""
