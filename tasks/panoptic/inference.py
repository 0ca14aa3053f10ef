"""From a run to a predictor, and from a picture to its segments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from common.commands import trained
from common.commands.opened import Opened, opened
from common.commands.predictor import (
    Device,
    Pass,
    Precision,
    TrunkInput,
    flags_of,
    groups,
    picture_of,
)
from common.errors import UserError
from common.reading.image import Picture
from common.reading.outlines import decode
from common.training.distributed import choose_device
from tasks.detection.data import tested_size
from tasks.detection.inference import (
    Detections,
    Features,
    batch_of,
    in_originals,
    trunk_features,
    trunk_input,
)
from tasks.panoptic.checkpoints import translation, with_known
from tasks.panoptic.config import Config, ScoredConfig
from tasks.panoptic.data import read, with_classes
from tasks.panoptic.draw import draw_segments
from tasks.panoptic.form import known_categories, segments_info
from tasks.panoptic.fusion import Part, combine
from tasks.panoptic.model import LAYOUT, SEMANTIC, PanopticModel, build


class Panoptic(NamedTuple):
    """What is where in a picture."""

    ids: NDArray[np.int32]
    """(H, W), the number of each pixel's segment; 0 of none."""
    segments: list[Part]
    """The segments, things by falling score, and then the stuff."""
    things: Detections
    """All that the detector found, also what has no segment."""
    semantic: NDArray[np.uint8]
    """(H, W), what the semantic head says alone: 0 for things, then the stuff."""


def open_model(
    config: ScoredConfig, device: torch.device
) -> tuple[ScoredConfig, Opened[PanopticModel]]:
    """The config with the names of its classes, and the trained model that it names.

    Where the config does not name them, the weights do, or else the data set.

    Raises:
        UserError: the model is missing, damaged or another one; or nothing says what its classes
            are, or the config says otherwise.
    """
    weights = trained.find(config, translation(config))
    config = with_known(config, weights)
    if not config.data.things:
        if config.data.root is None:
            raise UserError(
                "--data.things and --data.stuff are missing: the checkpoint does not say what its "
                "classes are; list them, or give the --data.root that it was trained on"
            )
        config = with_classes(config, read(config, config.data.val_split))
    model = build(config, len(config.data.things), len(config.data.stuff))
    return config, opened(config, model, weights, LAYOUT.explain, device)


class Predictor:
    """Tells which thing or stuff every pixel of a picture belongs to.

        predictor = Predictor.open("runs/panoptic")
        found = predictor(picture)
        predictor.draw(picture, found)

    Args:
        model: as `open_model` gives it.
        config: of the run, with the names of its classes.
    """

    def __init__(self, model: Opened[PanopticModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config
        self.categories = known_categories(config.data)
        """The classes, in the order of their labels, which count from 1."""

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
        config, model = open_model(config, choose_device(config.engine.device))
        return cls(model, config)

    def __call__(self, picture: Picture | Path | str) -> Panoptic:
        """The segments of a picture (H, W, 3), uint8 RGB, or of a file.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the model is broken.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Picture | Path | str]) -> list[Panoptic]:
        """The segments of several pictures.

        Those that the network sees in equal size go through it together.
        """
        data = self.config.data
        read = [picture_of(picture, data.orientation) for picture in pictures]
        sizes = [tested_size(picture, data) for picture in read]
        found: dict[int, Panoptic] = {}
        for places in groups(sizes, self.config.engine.batch_size):
            shown = batch_of([read[place] for place in places], data, self.opened.device)
            with self.opened.running():
                each = segment(self.opened.network, *shown, self.config)
            found |= dict(zip(places, each, strict=True))
        return [found[place] for place in range(len(read))]

    def draw(self, picture: Picture | Path | str, found: Panoptic) -> Picture:
        """The picture (H, W, 3) under the colours of its segments, with their names."""
        return draw_segments(
            picture_of(picture, self.config.data.orientation),
            found.ids,
            {one.number: one.label for one in found.segments},
            {one.number: self.categories[one.label - 1].name for one in found.segments},
        )

    def describe(self, found: Panoptic) -> list[dict[str, Any]]:
        """Each segment's class, and what COCO's panoptic form says of it."""
        entries = segments_info(found.segments, self.categories)
        return [
            {"class": self.categories[one.label - 1].name, **entry}
            for one, entry in zip(found.segments, entries, strict=True)
        ]

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        return trunk_input(self.opened, self.config.data)

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Features:
        """The first half of a call: what the trunk makes of a picture.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        data = self.config.data
        shown = batch_of([picture_of(picture, data.orientation)], data, self.opened.device)
        return trunk_features(self.opened, shown, trunk)

    def answer(self, features: Features) -> Panoptic:
        """The second half: the segments, from the features of a trunk with the same input."""
        shown, given, pyramid = features
        with self.opened.running():
            found: Any = self.opened.layers.answer(given, pyramid, shown.sizes)
            padded = given.shape[-2:]
            return in_full(found, padded, shown.sizes, shown.originals, self.config)[0]


def segment(
    model: nn.Module, images: Tensor, sizes: Tensor, originals: Tensor, config: Config
) -> list[Panoptic]:
    """The segments of each picture.

    Args:
        model: a `PanopticModel` in eval mode, on the pictures' device.
        images: (B, 3, H, W), RGB, 0..255, as the model takes them.
        sizes: (B, 2), height and width of each picture in there.
        originals: (B, 2), height and width of each as it is stored.
        config: how things and stuff become one map.

    Raises:
        UserError: the logits are not finite; the model is broken.
    """
    return in_full(model(images, sizes), images.shape[-2:], sizes, originals, config)


def in_full(
    found: Sequence[dict[str, Tensor]],
    padded: Sequence[int],
    sizes: Tensor,
    originals: Tensor,
    config: Config,
) -> list[Panoptic]:
    """What a model gives of each picture, in pixels of the pictures as they are stored.

    `padded` is the height and width of the network's input; for the others see `segment`.
    """
    results = []
    things = in_originals(found, sizes, originals, config)
    for one, each, size, original in zip(
        found, things, sizes.tolist(), originals.tolist(), strict=True
    ):
        semantic = label_map(one[SEMANTIC], padded, size, original)
        chosen = np.flatnonzero(each.scores >= config.test.thing_score)
        runs = [(each.masks or [])[place]["counts"].encode("ascii") for place in chosen]
        ids, segments = combine(
            list(decode(runs, *original).view(np.bool_)),
            each.labels[chosen].tolist(),
            each.scores[chosen].tolist(),
            semantic,
            len(config.data.things),
            config.test,
        )
        results.append(Panoptic(ids, segments, each, semantic))
    return results


def label_map(
    logits: Tensor, padded: Sequence[int], size: Sequence[int], original: Sequence[int]
) -> NDArray[np.uint8]:
    """The best class (H, W) of each pixel of a stored picture, of logits (C, h, w).

    They are enlarged to the network's input, cut to the picture, and resized to its own size.

    Raises:
        UserError: they are not finite; the model is broken.
    """
    if not torch.isfinite(logits).all():
        raise UserError("the model's scores are not finite: this checkpoint is of a failed run")
    whole = _resized(logits[None].float(), padded)[..., : size[0], : size[1]]
    return _resized(whole, original)[0].argmax(dim=0).byte().cpu().numpy()


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
