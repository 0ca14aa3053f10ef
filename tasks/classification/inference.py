"""From a checkpoint to a classifier and the classes that it knows."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import torch

import backbone
from backbone import WEIGHTS, detect
from backbone.weights import fetch
from common.commands import config as configuration
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from tasks.classification import labels
from tasks.classification.config import Config
from tasks.classification.labels import Classes
from tasks.classification.model import Classifier, build, explain, from_published

IMAGENET_CLASSES = 1000

FRESH_LAYER = (
    "to learn other classes, say train --weights with the same source: that keeps the backbone and "
    "puts a fresh last layer on it"
)
"""What to do with a checkpoint of other classes."""


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


def initialise(model: Classifier, config: Config, classes: Classes) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Raises:
        UserError, WeightsError: they cannot be read, do not fit, or are of a run that learnt others
            than the `classes` of the training set.
    """
    if config.weights is not None:
        backbone.load(model.backbone, config.weights)
    if config.finetune is not None:
        weights = read(config.finetune, "--finetune")
        trained.load(model, weights, explain)
        _require_classes(classes, weights, config.finetune)


def _require_classes(classes: Classes, weights: Trained, source: str) -> None:
    """Refuse the last layer of a run for other classes, or for the same in another order."""
    learnt = classes_of(weights, None) if weights.epoch is not None else None
    if learnt is None or learnt.names == classes.names:
        return
    differ = "another order"
    if set(learnt.names) != set(classes.names):
        differ = labels.differences(classes, learnt)
    raise UserError(
        f"--finetune {source}: the training set's classes are not those of that run ({differ}); "
        "--weights with the same source keeps its backbone and puts a fresh last layer on it"
    )


def read(source: str, flag: str) -> Trained:
    """A whole classifier's weights.

    Args:
        source: a published name, a file or a run directory.
        flag: that names it, for messages.

    Raises:
        UserError, WeightsError: they cannot be had, or are no classifier's.
    """
    if source in WEIGHTS:
        return trained.read(flag, fetch(WEIGHTS[source]), from_published)
    if not Path(source).exists():
        close = difflib.get_close_matches(source, WEIGHTS, n=2, cutoff=0.5) or list(WEIGHTS)[:2]
        raise UserError(
            f"{flag} {source}: no such file or run directory, and none of the {len(WEIGHTS)} "
            f"published weights, such as {' and '.join(close)}"
        )
    return trained.read(flag, Path(source), from_published)


def find(config: ScoredConfig) -> Trained:
    """The weights that --run and --checkpoint name; a checkpoint may be a published name, too."""
    if config.checkpoint in ("best", "last"):
        return trained.find(config, from_published)
    return read(config.checkpoint, "--checkpoint")


def class_count(weights: Trained) -> int:
    """K of a checkpoint's last layer.

    Raises:
        UserError: it has none.
    """
    if "fc.weight" not in weights.state:
        raise UserError(
            f"{weights.file}: is no classifier: it has no fc.weight; weights of a backbone alone "
            "are given to train as --weights"
        )
    return len(weights.state["fc.weight"])


def restore(config: Config, weights: Trained, device: torch.device) -> Classifier:
    """The config's model with a checkpoint's weights, ready for inference.

    The class count is the checkpoint's.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config.backbone, class_count(weights), config.model)
    trained.load(model, weights, explain)
    trained.ready(model, device)
    return model


def classes_of(weights: Trained, listed: Path | None) -> Classes | None:
    """The classes that a checkpoint was trained for; None where nothing says so.

    A run keeps them beside its checkpoints. A published checkpoint of 1000 classes is taken for one
    of ImageNet, unless a list says otherwise.

    Args:
        weights: of the model.
        listed: the file that --data.classes names.

    Raises:
        UserError: the list has another length than the checkpoint's last layer.
    """
    count = class_count(weights)
    beside = weights.file.with_name(labels.FILE)
    if weights.epoch is not None and beside.is_file():
        return _counted(labels.read(beside), count, beside)
    if listed is not None:
        return _counted(labels.read(listed), count, listed)
    if weights.epoch is None and count == IMAGENET_CLASSES:
        return labels.imagenet()
    return None


def _counted(classes: Classes, count: int, file: Path) -> Classes:
    if len(classes) != count:
        raise UserError(
            f"{file}: lists {len(classes)} classes, but the checkpoint has {count}; {FRESH_LAYER}"
        )
    return classes


@dataclass(frozen=True)
class Opened:
    """A model that is ready to be asked."""

    name: str
    """What drawings call it."""
    model: Classifier
    classes: Classes


def open_main(config: ScoredConfig, device: torch.device) -> Opened:
    """The model that --run and --checkpoint name.

    Raises:
        UserError, WeightsError: it cannot be had, or does not fit the config.
    """
    weights = find(config)
    classes = classes_of(weights, config.data.classes) or labels.numbered(class_count(weights))
    return Opened(config.backbone, restore(config, weights, device), classes)


def open_other(source: str, device: torch.device) -> Opened:
    """The model that --compare names: a run directory, a published name or a file.

    A file's backbone is read from its shapes.

    Raises:
        UserError, WeightsError: it cannot be had.
    """
    weights = read(source, "--compare")
    kept = weights.file.with_name("config.yaml")
    if weights.epoch is not None and kept.is_file():
        config = configuration.read(Config, kept)
    else:
        trunk = {
            key.removeprefix("backbone."): value
            for key, value in weights.state.items()
            if key.startswith("backbone.")
        }
        config = Config(backbone=detect(trunk, str(source)))
    classes = classes_of(weights, None) or labels.numbered(class_count(weights))
    return Opened(config.backbone, restore(config, weights, device), classes)
