"""From a run to a predictor, and from a picture with clicks to a mask."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone import Pyramid
from common.commands import masking, trained
from common.commands.opened import Opened, opened
from common.commands.predictor import (
    Device,
    Pass,
    Precision,
    TrunkInput,
    fingerprint,
    flags_of,
    padded,
    picture_of,
    scaled,
)
from common.errors import UserError
from common.reading import windows
from common.reading.image import Picture, planes
from common.training.distributed import choose_device
from tasks.interactive.clicks import Box, Click, described
from tasks.interactive.config import ScoredConfig, ScoringConfig
from tasks.interactive.draw import overlay, shape
from tasks.interactive.late import LateNet
from tasks.interactive.model import LAYOUT, MEAN, STD, InteractiveModel, build
from tasks.interactive.robot import Mask
from tasks.interactive.session import Session

Size = tuple[int, int]
Clicks = Sequence[Click | tuple[int, int, bool]]


class Found(NamedTuple):
    """What belongs to an object."""

    mask: Mask
    """(H, W) of the picture."""
    probabilities: NDArray[np.float32]
    """(H, W), 0..1."""
    clicks: tuple[Click, ...]
    """That it answers."""


class Features(NamedTuple):
    """What the trunk makes of a picture."""

    size: Size
    """Height and width of the picture."""
    input_size: Size
    """Those of the network's input."""
    seen: Tensor | Pyramid[Tensor]
    """late: the trunk's features; fcanet, whose trunk sees the clicks as well: its colours."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[InteractiveModel]:
    """The trained model that the config names.

    Raises:
        UserError: it is missing, damaged or another model; or it is to be compiled.
    """
    if config.compile:
        raise UserError(
            "--compile: a network that is called in two halves, for pictures and for clicks, is "
            "not compiled here; leave it out"
        )
    weights = trained.find(config, LAYOUT.translate)
    return opened(config, build(config), weights, LAYOUT.explain, device)


class Predictor:
    """Finds what belongs to an object that is clicked on.

        predictor = Predictor.open("runs/interactive")
        session = predictor.start(picture)
        mask = session.click(120, 80)
        found = predictor(picture, [(120, 80, True), (30, 40, False)])

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[InteractiveModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config

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

    def start(
        self,
        picture: Picture | Path | str,
        *,
        mask: NDArray[Any] | None = None,
        box: Box | None = None,
    ) -> Session:
        """A session on a picture (H, W, 3), uint8 RGB, or on a file.

        Args:
            picture: to be clicked on.
            mask: (H, W) to begin with, such as one to be mended; late only.
            box: left, top, right and bottom around the object, as a first hint; late only.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: mask or box do not fit the picture or the network.
        """
        return self.resume(self.features(picture), mask=mask, box=box)

    def resume(
        self, features: Features, *, mask: NDArray[Any] | None = None, box: Box | None = None
    ) -> Session:
        """A session on a picture that the trunk has seen."""
        with self.opened.running():
            return begin(
                self.opened.layers,
                features,
                self.config.test,
                running=self.opened.running,
                mask=mask,
                box=box,
            )

    def __call__(self, picture: Picture | Path | str, clicks: Clicks | None = None) -> Found:
        """The mask of a picture (H, W, 3), uint8 RGB, or of a file, after some clicks.

        Without clicks: what is in the middle of the picture.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: a click cannot be, or the mask is not finite.
        """
        return self.answer(self.features(picture), clicks)

    def many(
        self,
        pictures: Sequence[Picture | Path | str],
        clicks: Sequence[Clicks | None] | None = None,
    ) -> list[Found]:
        """The masks of several pictures, each with its clicks."""
        given = clicks if clicks is not None else [None] * len(pictures)
        return [self(one, each) for one, each in zip(pictures, given, strict=True)]

    def draw(self, picture: Picture | Path | str, found: Found) -> Picture:
        """The picture (H, W, 3), grey beside the object, with its clicks: + green, - red."""
        seen = picture_of(picture, self.config.data.orientation)
        return overlay(seen, found.mask, found.clicks)

    def cutout(self, picture: Picture | Path | str, found: Found) -> Picture:
        """RGBA (H, W, 4): the picture, opaque on the object."""
        seen = picture_of(picture, self.config.data.orientation)
        return masking.cutout(seen, np.where(found.mask, 255, 0).astype(np.uint8))

    def describe(self, found: Found) -> dict[str, Any]:
        """Clicks, area, box and outline of the mask; these as COCO has them."""
        return {"clicks": described(found.clicks), **shape(found.mask)}

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        side, late = self.config.data.short_side, self.opened.model.late
        resize = scaled(side) + ("; the long side cut down" if side else "")
        return TrunkInput(
            trunk=fingerprint(self.opened.model.backbone),
            colour="RGB",
            mean=MEAN if late else (0.0, 0.0, 0.0),
            std=STD if late else (1.0, 1.0, 1.0),
            resize=resize if late else f"{resize}; and FCA-Net's maps of clicks",
            padding=padded(1),
            precision=self.opened.precision,
        )

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Features:
        """The first half of a call: what the trunk, or what is given for it, makes of a picture.

        FCA-Net's trunk sees the clicks too, so that nothing can stand for it.
        """
        read = picture_of(picture, self.config.data.orientation)
        fitted = fit(read, self.config.data.short_side)
        images = torch.from_numpy(planes(fitted))[None].to(self.opened.device)
        with self.opened.running():
            seen = see(self.opened.layers, images, trunk)
        return Features(_size(read), _size(fitted), seen)

    def answer(self, features: Features, clicks: Clicks | None = None) -> Found:
        """The second half: the mask after some clicks, on the features of a trunk."""
        session = self.resume(features)
        height, width = features.size
        for one in [(width // 2, height // 2, True)] if clicks is None else clicks:
            session.click(*one)
        return Found(session.mask, session.probabilities, session.clicks)


def see(
    layers: InteractiveModel, images: Tensor, trunk: Pass | None = None
) -> Tensor | Pyramid[Tensor]:
    """What the trunk makes of pictures (B, 3, h, w); of FCA-Net's, which sees clicks, the input."""
    if isinstance(layers, LateNet):
        return (trunk or layers.backbone)(layers.normalize(images))
    return layers.encode(images)


def begin(
    layers: InteractiveModel,
    features: Features,
    test: ScoringConfig,
    *,
    running: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    mask: NDArray[Any] | None = None,
    box: Box | None = None,
) -> Session:
    """A session on a picture that the trunk has seen.

    Args:
        layers: the network, in eval mode.
        features: of the picture.
        test: threshold and post-processing.
        running: stands around each pass of the network.
        mask: to begin with.
        box: to begin with.
    """
    seen = features.seen
    encoded: Any = seen
    if isinstance(layers, LateNet) and isinstance(seen, Pyramid):
        encoded = layers.keep(seen)
    device = next(layers.parameters()).device

    def answer(hints: NDArray[np.float32]) -> NDArray[np.float32]:
        with running():
            maps = layers.decode(encoded, torch.from_numpy(hints)[None].to(device))
            found: NDArray[np.float32] = maps.mask[0, 0].float().sigmoid().cpu().numpy()
        return found

    return Session(answer, layers.late, features.size, features.input_size, test, mask, box)


def fit(picture: Picture, short_side: int) -> Picture:
    """A picture as the network takes it: its short side so long, the other one's part cut off."""
    size = fitted_size(_size(picture), short_side)
    return picture if size == _size(picture) else windows.resized(picture, *size)


def fitted_size(size: Size, short_side: int) -> Size:
    """Height and width of the network's input; 0 leaves them as they are."""
    short = min(size)
    if not short_side:
        return size
    height, width = (max(1, side * short_side // short) for side in size)
    return height, width


def _size(picture: Picture) -> Size:
    return picture.shape[0], picture.shape[1]
