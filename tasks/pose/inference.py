"""From a run to a predictor, and from people's boxes to their joints."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

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
    picture_of,
)
from common.errors import UserError
from common.reading.image import Picture
from common.training.distributed import choose_device
from tasks.pose.boxes import Box, Row, as_box, whole_picture
from tasks.pose.config import Config, ScoredConfig, ScoringConfig
from tasks.pose.draw import draw_people
from tasks.pose.metrics import decode, flip_back, rescore
from tasks.pose.model import LAYOUT, MEAN, STD, PoseModel, build
from tasks.pose.skeleton import SKELETONS
from tasks.pose.suppression import suppress
from tasks.pose.transforms import box_to_crop, crop_matrix, to_image, warp

Floats = NDArray[np.float64]


class People(NamedTuple):
    """The people of one picture, best first."""

    joints: Floats
    """(N, J, 3): x and y in pixels of the picture, and the score, the maximum of the heat map."""
    scores: Floats
    """(N,) of the persons: the box's score times the mean score of the joints."""
    boxes: list[Box]
    """The N boxes that the persons were found in."""


class Crop(NamedTuple):
    """A person as the network sees it."""

    image: Picture
    """(H, W, 3), in the recipe's colour order."""
    center: Floats
    """(2,) x and y in pixels of the picture."""
    extent: Floats
    """(2,) width and height in pixels of the picture."""
    box: Box


class Features(NamedTuple):
    """What the trunk makes of the people of a picture."""

    crops: list[Crop]
    pyramids: list[Pyramid[Tensor]]
    """Of batches of the crops; with --test.flip a batch's mirrored crops follow it."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[PoseModel]:
    """The trained model that the config names.

    Raises:
        UserError: it is missing, damaged or another model.
    """
    weights = trained.find(config, LAYOUT.translate)
    joints = SKELETONS[config.data.format].joints
    model = build(config.backbone, joints, config.model.head_channels)
    return opened(config, model, weights, LAYOUT.explain, device)


class Predictor:
    """Finds the joints of people in their boxes.

        predictor = Predictor.open("runs/pose")
        found = predictor(picture, [(40, 20, 60, 80)])
        predictor.draw(picture, found)

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[PoseModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config
        self.skeleton = SKELETONS[config.data.format]

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

    def __call__(
        self, picture: Picture | Path | str, boxes: Sequence[Box | Row] | None = None
    ) -> People:
        """The people in the boxes of a picture; of those found twice the better one.

        Args:
            picture: (H, W, 3), uint8 RGB, or a file.
            boxes: in pixels of the picture, or rows of x, y, width, height; None takes the whole
                picture as one person.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the heat maps are not finite; the model is broken.
            ValueError: a box is not four finite numbers with an area.
        """
        return self.many([picture], [boxes])[0]

    def many(
        self,
        pictures: Sequence[Picture | Path | str],
        boxes: Sequence[Sequence[Box | Row] | None] | None = None,
    ) -> list[People]:
        """The people of several pictures, which go through the network together.

        Args:
            pictures: as for a call.
            boxes: of each picture, as for a call; None takes every picture as one person.
        """
        chosen = [None] * len(pictures) if boxes is None else boxes
        cut = [self._cut(*both) for both in zip(pictures, chosen, strict=True)]
        crops = list(chain.from_iterable(cut))
        with self.opened.running():
            heatmaps = (self.opened.network(self._images(one)) for one in self._batches(crops))
            joints = self._joints(crops, heatmaps)
        each = np.split(joints, np.cumsum([len(part) for part in cut], dtype=int))
        return [self._people(*both) for both in zip(cut, each[:-1], strict=True)]

    def draw(self, picture: Picture | Path | str, found: People) -> Picture:
        """The picture (H, W, 3) with the skeletons of its people."""
        # The best person is drawn last, on top.
        threshold = self.config.test.joint_threshold
        return draw_people(
            picture_of(picture, self.config.data.orientation),
            found.joints[::-1],
            self.skeleton,
            threshold,
        )

    def describe(self, found: People) -> list[dict[str, Any]]:
        """Of each person the box (x, y, width, height), the score and the joints (x, y, score)."""
        return [
            {
                "box": list(box.xywh),
                "score": float(score),
                "keypoints": np.round(joints, 3).tolist(),
            }
            for joints, score, box in zip(*found, strict=True)
        ]

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture with the same boxes."""
        data = self.config.data
        height, width = data.input_size
        mirrored = ", and mirrored" if self.config.test.flip else ""
        return TrunkInput(
            trunk=fingerprint(self.opened.model.backbone),
            colour=data.colour,
            mean=MEAN,
            std=STD,
            resize=f"crops of boxes, {height} x {width}, enlarged by {data.padding}, {data.coding} "
            f"coding, bilinear{mirrored}",
            padding="black beyond the picture",
            precision=self.opened.precision,
        )

    def features(
        self,
        picture: Picture | Path | str,
        boxes: Sequence[Box | Row] | None = None,
        trunk: Pass | None = None,
    ) -> Features:
        """The first half of a call: what the trunk makes of the people of a picture.

        Args:
            picture: as for a call.
            boxes: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        crops, layers = self._cut(picture, boxes), self.opened.layers
        run = trunk or self.opened.trunk
        with self.opened.running():
            images = map(self._images, self._batches(crops))
            pyramids = [run(layers.prepare(batch)) for batch in images]
        return Features(crops, pyramids)

    def answer(self, features: Features) -> People:
        """The second half: the people, from the features of a trunk with the same input."""
        with self.opened.running():
            heatmaps = map(self.opened.layers.answer, features.pyramids)
            joints = self._joints(features.crops, heatmaps)
        return self._people(features.crops, joints)

    def _cut(self, picture: Picture | Path | str, boxes: Sequence[Box | Row] | None) -> list[Crop]:
        """The boxes of a picture as crops."""
        data, whole = self.config.data, picture_of(picture, self.config.data.orientation)
        chosen = [whole_picture(*whole.shape[:2])] if boxes is None else map(as_box, boxes)
        ordered = whole if data.colour == "RGB" else whole[:, :, ::-1].copy()
        crops = []
        for box in chosen:
            center, extent = box_to_crop(np.array(box.xywh), data.aspect, data.padding)
            matrix = crop_matrix(center, extent, 0.0, data.input_wh, data.unbiased)
            crops.append(Crop(warp(ordered, matrix, data.input_wh), center, extent, box))
        return crops

    def _batches(self, crops: Sequence[Crop]) -> list[list[Crop]]:
        """The crops in their order, as many together as the network is given at a time."""
        together = groups([crop.image.shape for crop in crops], self.config.engine.batch_size)
        return [[crops[place] for place in places] for places in together]

    def _images(self, crops: Sequence[Crop]) -> Tensor:
        """The network's input for a batch."""
        stacked = torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2)
        return views(stacked.to(self.opened.device), self.config.test)

    def _joints(self, crops: Sequence[Crop], heatmaps: Iterable[Tensor]) -> Floats:
        """Joints (N, J, 3) of the crops, from the heat maps of their batches."""
        found = [np.empty((0, self.skeleton.joints, 3))]
        for batch, maps in zip(self._batches(crops), heatmaps, strict=True):
            centers = np.stack([crop.center for crop in batch])
            extents = np.stack([crop.extent for crop in batch])
            found.append(joints_of(maps, centers, extents, self.config))
        return np.concatenate(found)

    def _people(self, crops: Sequence[Crop], joints: Floats) -> People:
        """One picture's people with their scores, without those found twice."""
        test = self.config.test
        scores = rescore(
            np.array([crop.box.score for crop in crops]), joints[..., 2], test.joint_threshold
        )
        areas = np.array([crop.extent.prod() for crop in crops])
        sigmas = np.array(self.skeleton.sigmas)
        kept, scores = suppress(joints[..., :2], scores, areas, sigmas, test)
        return People(joints[kept], scores, [crops[index].box for index in kept])


