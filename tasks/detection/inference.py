"""From a run to a predictor, and from a picture to the objects in it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone import Pyramid
from common.commands import trained
from common.commands.opened import Opened, opened
from common.commands.predictor import (
    Device,
    Pass,
    Precision,
    TrunkInput,
    fingerprint,
    flags_of,
    groups,
    padded,
    picture_of,
    scaled,
)
from common.commands.trained import Trained
from common.reading.image import Colour, Picture
from common.training.distributed import choose_device, note
from tasks.detection.batches import STRIDE, pad
from tasks.detection.checkpoints import category_ids, known_classes, model_classes, translation
from tasks.detection.config import Config, DetectorConfig, PicturesConfig, ScoredConfig
from tasks.detection.data import as_tested, tested_size, with_names
from tasks.detection.draw import Drawn, draw_objects
from tasks.detection.masks import Size, encode
from tasks.detection.model import LAYOUT, MEAN, STD, DetectionModel, build
from tasks.detection.transforms import RESIZED

Detector = TypeVar("Detector", bound=DetectionModel)


class Detections(NamedTuple):
    """What was found in one picture, best first."""

    boxes: NDArray[np.float32]
    """(N, 4) left, top, right, bottom in pixels of the picture as it is stored."""
    scores: NDArray[np.float32]
    """(N,), 0 to 1, falling."""
    labels: NDArray[np.int64]
    """(N,), from 1 on."""
    masks: list[dict[str, Any]] | None
    """N masks of the whole picture, as COCO's run lengths; None of a detector without masks."""


class Shown(NamedTuple):
    """B pictures as the network takes them."""

    images: Tensor
    """(B, 3, H, W), 0..255, in the config's order of colours; H and W are multiples of 32."""
    sizes: Tensor
    """(B, 2), height and width of each picture in there."""
    originals: Tensor
    """(B, 2), height and width of each as it is stored."""


class Features(NamedTuple):
    """What the trunk makes of a picture."""

    shown: Shown
    given: Tensor
    """(1, 3, H, W), what the trunk was given."""
    pyramid: Pyramid[Tensor]


def open_model(config: ScoredConfig, device: torch.device) -> Opened[DetectionModel]:
    """The trained model that the config names, giving the classes that the config names.

    These may be some of the model's, in any order; a line then says which.

    Raises:
        UserError: it is missing, damaged or another model, or does not know such a class.
    """
    return _opened(config, trained.find(config, translation(config)), device)


def open_named(
    config: ScoredConfig, device: torch.device
) -> tuple[ScoredConfig, Opened[DetectionModel]]:
    """The config with the names of its classes, and the model as `open_model` gives it.

    Where the config does not name them, the weights do, or else the data set.

    Raises:
        UserError: as `open_model`; or nothing says what the classes are.
    """
    weights = trained.find(config, translation(config))
    known = known_classes(weights)
    if known.names and not config.data.classes:
        data = replace(config.data, classes=known.names, category_ids=known.ids)
        config = replace(config, data=data)
    config = with_names(config)
    return config, _opened(config, weights, device)


def _opened(config: ScoredConfig, weights: Trained, device: torch.device) -> Opened[DetectionModel]:
    asked = config.data.classes
    known = model_classes(weights, asked)
    model = build(config.backbone, len(known), config.model, config.test)
    if known != asked:
        model.keep(known, asked)
        note(f"{weights.file}: of its {len(known)} classes {len(asked)} count: {', '.join(asked)}")
    return opened(config, model, weights, LAYOUT.explain, device)


