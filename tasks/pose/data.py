"""Data sets of single persons: a crop of a picture with its targets, or with the way back."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from common.reading import image as pictures
from common.reading import labelme, yolo
from common.reading.annotations import read_picture
from common.reading.image import planes
from common.reading.left_out import LeftOut
from tasks.pose import sample
from tasks.pose.annotations import Annotations, Boxes
from tasks.pose.coco import from_records, read_boxes, read_coco
from tasks.pose.config import Config, DataConfig
from tasks.pose.mpii import read_mpii
from tasks.pose.skeleton import COCO
from tasks.pose.transforms import (
    Augmentation,
    Pose,
    augment,
    box_to_crop,
    crop,
    gaussian_heatmaps,
)

__all__ = [
    "Annotations", "Boxes", "ScoringSet", "TrainSet", "read", "read_boxes", "read_coco",
]  # fmt: skip
_PERSON = "person"
"""Label of persons in LabelMe's files."""


def read(config: Config, split: str) -> Annotations:
    """The persons of a split of --data.root, or of the generated sample set without one.

    Raises:
        UserError: files are missing, damaged or in another format.
    """
    data, root = config.data, config.data.root or sample.sample_set()
    files, on_error = data.files(split), data.on_error
    match data.format:
        case "mpii":
            return read_mpii(root, split, on_error)
        case "coco":
            return read_coco(root, split, on_error, files)
        case "yolo":
            reread = partial(
                yolo.read, root, split, files, on_error, COCO.mirrored, data.orientation
            )
        case "labelme":
            reread = partial(
                labelme.read, root, split, files, on_error, (_PERSON,), COCO.names, data.orientation
            )
    return from_records(reread, on_error)


class TrainSet:
    """Persons of an annotation file as training samples; common.training.sampling draws from it."""

    def __init__(self, annotations: Annotations, config: DataConfig) -> None:
        annotations.require_persons()
        self.annotations = annotations
        self.config = config
        self.augmentation = Augmentation(
            scale_factor=config.scale_factor,
            rotation=config.rotation,
            rotation_probability=config.rotation_probability,
            flip_probability=config.flip_probability,
            half_body_probability=config.half_body_probability,
        )

    def __len__(self) -> int:
        """Number of persons."""
        return len(self.annotations)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, H, W) bytes, heatmaps (J, h, w), weights (J,), index.

        Raises DamagedFile when the picture cannot be read or is not the annotated one.
        """
        annotations, config = self.annotations, self.config
        picture = read_picture_of(annotations, int(annotations.image_ids[index]), config)
        joints = annotations.joints[index]
        center, extent = box_to_crop(annotations.boxes[index], config.aspect, config.padding)
        pose = augment(
            Pose(joints[:, :2], joints[:, 2], center, extent),
            picture.shape[1],
            config.aspect,
            annotations.skeleton,
            self.augmentation,
            generator,
        )
        image, points = crop(picture, pose, config.input_wh, config.unbiased)
        heatmaps, weights = gaussian_heatmaps(
            points, pose.visible, config.heatmap_wh, config.input_wh, config.sigma, config.unbiased
        )
        return {"image": planes(image), "heatmaps": heatmaps, "weights": weights, "index": index}


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Upright crops of annotated persons, or of a detector's boxes, for evaluation.

    A sample that cannot be read is None when config.on_error is "skip", and reported on stderr.
    """

    def __init__(
        self, annotations: Annotations, config: DataConfig, boxes: Boxes | None = None
    ) -> None:
        self.annotations = annotations
        self.config = config
        self.image_ids = annotations.image_ids if boxes is None else boxes.image_ids
        self.boxes = annotations.boxes if boxes is None else boxes.boxes
        # With annotated boxes the published code scores a person by its joints alone.
        self.scores = np.ones(len(annotations)) if boxes is None else boxes.scores
        self.annotated = boxes is None

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.boxes)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, H, W) bytes, center (2,) and extent (2,) of the crop, score, ids.

        `annotation` is the row of the annotations, -1 for a detector's box.
        """
        with LeftOut(self.config.on_error):
            return self._sample(index)
        return None

    def _sample(self, index: int) -> dict[str, Any]:
        image_id = int(self.image_ids[index])
        picture = read_picture_of(self.annotations, image_id, self.config)
        center, extent = box_to_crop(self.boxes[index], self.config.aspect, self.config.padding)
        nothing = np.empty((0, 2))
        pose = Pose(nothing, nothing[:, 0], center, extent)
        image, _ = crop(picture, pose, self.config.input_wh, self.config.unbiased)
        return {
            "image": planes(image),
            "center": center,
            "extent": extent,
            "score": float(self.scores[index]),
            "image_id": image_id,
            "annotation": index if self.annotated else -1,
            "index": index,
        }


def read_picture_of(
    annotations: Annotations, image_id: int, config: DataConfig
) -> NDArray[np.uint8]:
    """Picture (H, W, 3), in the size that its annotation says."""
    path = annotations.images[image_id]
    if image_id not in annotations.sizes:
        return pictures.read(path, config.colour, config.orientation)
    width, height = annotations.sizes[image_id]
    return read_picture(path, height, width, annotations.file, config.colour, config.orientation)
