"""Further clicks of a training sample: the answers to the network's own mistakes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.interactive.clicks import Click, distance
from tasks.interactive.config import ClickConfig
from tasks.interactive.masks import IGNORED
from tasks.interactive.model import InteractiveModel
from tasks.interactive.robot import next_click

Batch = dict[str, Tensor]


def inputs(batch: Batch, late: bool) -> Tensor:
    """What the network is given of a batch, (B, 6, h, w): pictures and hints."""
    third = batch["previous"] if late else batch["first"]
    hints = torch.cat([batch["nearest"], third[:, None]], dim=1)
    return torch.cat([batch["image"].to(hints.dtype), hints], dim=1)


@torch.no_grad()
def corrected(model: InteractiveModel, batch: Batch, config: ClickConfig) -> Batch:
    """The batch with the clicks that a person would add, and with the masks that they answer.

    Each sample gets as many rounds as its "corrections" says. The network is in eval mode for them,
    and learns nothing. Where it makes no mistake nothing is added.

    Args:
        model: as it is now.
        batch: as `TrainSet` gives it.
        config: threshold of the masks, and where the clicks are.
    """
    wanted = batch["corrections"].tolist()
    if not max(wanted):
        return batch
    labels = batch["label"].cpu().numpy()
    generators = [np.random.default_rng(seed) for seed in batch["seed"].tolist()]
    nearest, previous = batch["nearest"].clone(), batch["previous"].clone()
    found = {**batch, "nearest": nearest, "previous": previous}
    training = model.training
    model.eval()
    encoded: Any = model.encode(batch["image"])
    for number in range(max(wanted)):
        hints = inputs(found, model.late)[:, 3:]
        masks = model.decode(encoded, hints).mask[:, 0].float().sigmoid()
        for place, rounds in enumerate(wanted):
            if number >= rounds:
                continue
            mask = (masks[place] > config.threshold).cpu().numpy()
            label = labels[place]
            ignored = label == IGNORED
            random = generators[place] if config.place == "random" else None
            click = next_click(mask, label == 1, ignored, (), random)
            previous[place] = masks[place]
            if click is not None:
                _add(nearest[place], click)
    model.train(training)
    return found


def _add(nearest: Tensor, click: Click) -> None:
    """Add a click to the distances (2, h, w), in place."""
    plane = nearest[0 if click.positive else 1]
    new = torch.from_numpy(distance(click, plane.shape[0], plane.shape[1])).to(plane.device)
    torch.minimum(plane, new, out=plane)
