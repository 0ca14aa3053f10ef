"""From a run to a predictor, and from a picture to its depth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

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
from common.errors import UserError
from common.reading import windows
from common.reading.image import Picture, planes
from common.training.distributed import choose_device
from tasks.depth.config import ScoredConfig
from tasks.depth.draw import coloured
from tasks.depth.model import LAYOUT, MEAN, STD, DepthModel, build

Size = tuple[int, int]


class Depth(NamedTuple):
    """How far away is what a picture shows."""

    depth: NDArray[np.float32]
    """(H, W) of the picture: metres along the optical axis, as seen by a camera like that of the
    training; of a run without metres (--loss.name ssi) inverse depth, larger where it is nearer."""


class Features(NamedTuple):
    """What the trunk makes of a picture."""

    size: Size
    """Height and width of the picture."""
    views: list[tuple[bool, Size, Tensor, Pyramid[Tensor]]]
    """Of the picture, and with --test.flip of its mirror image: whether it is mirrored, the size of
    the input, what the trunk was given of it, and its features."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[DepthModel]:
    """The trained model that the config names.

    Raises:
        UserError: it is missing, damaged or another model.
    """
    weights = trained.find(config, LAYOUT.translate)
    return opened(config, build(config), weights, LAYOUT.explain, device)


class Predictor:
    """Tells how far away things are in pictures.

        predictor = Predictor.open("runs/depth")
        found = predictor(picture)
        predictor.draw(picture, found)

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[DepthModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config
        self.metric = config.metric
        """Whether depth is in metres."""

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
        return cls(open_model(config, choose_device(config.engine.device)), config)

    def __call__(self, picture: Picture | Path | str) -> Depth:
        """The depth of a picture (H, W, 3), uint8 RGB, or of a file.

        The focal length is --data.focal, where the run's metres depend on it.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the depth is not finite; the model is broken.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Picture | Path | str]) -> list[Depth]:
        """The depth of several pictures; those of equal size go through the network together."""
        read = [picture_of(picture, self.config.data.orientation) for picture in pictures]
        found: dict[int, Depth] = {}
        for places in groups([picture.shape for picture in read], self.config.engine.batch_size):
            images = self._batch([read[place] for place in places])
            size = read[places[0]].shape[:2]
            with self.opened.running():
                focal = self._focal(len(places))
                maps = depth_maps(self.opened.network, images, focal, size, self.config.test.flip)
            found |= {
                place: Depth(one) for place, one in zip(places, maps.cpu().numpy(), strict=True)
            }
        return [found[place] for place in range(len(read))]

    def draw(self, picture: Picture | Path | str, found: Depth) -> Picture:
        """The depth of the picture in colours (H + 24, W, 3), above a scale in metres."""
        return coloured(found.depth, self.metric)

    def describe(self, found: Depth) -> dict[str, Any]:
        """Nearest, median and farthest depth, in metres if the run has these."""
        least, middle, greatest = (
            round(float(one), 4) for one in np.quantile(found.depth, (0, 0.5, 1))
        )
        if not self.metric:
            return {"unit": "inverse depth of no scale", "least": least, "greatest": greatest}
        return {"unit": "metres", "nearest": least, "median": middle, "farthest": greatest}

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        model = self.opened.model
        mirrored = ", and mirrored" if self.config.test.flip else ""
        return TrunkInput(
            trunk=fingerprint(model.backbone),
            colour="RGB",
            mean=MEAN,
            std=STD,
            resize=scaled(self.config.data.short_side) + mirrored,
            padding=padded(model.multiple),
            precision=self.opened.precision,
        )

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Features:
        """The first half of a call: what the trunk makes of a picture.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        read = picture_of(picture, self.config.data.orientation)
        images, layers = self._batch([read]), self.opened.layers
        run = trunk or self.opened.trunk
        views = []
        with self.opened.running():
            for mirrored in (False, True) if self.config.test.flip else (False,):
                x = layers.prepare(images.flip(-1) if mirrored else images)
                size = (images.shape[-2], images.shape[-1])
                views.append((mirrored, size, x, run(x)))
        return Features((read.shape[0], read.shape[1]), views)

    def answer(self, features: Features) -> Depth:
        """The second half: the depth, from the features of a trunk with the same input."""
        layers, focal = self.opened.layers, self._focal(1)
        with self.opened.running():
            maps = [
                _unmirrored(layers.answer(x, pyramid, *size, focal), mirrored)
                for mirrored, size, x, pyramid in features.views
            ]
            whole = combine(maps, features.size)
        return Depth(whole[0].cpu().numpy())

    def _batch(self, pictures: Sequence[Picture]) -> Tensor:
        stacked = np.stack([planes(_fitted(one, self.config.data.short_side)) for one in pictures])
        return torch.from_numpy(stacked).to(self.opened.device)

    def _focal(self, count: int) -> Tensor:
        given = self.config.data.focal or 0.0
        return torch.full((count,), given, device=self.opened.device)


def _fitted(picture: Picture, short_side: int) -> Picture:
    if not short_side:
        return picture
    size = windows.scaled_size(picture.shape, short_side)
    return picture if size == picture.shape[:2] else windows.resized(picture, *size)


def depth_maps(model: nn.Module, images: Tensor, focal: Tensor, size: Size, flip: bool) -> Tensor:
    """Depth (B, *size), float32, of pictures (B, 3, h, w).

    Args:
        model: in eval mode, on the pictures' device.
        images: RGB, 0..255, in the size that the network takes.
        focal: (B,) focal lengths in pixels, 0 where one is not known.
        size: height and width of the maps.
        flip: average with the mirrored depth of the mirrored pictures.

    Raises:
        UserError: the depth is not finite; the model is broken.
    """
    maps = [_unmirrored(model(images, focal), False)]
    if flip:
        maps.append(_unmirrored(model(images.flip(-1), focal), True))
    return combine(maps, size)


def combine(maps: Sequence[Tensor], size: Size) -> Tensor:
    """The mean (B, *size) of maps (B, 1, h, w), resized bilinearly.

    Raises:
        UserError: they are not finite; the model is broken.
    """
    mean = torch.stack([one.float() for one in maps]).mean(dim=0)
    if not torch.isfinite(mean).all():
        raise UserError("the model's depth is not finite: this checkpoint is of a failed run")
    if tuple(mean.shape[-2:]) != tuple(size):
        mean = F.interpolate(mean, size=list(size), mode="bilinear", align_corners=False)
    return mean[:, 0]


def _unmirrored(depth: Tensor, mirrored: bool) -> Tensor:
    return depth.flip(-1) if mirrored else depth
