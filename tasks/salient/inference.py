"""From a run to a predictor, and from a picture to the map of what stands out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone import Pyramid
from common.commands import trained
from common.commands.masking import HALF, overlay
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
from common.reading.image import Picture, planes
from common.training.distributed import choose_device
from tasks.salient.config import Config, DataConfig, ModelConfig, ScoredConfig
from tasks.salient.model import NORMALISATION, SaliencyNetwork, build
from tasks.salient.networks.parts import resize
from tasks.salient.published import LAYOUT
from tasks.salient.transforms import Fitted, fit

Size = tuple[int, int]


class Saliency(NamedTuple):
    """What stands out of a picture."""

    map: NDArray[np.uint8]
    """(H, W) of the picture, 0..255: 255 certainly stands out."""


class Features(NamedTuple):
    """What the trunk makes of a picture."""

    size: Size
    """Height and width of the picture."""
    fitted: Fitted
    """The picture in the size of an input, in the recipe's colour order."""
    x: Tensor
    """What the trunk was given of it: (1, 3, h, w), normalised."""
    pyramid: Pyramid[Tensor]


def fresh(config: Config) -> SaliencyNetwork:
    """The config's model with random weights, on the CPU."""
    model = config.model
    return build(
        config.backbone,
        model.head_width,
        network=model.network,
        edge=model.edge,
        batchnorm=model.head_batchnorm,
        normalisation=model.normalisation,
        freeze=model.freeze_batchnorm,
        multiple=model.multiple,
    )


def open_model(config: ScoredConfig, device: torch.device) -> Opened[SaliencyNetwork]:
    """The trained model that the config names.

    Raises:
        UserError: it is missing, damaged or another model.
    """
    weights = trained.find(config, LAYOUT.translate)
    return opened(config, fresh(config), weights, LAYOUT.explain, device)


class Predictor:
    """Finds what stands out of pictures.

        predictor = Predictor.open("runs/salient")
        found = predictor(picture)
        predictor.draw(picture, found)

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[SaliencyNetwork], config: ScoredConfig) -> None:
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

    def __call__(self, picture: Picture | Path | str) -> Saliency:
        """The map of a picture (H, W, 3), uint8 RGB, or of a file.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the map is not finite; the model is broken.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Picture | Path | str]) -> list[Saliency]:
        """The maps of several pictures; inputs of equal size go through the network together."""
        read = [picture_of(picture, self.config.data.orientation) for picture in pictures]
        inputs = [_fitted(picture, self.config.data) for picture in read]
        found: dict[int, Saliency] = {}
        for places in groups([one.image.shape for one in inputs], self.config.engine.batch_size):
            images = self._batch([inputs[place] for place in places])
            contents = [(inputs[place].rows, inputs[place].columns) for place in places]
            sizes = [_size(read[place]) for place in places]
            with self.opened.running():
                logits = self.opened.network(images).saliency
                maps = saliency_maps(logits, contents, sizes, self.config.model)
            found |= {place: Saliency(one) for place, one in zip(places, maps, strict=True)}
        return [found[place] for place in range(len(read))]

    def draw(self, picture: Picture | Path | str, found: Saliency) -> Picture:
        """The picture (H, W, 3), grey where nothing stands out, tinted and outlined where it does.

        Cut-outs are in `common.commands.masking`.
        """
        return overlay(picture_of(picture, self.config.data.orientation), found.map)

    def describe(self, found: Saliency) -> dict[str, Any]:
        """The share of the picture that stands out."""
        return {"share": round(float((found.map > HALF).mean()), 4)}

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        data, model = self.config.data, self.opened.model
        mean, std = NORMALISATION[self.config.model.normalisation]
        height, width = data.input_size
        filters = {
            "area": "by area or else bilinear, in bytes",
            "antialiased": "by Pillow's bilinear filter, in bytes",
        }
        by = filters[data.resampling]
        ways = {
            "native": "none",
            "stretch": f"to {height} x {width}, {by}",
            "pad": f"into {height} x {width} with the aspect kept, {by}",
            "scale": scaled(min(height, width))
            if data.resampling == "area"
            else f"short side {min(height, width)}, {by}",
        }
        filled = f"to {height} x {width} and " if data.fit == "pad" else ""
        border = f"right and below, {filled}to at least {model.least_side}, with the border"
        return TrunkInput(
            trunk=fingerprint(model.backbone),
            colour=data.colour,
            mean=tuple(mean),
            std=tuple(std),
            resize=ways[data.fit],
            padding=padded(model.multiple) if model.multiple > 1 and not filled else border,
            precision=self.opened.precision,
        )

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Features:
        """The first half of a call: what the trunk makes of a picture.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        whole = picture_of(picture, self.config.data.orientation)
        fitted = _fitted(whole, self.config.data)
        run = trunk or self.opened.trunk
        with self.opened.running():
            x = self.opened.layers.prepare(self._batch([fitted]))
            return Features(_size(whole), fitted, x, run(x))

    def answer(self, features: Features) -> Saliency:
        """The second half: the map, from the features of a trunk with the same input."""
        size, fitted, x, pyramid = features
        with self.opened.running():
            logits = self.opened.layers.answer(x, pyramid, *_size(fitted.image))
            content = fitted.rows, fitted.columns
            maps = saliency_maps(logits, [content], [size], self.config.model)
        return Saliency(maps[0])

    def _batch(self, inputs: Sequence[Fitted]) -> Tensor:
        stacked = np.stack([planes(one.image) for one in inputs])
        return torch.from_numpy(stacked).to(self.opened.device)


def _fitted(picture: Picture, data: DataConfig) -> Fitted:
    """An RGB picture as an input, in the recipe's colour order."""
    ordered = picture if data.colour == "RGB" else np.ascontiguousarray(picture[:, :, ::-1])
    return fit(ordered, data.fit, data.input_size, data.resampling)