def estimate(
    model: nn.Module, images: Tensor, centers: Floats, extents: Floats, config: Config
) -> Floats:
    """Joints (B, J, 3) as x, y in pixels of the picture and score, of one crop per person.

    Args:
        model: in eval mode, on the images' device.
        images: crops (B, 3, H, W), bytes, in the recipe's colour order.
        centers: (B, 2) of the crops in the picture.
        extents: (B, 2) width and height of the crops in the picture.
        config: of the data (coding, sigma) and the test (flip, shift).

    Raises:
        UserError: the heat maps are not finite; the model is broken.
    """
    return joints_of(model(views(images, config.test)), centers, extents, config)


def views(images: Tensor, test: ScoringConfig) -> Tensor:
    """What the network is given of crops (B, 3, H, W): with flip, the mirrored ones behind them.

    Both in one forward pass, which is faster than two.
    """
    return torch.cat((images, images.flip(-1))) if test.flip else images


def joints_of(heatmaps: Tensor, centers: Floats, extents: Floats, config: Config) -> Floats:
    """Joints (B, J, 3) of the heat maps that the network draws of `views`.

    Raises:
        UserError: the heat maps are not finite; the model is broken.
    """
    skeleton, data = SKELETONS[config.data.format], config.data
    if config.test.flip:
        direct, mirrored = heatmaps.float().chunk(2)
        # In unbiased coding a mirrored crop's heat maps already lie where they should.
        shift = config.test.shift and not data.unbiased
        heatmaps = (direct + flip_back(mirrored, skeleton.flip_pairs, shift)) / 2
    # The decoding's products need more digits than a forward pass in bfloat16.
    with torch.autocast(heatmaps.device.type, enabled=False):
        decoded = decode(heatmaps, data.unbiased, sigma=data.sigma)
    points, scores = (part.cpu() for part in decoded)
    if not torch.isfinite(scores).all():
        raise UserError("the model's heat maps are not finite: this checkpoint is of a failed run")
    joints = np.empty((*scores.shape, 3))
    joints[..., 2] = scores
    for person, (center, extent) in enumerate(zip(centers, extents, strict=True)):
        joints[person, :, :2] = to_image(
            points[person].double().numpy(), center, extent, data.heatmap_wh, data.unbiased
        )
    return joints
