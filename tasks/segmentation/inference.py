"""From a run to a predictor, and from a picture to its label map."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from backbone import Pyramid
from common.commands import trained
from common.commands.classes import of_run
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
from common.errors import UserError
from common.networks.segmentation import SegmentationModel
from common.reading.image import Picture, planes
from common.reading.windows import resized, scaled_size
from common.training.distributed import choose_device
from tasks.segmentation.config import ScoredConfig, ScoringConfig
from tasks.segmentation.data import with_classes
from tasks.segmentation.draw import overlay
from tasks.segmentation.model import LAYOUT, MEAN, STD, build
from tasks.segmentation.palette import Colours, colours_of

Size = tuple[int, int]


class Segmentation(NamedTuple):
    """What is where in a picture."""

    labels: NDArray[np.uint8]
    """(H, W), the number of each pixel's class, from 0 on."""


class View(NamedTuple):
    """One of the inputs that are made of a picture."""

    images: Tensor
    """(B, 3, h, w), RGB, 0..255."""
    mirrored: bool


class Features(NamedTuple):
    """What the trunk makes of a picture."""

    size: Size
    """Height and width of the picture."""
    views: list[tuple[View, Tensor, Pyramid[Tensor]]]
    """Each view, what the trunk was given of it, and its features."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[SegmentationModel]:
    """The trained model that the config names; the config also names its classes.

    Raises:
        UserError: it is missing, damaged, another model, or has its classes in another order.
    """
    weights = trained.find(config, LAYOUT.translate)
    known, asked = of_run(weights).get("classes") or [], list(config.data.classes)
    # Names may be others, such as in another language, but a score map keeps its class.
    if known != asked and sorted(known) == sorted(asked):
        raise UserError(
            f"--data.classes: has the classes of {weights.file} in another order; they are "
            f"{', '.join(known)}; give this order, and to it --data.values or --data.palette"
        )
    model = build(config.backbone, len(config.data.classes), config.model)
    return opened(config, model, weights, LAYOUT.explain, device)


class Predictor:
    """Segments pictures.

        predictor = Predictor.open("runs/segmentation")
        found = predictor(picture)
        predictor.draw(picture, found)

    Args:
        model: as `open_model` gives it.
        config: of the run, with the names of its classes.
    """

    def __init__(self, model: Opened[SegmentationModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config
        self.classes = config.data.classes
        self.colours: Colours = colours_of(config.data.label_colours)

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
        config = with_classes(config)
        return cls(open_model(config, choose_device(config.engine.device)), config)

    def __call__(self, picture: Picture | Path | str) -> Segmentation:
        """The classes of a picture (H, W, 3), uint8 RGB, or of a file.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the scores are not finite; the model is broken.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Picture | Path | str]) -> list[Segmentation]:
        """The classes of several pictures; those of equal size go through the network together."""
        read = [picture_of(picture, self.config.data.orientation) for picture in pictures]
        found: dict[int, Segmentation] = {}
        for places in groups([picture.shape for picture in read], self.config.engine.batch_size):
            images = self._batch([read[place] for place in places])
            with self.opened.running():
                labels = segment(self.opened.network, images, self.config.test).cpu().numpy()
            found |= {place: Segmentation(one) for place, one in zip(places, labels, strict=True)}
        return [found[place] for place in range(len(read))]

    def draw(self, picture: Picture | Path | str, found: Segmentation) -> Picture:
        """The picture (H, W, 3) under the colours of its classes."""
        return overlay(
            picture_of(picture, self.config.data.orientation),
            found.labels,
            self.classes,
            self.colours,
        )

    def describe(self, found: Segmentation) -> dict[str, Any]:
        """Share of the picture of each class that it shows, the largest first."""
        counts = np.bincount(found.labels.ravel(), minlength=len(self.classes))
        shares = {
            self.classes[index]: round(float(counts[index] / found.labels.size), 4)
            for index in np.argsort(-counts, kind="stable")
            if counts[index]
        }
        return {"shares": shares}

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        test, model = self.config.test, self.opened.model
        scales = f", scales {list(test.scales)}" if tuple(test.scales) != (1,) else ""
        stride = model.backbone.strides.c5
        # Where every picture is larger, the least side adds nothing.
        small = model.least_side > max(stride, test.short_side)
        least = f" and at least {model.least_side}" if small else ""
        return TrunkInput(
            trunk=fingerprint(model.backbone),
            colour="RGB",
            mean=MEAN,
            std=STD,
            resize=scaled(test.short_side) + scales + (", and mirrored" if test.flip else ""),
            padding=padded(stride) + least,
            precision=self.opened.precision,
        )

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Features:
        """The first half of a call: what the trunk makes of a picture.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.

        Raises:
            UserError: the run's settings cut pictures into windows.
        """
        if self.config.test.window is not None:
            raise UserError("--test.window: windows have no features of the whole picture")
        images = self._batch([picture_of(picture, self.config.data.orientation)])
        layers, run = self.opened.layers, trunk or self.opened.trunk
        with self.opened.running():
            shown = [(one, layers.prepare(one.images)) for one in views(images, self.config.test)]
            given = [(view, x, run(x)) for view, x in shown]
        return Features((images.shape[-2], images.shape[-1]), given)

    def answer(self, features: Features) -> Segmentation:
        """The second half: the classes, from the features of a trunk with the same input."""
        layers = self.opened.layers
        with self.opened.running():
            logits = (
                (view, layers.answer(x, pyramid, *view.images.shape[-2:]).main.float())
                for view, x, pyramid in features.views
            )
            labels = combine(logits, len(features.views), features.size)
        return Segmentation(labels[0].cpu().numpy())

    def _batch(self, pictures: Sequence[Picture]) -> Tensor:
        stacked = np.stack([planes(picture) for picture in pictures])
        return torch.from_numpy(stacked).to(self.opened.device)