def _size(picture: Picture) -> Size:
    return picture.shape[0], picture.shape[1]


def saliency_maps(
    logits: Tensor, contents: Sequence[Size], sizes: Sequence[Size], how: ModelConfig
) -> list[NDArray[np.uint8]]:
    """The maps (H, W), 0..255, of a batch of inputs, each in a size of its own.

    Args:
        logits: (B, 1, h, w) of the inputs, as the model gives them.
        contents: rows and columns of each input that show its picture; the rest is padding.
        sizes: height and width of each map.
        how: maps are finished.

    Raises:
        UserError: the maps are not finite; the model is broken.
    """
    if torch.isnan(logits).any():
        raise UserError("the model's maps are not finite: this checkpoint is of a failed run")
    return [
        _finished(one[None, :, :rows, :columns], size, how)
        for one, (rows, columns), size in zip(logits.float(), contents, sizes, strict=True)
    ]


def _finished(logits: Tensor, size: Size, how: ModelConfig) -> NDArray[np.uint8]:
    """The map (H, W), 0..255, of a picture from its logits (1, 1, h, w)."""
    if how.resize_maps == "logits":
        logits = resize(logits, size, align_corners=False)
    found = logits.sigmoid()
    if how.stretch_maps:
        found = stretched(found)
    if how.resize_maps == "probabilities":
        found = resize(found, size, align_corners=False)
    levels = (255 * found[0, 0]).round().to(torch.uint8).cpu().numpy()
    if levels.shape != tuple(size):
        levels = np.asarray(cv2.resize(levels, size[::-1], interpolation=cv2.INTER_LINEAR))
    return levels


def stretched(maps: Tensor) -> Tensor:
    """Maps (B, 1, h, w), each from 0 at its least value to 1; one of a single value is 0."""
    least, greatest = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (maps - least) / (greatest - least + 1e-8)
