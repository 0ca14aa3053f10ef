"""The classes of a detector's weights: which they are, and how others are trained or left out."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from common.commands import classes, trained
from common.commands.trained import Trained, Translate
from common.errors import UserError
from tasks.detection.config import Config
from tasks.detection.mmdetection import is_mmdetection
from tasks.detection.model import LAYOUT, DetectionModel, classes_of
from tasks.detection.published import COCO_CLASSES, COCO_NUMBERS

_TWO_STAGE = re.compile(r"roi_heads\..*(cls_score|bbox_pred|mask_fcn_logits)\.|semantic\.logits\.")
_SINGLE_STAGE = "classification_head.cls_logits."
_BOX = 4
"""Rows of a box that is the same for all classes, as a cascade's."""


class Known(NamedTuple):
    """The classes that a detector was trained on."""

    names: tuple[str, ...]
    """In the order of their labels; empty where nothing says them."""
    ids: tuple[int, ...]
    """Of each in its annotation file."""


def translation(config: Config) -> Translate:
    """How weights of others are read for a config: nothing in them says how they want to be used.

    It raises UserError for those that would fit by their shapes and give other results.
    """

    def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        conventions = config.model.conventions
        if is_mmdetection(state) and conventions != "mmdetection":
            raise UserError(
                f"--model.conventions {conventions}: these are mmdetection's weights, which would "
                "give other results; say --model.conventions mmdetection"
            )
        return LAYOUT.translate(state)

    return translate


def known_classes(weights: Trained) -> Known:
    """The classes of a checkpoint: a run says them; 80 in a file from elsewhere are COCO's."""
    if weights.epoch is None and classes_of(weights.state) == len(COCO_CLASSES):
        return Known(COCO_CLASSES, COCO_NUMBERS)
    data = classes.of_run(weights)
    return Known(tuple(data.get("classes") or ()), tuple(data.get("category_ids") or ()))


def model_classes(weights: Trained, asked: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes of a model, in the order of its labels.

    Args:
        weights: of the model.
        asked: names of the classes that are to be found.

    Raises:
        UserError: they are known, and one that is asked for is not among them.
    """
    names = known_classes(weights).names
    unknown = [name for name in asked if name not in names]
    if weights.epoch is None and (not names or (unknown and len(asked) == len(names))):
        return tuple(asked)  # nobody else names the classes of a file from elsewhere
    if names and unknown:
        raise UserError(
            f"--data.classes: {weights.file} knows {len(names)} classes, {unknown[0]!r} is none of "
            f"them; it knows {', '.join(names)}"
        )
    return names or tuple(asked)


def category_ids(weights: Trained, config: Config) -> tuple[int, ...]:
    """Ids of the config's classes, for detections; their labels where nothing says them."""
    asked, known = config.data.classes, known_classes(weights)
    ids = dict(zip(known.names, known.ids, strict=False))
    given = len(config.data.category_ids) == len(asked)
    if given and (weights.epoch is None or not ids.keys() >= set(asked)):
        return config.data.category_ids
    return tuple(ids.get(name, label) for label, name in enumerate(asked, start=1))


def start_from(model: DetectionModel, config: Config) -> None:
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
    if config.finetune is not None:
        weights = trained.read("--finetune", config.finetune, translation(config))
        # A file of others may name COCO's classes otherwise, which only new classes can look past.
        known = weights.epoch is not None or config.new_classes
        found = known_classes(weights).names if known else ()
        wanted = config.data.classes
        classes.finetune(model, config, weights, class_rows, found, wanted, LAYOUT.explain)


def class_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Views (rows, ...) of the weights whose size is the number of classes.

    A row is a class's; those of two stages begin with the background's. A class has a row of class
    scores, four of boxes, one of masks, and of RetinaNet one for each anchor.
    """
    count = classes_of(state)
    rows: dict[str, Tensor] = {}
    if count is None:
        return rows
    for key, value in state.items():
        if _TWO_STAGE.search(key) and not ("bbox_pred" in key and len(value) == _BOX):
            rows[key] = torch.unflatten(value, 0, (count + 1, -1))
        elif _SINGLE_STAGE in key:
            rows[key] = torch.unflatten(value, 0, (-1, count)).transpose(0, 1)
    return rows