class Predictor:
    """Finds objects in pictures.

        predictor = Predictor.open("runs/detection", flags=("--test.score_threshold", "0.5"))
        found = predictor(picture)
        predictor.draw(picture, found)

    Args:
        model: as `open_model` gives it; it decides the least score of what is found.
        config: of the run, with the names of its classes.
    """

    def __init__(self, model: Opened[DetectionModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config
        self.classes = config.data.classes
        self.ids = category_ids(model.weights, config)

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        checkpoint: str = "best",
        device: Device = "auto",
        precision: Precision = "fp32",
        compile: bool = False,
        flags: Sequence[str] = (),
    ) -> Self:
        """The predictor of a run; the arguments are those of `tasks.open_run`.

        Raises:
            UserError: there is no such run, its checkpoint is damaged, or a flag is wrong.
        """
        config = flags_of(ScoredConfig, source, checkpoint, device, precision, compile, flags)
        config, model = open_named(config, choose_device(config.engine.device))
        return cls(model, config)

    def __call__(self, picture: Picture | Path | str) -> Detections:
        """The objects of a picture (H, W, 3), uint8 RGB, or of a file.

        Raises:
            DamagedFile: the file cannot be read.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Picture | Path | str]) -> list[Detections]:
        """The objects of several pictures.

        Those that the network sees in equal size go through it together.
        """
        read = [picture_of(picture, self.config.data.orientation) for picture in pictures]
        sizes = [tested_size(picture, self.config.data) for picture in read]
        found: dict[int, Detections] = {}
        for places in groups(sizes, self.config.engine.batch_size):
            shown = self._batch([read[place] for place in places])
            with self.opened.running():
                each = detect(self.opened.network, *shown, self.config)
            found |= dict(zip(places, each, strict=True))
        return [found[place] for place in range(len(read))]

    def draw(self, picture: Picture | Path | str, found: Detections) -> Picture:
        """The picture (H, W, 3) with boxes, masks and names of what was found."""
        nothing = [None] * len(found.labels)
        masks: Sequence[dict[str, Any] | None] = nothing if found.masks is None else found.masks
        drawn = [
            Drawn(box, label, f"{self.classes[label - 1]} {score:.2f}", mask)
            for box, label, score, mask in zip(
                found.boxes.tolist(), found.labels.tolist(), found.scores, masks, strict=True
            )
        ]
        return draw_objects(picture_of(picture, self.config.data.orientation), drawn)

    def describe(self, found: Detections) -> list[dict[str, Any]]:
        """Each object's class, and what COCO's result form says of it, best first."""
        return [
            {"class": self.classes[label - 1], **one}
            for label, one in zip(found.labels.tolist(), coco_results(found, self.ids), strict=True)
        ]

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        return trunk_input(self.opened, self.config.data, self.config.data.colour)

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Features:
        """The first half of a call: what the trunk makes of a picture.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        shown = self._batch([picture_of(picture, self.config.data.orientation)])
        return trunk_features(self.opened, shown, trunk)

    def answer(self, features: Features) -> Detections:
        """The second half: the objects, from the features of a trunk with the same input."""
        shown, given, pyramid = features
        with self.opened.running():
            found: Any = self.opened.layers.answer(given, pyramid, shown.sizes)
            return in_originals(found, shown.sizes, shown.originals, self.config)[0]

    def _batch(self, pictures: Sequence[Picture]) -> Shown:
        data = self.config.data
        rgb = data.colour == "RGB"
        ordered = [one if rgb else one[:, :, ::-1].copy() for one in pictures]
        return batch_of(ordered, data, self.opened.device)


def batch_of(pictures: Sequence[Picture], data: PicturesConfig, device: torch.device) -> Shown:
    """Pictures (H, W, 3) that are tested in one size, as the network takes them."""
    planes = [torch.from_numpy(as_tested(one, data)) for one in pictures]
    return Shown(
        pad(planes).to(device),
        torch.tensor([one.shape[1:] for one in planes], device=device),
        torch.tensor([one.shape[:2] for one in pictures]),
    )


def trunk_input(
    opened: Opened[Detector], data: PicturesConfig, colour: Colour = "RGB"
) -> TrunkInput:
    """What decides the features of a detector's trunk."""
    most = f", long side at most {data.longest_side}" if data.longest_side else ""
    way = f"short side {data.test_short_side}, {RESIZED[data.resize]}"
    if data.resize == "area":
        way = scaled(data.test_short_side)
    return TrunkInput(
        trunk=fingerprint(opened.model.backbone),
        colour=colour,
        mean=MEAN,
        std=STD,
        resize=way + most,
        padding=padded(STRIDE),
        precision=opened.precision,
    )


def trunk_features(opened: Opened[Detector], shown: Shown, trunk: Pass | None = None) -> Features:
    """What a detector's trunk, or another one in its place, makes of a picture."""
    run = trunk or opened.trunk
    with opened.running():
        given = opened.layers.prepare(shown.images, shown.sizes)
        return Features(shown, given, run(given))


def detect(
    model: nn.Module, images: Tensor, sizes: Tensor, originals: Tensor, config: Config
) -> list[Detections]:
    """Find the objects of each picture.

    Args:
        model: a `DetectionModel` in eval mode, on the pictures' device.
        images: (B, 3, H, W), RGB, 0..255, as the model takes them.
        sizes: (B, 2), height and width of each picture in there.
        originals: (B, 2), height and width of each as it is stored.
        config: how masks are drawn back.
    """
    return in_originals(model(images, sizes), sizes, originals, config)


def in_originals(
    found: Sequence[dict[str, Tensor]], sizes: Tensor, originals: Tensor, config: DetectorConfig
) -> list[Detections]:
    """What a model gives of each picture, in pixels of the pictures as they are stored."""
    return [
        _in_original(one, size, (int(original[0]), int(original[1])), config)
        for one, size, original in zip(found, sizes.cpu(), originals.cpu(), strict=True)
    ]


def _in_original(
    found: dict[str, Tensor], size: Tensor, original: Size, config: DetectorConfig
) -> Detections:
    """Detections in pixels of the network's input -> in those of the picture as it is stored."""
    height, width = original
    across, down = width / float(size[1]), height / float(size[0])
    boxes = found["boxes"].float().cpu() * torch.tensor([across, down, across, down])
    masks: list[dict[str, Any]] | None = None
    if "masks" in found:
        within, rules = found["masks"].float().cpu(), config.model.rules
        threshold = config.test.mask_threshold
        masks = encode(within, boxes, original, threshold, aligned=rules.aligned)
    return Detections(
        boxes.numpy(),
        found["scores"].float().cpu().numpy(),
        found["labels"].cpu().numpy(),
        masks,
    )


def coco_results(found: Detections, categories: Sequence[int]) -> list[dict[str, Any]]:
    """Detections of a picture in COCO's result form, but for the picture's id.

    Args:
        found: in the picture.
        categories: id of each class, that of label 1 first.
    """
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    results: list[dict[str, Any]] = [
        {
            "category_id": categories[label - 1],
            "bbox": [float(value) for value in (*box[:2], *side)],
            "score": float(score),
        }
        for box, side, score, label in zip(
            found.boxes, sides, found.scores, found.labels.tolist(), strict=True
        )
    ]
    if found.masks is not None:
        for one, mask in zip(results, found.masks, strict=True):
            one["segmentation"] = mask
    return results
