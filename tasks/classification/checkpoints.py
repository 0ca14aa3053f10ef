"""From the name of a source to a classifier's weights, and the classes that they were trained on.

A source is a run directory, a checkpoint file or the name of published weights.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from backbone import WEIGHTS
from backbone.weights import fetch
from common.commands import classes, trained, zoo
from common.commands.trained import Trained
from common.errors import UserError
from tasks.classification import labels
from tasks.classification.config import Config, ScoredConfig
from tasks.classification.labels import Classes
from tasks.classification.model import LAYOUT, Classifier

IMAGENET_CLASSES = 1000

FRESH_LAYER = (
    "to learn other classes, say train --finetune with the same source and --new_classes: that "
    "keeps all but the last layer"
)
"""What to do with a checkpoint of other classes."""


def find(config: ScoredConfig) -> Trained:
    """The weights that --run and --checkpoint name; a checkpoint may be a published name, too.

    Raises:
        UserError, WeightsError: they cannot be had, or are not a classifier's.
    """
    if config.checkpoint in ("best", "last"):
        return trained.find(config, LAYOUT.translate)
    return read(config.checkpoint, "--checkpoint")


def read(source: str, flag: str) -> Trained:
    """A whole classifier's weights.

    Args:
        source: a published name, a file or a run directory.
        flag: that names it, for messages.

    Raises:
        UserError, WeightsError: they cannot be had, or are not a classifier's.
    """
    if source in WEIGHTS:
        return trained.read(flag, fetch(WEIGHTS[source]), LAYOUT.translate)
    if not Path(source).exists() and zoo.named(source) is None:
        close = difflib.get_close_matches(source, WEIGHTS, n=2, cutoff=0.5) or list(WEIGHTS)[:2]
        raise UserError(
            f"{flag} {source}: no such file or run directory, and none of the {len(WEIGHTS)} "
            f"published weights, such as {' and '.join(close)}"
        )
    return trained.read(flag, source, LAYOUT.translate)


def start_from(model: Classifier, config: Config, wanted: Classes) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Args:
        model: on the CPU.
        config: of the run.
        wanted: the classes of the training split.

    Raises:
        UserError, WeightsError: the weights cannot be read, do not fit, or are of a run that was
            trained on other classes, without --new_classes.
    """
    if config.weights is not None:
        trained.load_trunk(model.backbone, config.weights)
    if config.finetune is not None:
        weights = read(config.finetune, "--finetune")
        # A file of others may have its classes in any order, which only new classes can look past.
        known = weights.epoch is not None or config.new_classes
        found = classes_of(weights, None) if known else None
        names = found.names if found else ()
        classes.finetune(model, config, weights, class_rows, names, wanted.names, LAYOUT.explain)


def class_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the last layer, a row for each class."""
    return {key: value for key, value in state.items() if key.startswith("fc.")}


def class_count(weights: Trained) -> int:
    """K of a checkpoint's last layer.

    Raises:
        UserError: it has none.
    """
    if "fc.weight" not in weights.state:
        raise UserError(
            f"{weights.file}: is not a classifier: it has no fc.weight; weights of a backbone "
            "are given to train as --weights"
        )
    return len(weights.state["fc.weight"])


def classes_of(weights: Trained, listed: Path | None) -> Classes | None:
    """The classes that a checkpoint was trained on; None where nothing says so.

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


def classes_or_numbers(weights: Trained, listed: Path | None) -> Classes:
    """The classes that a checkpoint was trained on; their numbers where nothing names them."""
    return classes_of(weights, listed) or labels.numbered(class_count(weights))


def _counted(listed: Classes, count: int, file: Path) -> Classes:
    if len(listed) != count:
        raise UserError(
            f"{file}: lists {len(listed)} classes, but the checkpoint has {count}; {FRESH_LAYER}"
        )
    return listed
