"""Mask R-CNN and a semantic head on one pyramid: Panoptic FPN on any backbone.

Kirillov, Girshick, He and Dollár, "Panoptic Feature Pyramid Networks", CVPR 2019.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from backbone.trunk import Pyramid
from common.commands.trained import Layout
from tasks.detection import model as detection
from tasks.detection.heads import Targets
from tasks.detection.model import Batch, DetectionModel
from tasks.panoptic.config import Config
from tasks.panoptic.loss import semantic_term
from tasks.panoptic.published import from_published
from tasks.panoptic.semantic import SemanticHead

SEMANTIC = "semantic"
"""Name of the logits beside a picture's detections, of its label map, and of the term."""


class PanopticModel(DetectionModel):
    """Pictures in; out come terms of the loss in training, things and logits otherwise.

    Args:
        things: the detector, whose parts this model takes over.
        semantic: takes the pyramid's levels, gives logits.
        weight: of the semantic term.
    """

    def __init__(self, things: DetectionModel, semantic: SemanticHead, weight: float) -> None:
        super().__init__(
            things.backbone, things.neck, things.detector, things.normalize, things.first
        )
        self.semantic = semantic
        self.weight = weight

    def answer(
        self, x: Tensor, pyramid: Pyramid[Tensor], sizes: Tensor, targets: Targets | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """What a detector's `answer` gives, and the semantic part beside it.

        Targets have "semantic" too, (h, w): 0 for things, the classes of stuff, and 255. So have
        the terms; and the detections of each picture "semantic" (C, H / 4, W / 4), logits of the
        padded input.
        """
        levels = self.levels(pyramid)
        logits = self.semantic(levels)
        found = self.detected(x, levels, sizes, targets)
        if isinstance(found, dict):
            maps = [target[SEMANTIC] for target in targets or ()]
            term = semantic_term(logits, maps, x.shape[-2:])
            return {**found, SEMANTIC: self.weight * term}
        return [{**one, SEMANTIC: own} for one, own in zip(found, logits, strict=True)]


def targets_of(batch: Batch) -> list[dict[str, Tensor]]:
    """What a batch of samples says of each picture, as the model takes it in training."""
    things = detection.targets_of(batch, masks=True)
    return [{**one, SEMANTIC: own} for one, own in zip(things, batch[SEMANTIC], strict=True)]


def build(config: Config, things: int, stuff: int) -> PanopticModel:
    """The config's model with random weights, on the CPU.

    Args:
        config: of the run.
        things: number of their classes.
        stuff: number of its classes.

    Raises:
        UserError: no backbone has that name.
    """
    detector = detection.build(config.backbone, things, config.model, config.test)
    head = SemanticHead(config.model.channels, config.model.semantic_channels, stuff + 1)
    return PanopticModel(detector, head, config.loss.semantic)


def stuff_of(state: Mapping[str, Tensor]) -> int | None:
    """Classes of stuff that a model's weights tell apart; None if unclear."""
    bias = state.get("semantic.predictor.bias")
    return None if bias is None else len(bias) - 1


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    stuff = stuff_of(state)
    if stuff is not None and all(key.startswith("semantic.predictor.") for key in wrong):
        return (
            f": they are for {stuff} classes of stuff; give the data set or the --data.stuff that "
            "they were trained for, or train on others by --new_classes"
        )
    if wrong and all(key.startswith("semantic.") for key in wrong):
        missing = stuff is None
        cause = (
            "they are of a detector without a semantic head"
            if missing
            else ("give the --model.semantic_channels that they were trained with")
        )
        return f"; {cause}"
    things = [key for key in wrong if not key.startswith("semantic.predictor.")]
    return detection.explain(things, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere: those of mmdetection and of detectron2."""
