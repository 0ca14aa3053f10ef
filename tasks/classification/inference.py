"""From a run to a predictor, and from a picture to its classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone import Pyramid
from common.commands.opened import Opened, opened
from common.commands.predictor import (
    Device,
    Pass,
    Precision,
    TrunkInput,
    fingerprint,
    flags_of,
    groups,
    picture_of,
)
from common.errors import UserError
from common.reading.image import Picture, planes
from common.training.distributed import choose_device
from tasks.classification import checkpoints
from tasks.classification.cam import Method, Stage, cam, cam_of, grad_cam, heat
from tasks.classification.config import ScoredConfig
from tasks.classification.draw import Guess, Panel, row
from tasks.classification.model import LAYOUT, MEAN, STD, Classifier, build
from tasks.classification.transforms import center_crop

TOP = 5
"""Best classes that are listed."""


class Classification(NamedTuple):
    """What a picture shows."""

    probabilities: NDArray[np.float32]
    """(K,), of each class; they add up to 1."""
    best: NDArray[np.int64]
    """(T,), the numbers of the best classes, the most probable first."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[Classifier]:
    """The trained model that the config names; it has as many classes as its checkpoint.

    Raises:
        UserError, WeightsError: it is missing, damaged or another model.
    """
    weights = checkpoints.find(config)
    model = build(config.backbone, checkpoints.class_count(weights), config.model)
    return opened(config, model, weights, LAYOUT.explain, device)


class Predictor:
    """Names what pictures show.

        predictor = Predictor.open("runs/classification")
        found = predictor(picture)
        predictor.describe(found)

    Args:
        model: as `open_model` gives it.
        config: how it was opened, and how pictures are brought to it.
        top: best classes that are listed.
    """

    def __init__(self, model: Opened[Classifier], config: ScoredConfig, top: int = TOP) -> None:
        self.opened, self.config = model, config
        self.classes = checkpoints.classes_or_numbers(model.weights, config.data.classes)
        self.top = min(top, len(self.classes))

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

    def __call__(self, picture: Picture | Path | str) -> Classification:
        """The classes of a picture (H, W, 3), uint8 RGB, or of a file.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the scores are not finite; the model is broken.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Picture | Path | str]) -> list[Classification]:
        """The classes of several pictures, which go through the network together."""
        crops = [self.crop(picture) for picture in pictures]
        found: list[Classification] = []
        # Crops are of one size, so that the groups are in the order of the pictures.
        for places in groups([crop.shape for crop in crops], self.config.engine.batch_size):
            images = self._batch([crops[place] for place in places])
            with self.opened.running():
                found += self._classified(scores(self.opened.network, images))
        return found

    def crop(self, picture: Picture | Path | str) -> Picture:
        """The part (S, S, 3) of a picture that the network is shown: its middle, scaled."""
        test = self.config.test
        return center_crop(
            picture_of(picture, self.config.data.orientation),
            test.input_size,
            test.crop,
            test.interpolation,
        )

    def draw(self, picture: Picture, found: Classification, title: str = "") -> Picture:
        """The middle of a picture (H, W, 3) under a title, with its best classes below."""
        return row([Panel(title, self.crop(picture), self.guesses(found))])

    def guesses(self, found: Classification) -> list[Guess]:
        """The best classes as people call them, the most probable first."""
        return [
            Guess(self.classes.titles[number], float(found.probabilities[number]))
            for number in found.best
        ]

    def describe(self, found: Classification) -> dict[str, Any]:
        """The best classes with name, title and probability, the most probable first."""
        return {
            "classes": [
                {
                    "class": self.classes.names[number],
                    "title": guess.title,
                    "probability": round(guess.probability, 6),
                }
                for number, guess in zip(found.best, self.guesses(found), strict=True)
            ]
        }

    def heat(
        self,
        picture: Picture | Path | str,
        number: int,
        method: Method = "cam",
        stage: Stage = "c5",
    ) -> NDArray[np.float32]:
        """Where the network sees the class of a number: (S, S) from 0 to 1, over `crop`.

        Args:
            picture: (H, W, 3), uint8 RGB, or a file.
            number: of the class.
            method: cam, or grad_cam for any stage.
            stage: of the backbone, whose features are weighed; cam knows c5 only.

        Raises:
            DamagedFile: the file cannot be read.
            ValueError: cam is asked for another stage.
        """
        if method == "cam" and stage != "c5":
            raise ValueError(f"stage is {stage}; cam knows c5 only, grad_cam every stage")
        model, images = self.opened.model, self._batch([self.crop(picture)])
        target = torch.tensor([number], device=self.opened.device)
        # Of the model as it was trained: gradients and fp32 are what the maps are defined by.
        if method == "cam":
            maps = cam(model, images, target)
        else:
            maps = grad_cam(model, images, target, stage)
        return self._heated(maps, stage)

    def heat_of(self, features: Tensor, number: int) -> NDArray[np.float32]:
        """`heat` by cam without the network: of the c5 (1, K, h, w) that `features` gave."""
        target = torch.tensor([number], device=features.device)
        return self._heated(cam_of(self.opened.model, features, target), "c5")

    def _heated(self, maps: Tensor, stage: Stage) -> NDArray[np.float32]:
        side = self.config.test.input_size
        stride = getattr(self.opened.model.backbone.strides, stage)
        shown: NDArray[np.float32] = heat(maps, (side, side), stride)[0]
        return shown

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        test = self.config.test
        return TrunkInput(
            trunk=fingerprint(self.opened.model.backbone),
            colour="RGB",
            mean=MEAN,
            std=STD,
            resize=f"short side {int(test.input_size / test.crop)}, {test.interpolation} by "
            f"Pillow, of which the middle {test.input_size} x {test.input_size}",
            padding="none",
            precision=self.opened.precision,
        )

    def features(self, picture: Picture | Path | str, trunk: Pass | None = None) -> Pyramid[Tensor]:
        """The first half of a call: what the trunk makes of a picture, in a batch of one.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        images, run = self._batch([self.crop(picture)]), trunk or self.opened.trunk
        with self.opened.running():
            return run(self.opened.layers.prepare(images))

    def answer(self, features: Pyramid[Tensor]) -> Classification:
        """The second half: the classes, from the features of a trunk with the same input."""
        with self.opened.running():
            return self._classified(_finite(self.opened.layers.answer(features)))[0]

    def _classified(self, logits: Tensor) -> list[Classification]:
        probabilities = logits.softmax(dim=1)
        best = probabilities.topk(self.top).indices
        rows = zip(probabilities.cpu().numpy(), best.cpu().numpy(), strict=True)
        return [Classification(*one) for one in rows]

    def _batch(self, crops: Sequence[Picture]) -> Tensor:
        stacked = np.stack([planes(crop) for crop in crops])
        return torch.from_numpy(stacked).to(self.opened.device)


def scores(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (B, K), float32, of centre crops (B, 3, S, S), RGB, 0..255.

    Raises:
        UserError: they are not finite; the model is broken.
    """
    return _finite(network(images))


def _finite(logits: Tensor) -> Tensor:
    logits = logits.float()
    if not torch.isfinite(logits).all():
        raise UserError("the model's scores are not finite: this checkpoint is of a failed run")
    return logits
