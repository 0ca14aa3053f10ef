"""The classes of a panoptic model's weights: which they are, and how others are trained."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from common.commands import classes, trained
from common.commands.trained import Trained, Translate
from common.errors import UserError
from tasks.detection import checkpoints as detection
from tasks.detection.mmdetection import is_mmdetection
from tasks.detection.model import classes_of
from tasks.detection.published import COCO_CLASSES, COCO_NUMBERS
from tasks.panoptic.config import Config
from tasks.panoptic.model import LAYOUT, PanopticModel, stuff_of
from tasks.panoptic.published import COCO_STUFF, is_detectron2

DETECTRON2_TRUNK = "res2net101_v1b_unpooled"
"""detectron2's Res2Net, whose first blocks have a rule of their own."""

AnyConfig = TypeVar("AnyConfig", bound=Config)


class Known(NamedTuple):
    """The classes that a model was trained on; empty where nothing says them."""

    things: tuple[str, ...]
    stuff: tuple[str, ...]
    thing_ids: tuple[int, ...]
    stuff_ids: tuple[int, ...]


COCO = Known(COCO_CLASSES, tuple(COCO_STUFF.values()), COCO_NUMBERS, tuple(COCO_STUFF))
"""Those of COCO's panoptic set."""


def translation(config: Config) -> Translate:
    """How weights of others are read for a config: nothing in them says how they want to be used.

    It raises UserError for those that would fit by their shapes and give other results.
    """

    def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        theirs, conventions = is_detectron2(state), config.model.conventions
        if (theirs or is_mmdetection(state)) and conventions != "mmdetection":
            code = "detectron2" if theirs else "mmdetection"
            raise UserError(
                f"--model.conventions {conventions}: these are {code}'s weights, which would give "
                "other results; say --model.conventions mmdetection"
            )
        if theirs and config.backbone != DETECTRON2_TRUNK:
            raise UserError(
                f"--backbone {config.backbone}: these are detectron2's weights, whose trunk treats "
                "the first block of each stage otherwise, so that they would give other results; "
                f"say --backbone {DETECTRON2_TRUNK}"
            )
        return LAYOUT.translate(state)

    return translate


def known_classes(weights: Trained) -> Known:
    """The classes of a checkpoint: a run says them; 80 and 53 of a file from elsewhere, COCO's."""
    sizes = classes_of(weights.state), stuff_of(weights.state)
    if weights.epoch is None and sizes == (len(COCO.things), len(COCO.stuff)):
        return COCO
    data = classes.of_run(weights)
    return Known(*(tuple(data.get(name) or ()) for name in Known._fields))


def with_known(config: AnyConfig, weights: Trained) -> AnyConfig:
    """The config with the names of the weights' classes, where it has none.

    Raises:
        UserError: it has others.
    """
    known, data = known_classes(weights), config.data
    if not known.things:
        return config
    if not data.things:
        return replace(config, data=replace(data, **known._asdict()))
    for flag, found, asked in (
        ("things", known.things, data.things), ("stuff", known.stuff, data.stuff)
    ):  # fmt: skip
        if weights.epoch is not None and found != asked:
            raise UserError(
                f"--data.{flag}: {weights.file} knows other classes "
                f"({classes.differences(asked, found)}); leave the flag out"
            )
    return config


def start_from(model: PanopticModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Args:
        model: on the CPU.
        config: of the run, with the names of its classes.

    Raises:
        UserError, WeightsError: they cannot be read, do not fit, or are of a run that was trained
            on other classes, without --new_classes.
    """
    if config.weights is not None:
        trained.load_trunk(model.backbone, config.weights)
    if config.finetune is None:
        return
    weights = trained.read("--finetune", config.finetune, translation(config))
    said = weights.epoch is not None or config.new_classes
    known = known_classes(weights) if said else Known((), (), (), ())
    data = config.data
    for rows, found, wanted in (
        (detection.class_rows, known.things, data.things),
        (stuff_rows, known.stuff, data.stuff),
    ):
        weights = classes.fitted(model, config, weights, rows, found, wanted)
    trained.load(model, weights, LAYOUT.explain)


def stuff_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Views (rows, ...) of the weights whose size is the number of stuff, things' row first."""
    return {
        key: torch.unflatten(value, 0, (len(value), 1))
        for key, value in state.items()
        if key.startswith("semantic.predictor.")
    }
