"""A backbone, a feature pyramid, and a detector on it: seven networks of one shape."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from backbone.detect import hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands.config import choose
from common.commands.trained import Layout
from common.layers import Normalize, freeze_batchnorm
from tasks.detection.cascade import cascade_heads
from tasks.detection.config import ModelConfig, ScoringConfig
from tasks.detection.freeze import freeze_stages
from tasks.detection.heads import Found, Targets, roi_heads
from tasks.detection.hybrid import HybridTaskCascade, SemanticBranch, hybrid_heads
from tasks.detection.mmdetection import from_mmdetection
from tasks.detection.published import from_published
from tasks.detection.single_stage import FCOS, RETINANET_ANCHORS, RetinaNet
from tasks.detection.two_stage import TwoStage, rpn

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Batch = Mapping[str, Any]
"""Samples as the loader gives them: pictures and sizes stacked, targets listed."""

_OF_CLASSES = re.compile(r"\.(cls_score|bbox_pred|mask_fcn_logits|cls_logits|logits)\.")
"""Layers whose size is the number of classes."""


class DetectionModel(nn.Module):
    """Pictures in; out come terms of the loss in training, detections otherwise.

    Args:
        backbone: gives a pyramid.
        neck: takes the pyramid's stages by number, gives levels of equal channels.
        detector: takes pictures, levels and targets; gives detections and terms.
        normalize: takes the pictures.
        first: the first stage that the neck takes: 0 is `c2`, 1 is `c3`.

    `kept` (C + 1,), if set, is the label under which a detection of each label is given, where 0
    leaves it out.
    """

    kept: Tensor | None

    def __init__(
        self,
        backbone: Trunk,
        neck: FeaturePyramidNetwork,
        detector: nn.Module,
        normalize: nn.Module,
        first: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.detector = detector
        self.normalize = normalize
        self.first = first
        self.register_buffer("kept", None, persistent=False)

    def forward(
        self, images: Tensor, sizes: Tensor, targets: Targets | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Terms of the loss by name in training, otherwise the detections of each picture.

        Args:
            images: (B, 3, H, W), RGB, 0..255; H and W are multiples of 32, pictures lie at the
                upper left.
            sizes: (B, 2), height and width of each picture in there.
            targets: in training, of each picture "boxes" (N, 4) as left, top, right, bottom in
                pixels, "labels" (N,) from 1 on, and for masks "masks" (N, h, w) of 0 and 1.

        Returns:
            Of each picture "boxes" (N, 4) in the same pixels, "scores" (N,) falling, "labels" (N,)
            and, of networks with masks, "masks" (N, 1, 28, 28): probabilities within the box.
        """
        x = self.prepare(images, sizes)
        return self.answer(x, self.backbone(x), sizes, targets)

    def prepare(self, images: Tensor, sizes: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, H, W), 0 beyond their sizes."""
        inside = _inside(sizes, images.shape[-2], images.shape[-1])
        x: Tensor = self.normalize(images) * inside
        return x

    def answer(
        self, x: Tensor, pyramid: Pyramid[Tensor], sizes: Tensor, targets: Targets | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """What `forward` gives, of what the trunk was given and its features."""
        return self.detected(x, self.levels(pyramid), sizes, targets)

    def detected(
        self, x: Tensor, levels: dict[str, Tensor], sizes: Tensor, targets: Targets | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """What the detector makes of the levels, as `forward` gives it."""
        found: Found = self._found(x, levels, sizes, targets)
        return found[1] if self.training else [self._kept(one) for one in found[0]]

    def keep(self, known: Sequence[str], asked: Sequence[str]) -> None:
        """Give only detections of the classes asked for, labelled in their order.

        Args:
            known: names of the model's classes.
            asked: some of them.
        """
        labels = torch.zeros(len(known) + 1, dtype=torch.int64)
        for label, name in enumerate(asked, start=1):
            labels[known.index(name) + 1] = label
        self.kept = labels

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _kept(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.kept is None:
            return found
        labels = self.kept[found["labels"]]
        chosen = {name: value[labels > 0] for name, value in found.items()}
        return {**chosen, "labels": labels[labels > 0]}

    def levels(self, pyramid: Pyramid[Tensor]) -> dict[str, Tensor]:
        """The levels that the detector looks at, finest first, of equal channels."""
        stages = pyramid[1 + self.first :]
        levels: dict[str, Tensor] = self.neck(
            {str(number): stage for number, stage in enumerate(stages)}
        )
        return levels

    # Sizes in here depend on what a picture shows: each would be compiled anew.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _found(
        self, x: Tensor, levels: dict[str, Tensor], sizes: Tensor, targets: Targets | None
    ) -> Found:
        shapes = [(int(height), int(width)) for height, width in sizes.tolist()]
        found: Found = self.detector(ImageList(x, shapes), levels, targets)
        return found


def targets_of(batch: Batch, masks: bool) -> list[dict[str, Tensor]]:
    """What a batch of samples says of each picture, as a model takes it in training."""
    names = ("boxes", "labels", "masks") if masks else ("boxes", "labels")
    columns = zip(*(batch[name] for name in names), strict=True)
    return [dict(zip(names, one, strict=True)) for one in columns]


def _inside(sizes: Tensor, height: int, width: int) -> Tensor:
    """1 within each picture and 0 beyond, (B, 1, H, W): padding has the mean colour."""
    rows = torch.arange(height, device=sizes.device) < sizes[:, :1]
    columns = torch.arange(width, device=sizes.device) < sizes[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None].float()


def build(
    backbone: str, classes: int, model: ModelConfig, test: ScoringConfig | None = None
) -> DetectionModel:
    """A detector with a fresh backbone of the given name, on the CPU.

    Args:
        backbone: a name in `backbone.MODELS`.
        classes: without the background.
        model: which detector, and its numbers.
        test: thresholds of the detections; the defaults if None.

    Raises:
        UserError: no backbone has that name.
    """
    trunk = choose("--backbone", backbone, MODELS)()
    freeze_stages(trunk, model.frozen_stages)
    if model.frozen_batchnorm:
        freeze_batchnorm(trunk)
    test = test or ScoringConfig()
    if model.detector in ("retinanet", "fcos"):
        return _single_stage(trunk, classes, model, test)
    return _two_stage(trunk, classes, model, test)


def _two_stage(
    trunk: Trunk, classes: int, model: ModelConfig, test: ScoringConfig
) -> DetectionModel:
    channels = model.channels
    neck = FeaturePyramidNetwork(list(trunk.channels[1:]), channels, LastLevelMaxPool())
    pooled = trunk.strides[1:]
    proposals = rpn((*pooled, 2 * pooled[-1]), model)
    if model.detector == "htc":
        semantic = SemanticBranch(channels, len(pooled) + 1, classes)
        detector: TwoStage = HybridTaskCascade(
            proposals, hybrid_heads(pooled, classes, model, test), semantic
        )
    else:
        heads: Callable[..., nn.Module] = cascade_heads if model.cascade else roi_heads
        detector = TwoStage(proposals, heads(pooled, classes, model, test))
    return DetectionModel(trunk, neck, detector, Normalize(MEAN, STD), first=0)


def _single_stage(
    trunk: Trunk, classes: int, model: ModelConfig, test: ScoringConfig
) -> DetectionModel:
    channels = model.channels
    neck = FeaturePyramidNetwork(
        list(trunk.channels[2:]), channels, LastLevelP6P7(channels, channels)
    )
    last = trunk.strides.c5
    strides = (*trunk.strides[2:], 2 * last, 4 * last)
    detector = (
        RetinaNet(channels, classes, model, test)
        if model.detector == "retinanet"
        else FCOS(channels, strides, classes, test)
    )
    return DetectionModel(trunk, neck, detector, Normalize(MEAN, STD), first=1)


def classes_of(state: Mapping[str, Tensor]) -> int | None:
    """Classes without the background that a detector's weights tell apart; None if unclear."""
    for key, value in state.items():
        if key.endswith("box_predictor.cls_score.bias"):
            return len(value) - 1
        if key.endswith("classification_head.cls_logits.bias"):
            central = key.replace("classification_head.cls_logits", "regression_head.bbox_ctrness")
            return len(value) if central in state else len(value) // RETINANET_ANCHORS
    return None


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    classes = classes_of(state)
    if wrong and classes and all(key in state and _OF_CLASSES.search(key) for key in wrong):
        return (
            f": they are for {classes} classes; give the data set or the --data.classes that they "
            "were trained for, or train on others by --new_classes"
        )
    if wrong and not any(key.startswith("backbone.") for key in wrong):
        return (
            "; give the --model.detector, --model.channels and --model.box_channels that they were "
            "trained with"
        )
    return hint(wrong, state)


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Weights of torchvision or mmdetection under the names here; None if they are of neither."""
    return from_published(state) or from_mmdetection(state)


LAYOUT = Layout(translate, explain)
"""What is known of checkpoints from elsewhere: those of torchvision and of mmdetection."""