def segment(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    """Label maps (B, H, W), bytes, of pictures (B, 3, H, W) in their own size.

    Score maps are interpolated to that size before the best class is taken. With several scales or
    with mirroring, the probabilities of all passes are averaged there.

    Args:
        model: in eval mode, on the pictures' device.
        images: RGB, 0..255.
        test: scales, mirroring and windows.

    Raises:
        UserError: the scores are not finite; the model is broken.
    """
    shown = views(images, test)
    logits = ((view, score(model, view.images, test)) for view in shown)
    return combine(logits, len(shown), (images.shape[-2], images.shape[-1]))


def views(images: Tensor, test: ScoringConfig) -> list[View]:
    """The inputs that the settings make of pictures (B, 3, H, W): scales, each also mirrored."""
    size = (images.shape[-2], images.shape[-1])
    base = scaled_size(size, test.short_side) if test.short_side else size
    found = []
    for scale, mirrored in itertools.product(test.scales, (False, True) if test.flip else (False,)):
        shown = _resize(images, (max(1, round(base[0] * scale)), max(1, round(base[1] * scale))))
        found.append(View(shown.flip(-1) if mirrored else shown, mirrored))
    return found


def combine(logits: Iterable[tuple[View, Tensor]], count: int, size: Size) -> Tensor:
    """Label maps (B, H, W), bytes, of the logits (B, C, h, w) of so many views.

    Raises:
        UserError: the scores are not finite; the model is broken.
    """
    total: Tensor | None = None
    for view, one in logits:
        # Asked before they are enlarged: that takes several times as long, and makes none of them.
        if not torch.isfinite(one).all():
            raise UserError("the model's scores are not finite: this checkpoint is of a failed run")
        whole = _enlarge(one.flip(-1) if view.mirrored else one, size)
        # Probabilities of a single pass would have the same maxima.
        scores = whole if count == 1 else whole.softmax(dim=1)
        total = scores if total is None else total.add_(scores)
    assert total is not None  # there is at least one view
    return total.argmax(dim=1).byte()


def score(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    """Logits (B, C, h, w), float32, of pictures (B, 3, h, w): in one pass, or window by window.

    Where windows overlap, their logits are averaged.
    """
    height, width = images.shape[-2:]
    if test.window is None or (height <= test.window[0] and width <= test.window[1]):
        logits: Tensor = model(images).main
        return logits.float()
    rows, columns = min(test.window[0], height), min(test.window[1], width)
    total: Tensor | None = None
    counts = images.new_zeros((height, width), dtype=torch.float32)
    for top in starts(height, rows, test.overlap):
        for left in starts(width, columns, test.overlap):
            here = (..., slice(top, top + rows), slice(left, left + columns))
            part = model(images[here]).main.float()
            if total is None:
                total = part.new_zeros((*part.shape[:2], height, width))
            total[here] += part
            counts[here] += 1
    assert total is not None  # there is at least one window
    return total.div_(counts)


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along a side: evenly spread, overlapping by at least this share."""
    step = max(1, int(window * (1 - overlap)))
    count = 1 + -(-(length - window) // step)
    return [round(place * (length - window) / max(1, count - 1)) for place in range(count)]


def _resize(images: Tensor, size: Size) -> Tensor:
    """Pictures (B, 3, H, W), bytes, in another size, by area where they shrink, as in training."""
    if tuple(images.shape[-2:]) == size:
        return images
    each = [resized(one, *size) for one in images.permute(0, 2, 3, 1).cpu().numpy()]
    return torch.from_numpy(np.stack([planes(one) for one in each])).to(images.device)


def _enlarge(logits: Tensor, size: Size) -> Tensor:
    if tuple(logits.shape[-2:]) == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
