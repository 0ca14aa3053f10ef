"""Pictures with objects: samples with their targets for training, whole pictures for scoring."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from common.errors import UserError
from common.reading import coco, labelme, voc, yolo
from common.reading.annotations import read_picture
from common.reading.image import planes
from common.reading.left_out import LeftOut
from common.reading.records import Category
from common.reading.windows import MEAN_COLOUR
from tasks.detection import sample
from tasks.detection.annotations import Annotations
from tasks.detection.batches import in_order
from tasks.detection.coco import from_records
from tasks.detection.config import Config, DataConfig, PicturesConfig
from tasks.detection.transforms import (
    Picture,
    Scene,
    Size,
    View,
    boxes_of,
    draw,
    fitted,
    jittered,
    look,
    move_boxes,
    paste,
    visible,
)
from tasks.detection.voc import read_voc

AnyConfig = TypeVar("AnyConfig", bound=Config)


def read(config: Config, split: str) -> Annotations:
    """Annotations of a split of --data.root, or of the generated sample set without one.

    Their classes are those of the config if it names any, in its order.

    Raises:
        UserError: files are missing or damaged, a class is unknown, or masks are wanted of objects
            that have a box alone.
    """
    data = config.data
    annotations = _annotations(data, data.root or sample.sample_set(), split)
    if data.classes:
        annotations = annotations.select(data.classes)
    if data.masks:
        without = annotations.outlines.missing()
        if len(without):
            raise UserError(
                f"{annotations.file}: {len(without):,} of {len(annotations.ids):,} objects have no "
                f"'segmentation', first annotation {annotations.ids[without[0]]}; to use boxes "
                f"alone, say --data.masks false --model.detector {config.model.boxes_only}"
            )
    return annotations


def _annotations(data: DataConfig, root: Path, split: str) -> Annotations:
    """A split in the format that the config names."""
    files = data.files(split)
    match data.format:
        case "voc":
            return read_voc(root, split, data.on_error, data.orientation)
        case "coco":
            records = coco.read(root, "instances", split, files)
        case "yolo":
            records = yolo.read(root, split, files, data.on_error, orientation=data.orientation)
        case "labelme":
            classes = data.classes or voc.own_classes(root) or ()
            records = labelme.read(
                root, split, files, data.on_error, classes, orientation=data.orientation
            )
    known = zip(data.category_ids, data.classes, strict=False)
    return from_records(records, data.on_error, [Category(*one) for one in known])


def with_classes(config: AnyConfig, annotations: Annotations) -> AnyConfig:
    """The config with its classes spelt out: a run says what its labels mean."""
    ids = tuple(category.id for category in annotations.categories)
    return replace(config, data=replace(config.data, classes=annotations.classes, category_ids=ids))


def with_names(config: AnyConfig) -> AnyConfig:
    """The config with the names of its classes; a checkpoint from elsewhere does not bring them.

    Raises:
        UserError: neither --data.classes nor --data.root says them.
    """
    if config.data.classes:
        return config
    if config.data.root is None:
        raise UserError(
            "--data.classes is missing: the checkpoint does not say what its classes are; list "
            "them, or give the --data.root that it was trained on"
        )
    return with_classes(config, read(config, config.data.val_split))


class TrainSet:
    """Pictures of a split as training samples; common.training.sampling draws from it.

    Crowds are left out of the targets, as in the published code: what a network finds there counts
    as wrong in training, though not in a score.
    """

    def __init__(self, annotations: Annotations, config: DataConfig) -> None:
        annotations.require_objects()
        self.annotations = annotations
        self.config = config
        pictures = np.repeat(np.arange(len(annotations)), np.diff(annotations.starts))
        self.populated = np.unique(pictures[~annotations.crowd])
        """Rows of the pictures with objects, crowds apart."""
        self.rows = np.arange(len(annotations)) if config.keep_empty else self.populated
        """Rows of the pictures that are trained on."""

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.rows)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, H, W) bytes, boxes (N, 4), labels (N,), masks (N, H, W) of 0 and 1, image_id.

        Boxes are left, top, right, bottom in pixels of the image; masks are there if the config has
        them. N may be 0. Raises DamagedFile when the picture cannot be read.
        """
        row = int(self.rows[index])
        scene = self._scene(row, generator)
        if generator.random() < self.config.copy_paste_probability:
            # A random half of the objects of a random picture.
            other = int(generator.choice(self.populated))
            scene = paste(scene, self._scene(other, generator, share=0.5))
        scene = visible(scene)
        sample = {
            "image": planes(scene.image),
            "boxes": scene.boxes.astype(np.float32),
            "labels": scene.labels,
            "image_id": int(self.annotations.image_ids[row]),
        }
        return sample if scene.masks is None else {**sample, "masks": scene.masks}

    def _scene(self, row: int, generator: np.random.Generator, share: float = 1.0) -> Scene:
        annotations, config = self.annotations, self.config
        height, width = annotations.sizes[row].tolist()
        view = self._view((height, width), generator)
        picture = read_picture_of(annotations, row, config)
        image = look(picture, view, _padding(config), config.resize)
        objects = annotations.objects(row)
        kept = ~objects.crowd & (generator.random(len(objects)) < share)
        boxes, masks = move_boxes(objects.boxes[kept], view), None
        if config.masks:
            outlines = [objects.outlines[place] for place in np.flatnonzero(kept)]
            masks = draw([one for one in outlines if one is not None], view)
            # A box that was cut off need not be tight around what is left of its object.
            boxes = boxes_of(masks) if view.window is not None else boxes
        return Scene(image, boxes, objects.labels[kept], masks)

    def _view(self, stored: tuple[int, int], generator: np.random.Generator) -> View:
        config = self.config
        if config.jitter is not None:
            view = jittered(stored, config.crop_size, config.jitter, generator)
        else:
            short_side = int(generator.choice(config.short_sides))
            view = View(stored, fitted(stored, short_side, config.longest_side))
        return replace(view, mirrored=bool(generator.random() < config.flip_probability))


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole pictures of a split, with objects or without, for evaluation.

    A sample that cannot be read is None when config.on_error is "skip", and reported on stderr.
    """

    def __init__(self, annotations: Annotations, config: DataConfig) -> None:
        self.annotations = annotations
        self.config = config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.annotations)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, H, W) bytes, image_id, original_size (2,): height and width as stored."""
        with LeftOut(self.config.on_error):
            picture = read_picture_of(self.annotations, index, self.config)
            return {
                "image": as_tested(picture, self.config),
                "image_id": int(self.annotations.image_ids[index]),
                "original_size": self.annotations.sizes[index],
            }
        return None


def as_tested(picture: Picture, config: PicturesConfig) -> Picture:
    """A picture (H, W, 3) as planes (3, h, w) of the size that is tested."""
    height, width = picture.shape[:2]
    view = View((height, width), tested_size(picture, config))
    return planes(look(picture, view, resize=config.resize))


def tested_size(picture: Picture, config: PicturesConfig) -> Size:
    """Height and width in which a picture (H, W, 3) is tested."""
    height, width = picture.shape[:2]
    return fitted((height, width), config.test_short_side, config.longest_side)


def order(
    dataset: TrainSet, batch_size: int, seed: int
) -> Callable[[int], NDArray[np.int64]] | None:
    """The order of an epoch's samples, as `batches.in_order` gives it; None means shuffled."""
    if not dataset.config.group_by_aspect:
        return None
    return in_order(dataset.annotations.sizes[dataset.rows], batch_size, seed)


def read_picture_of(annotations: Annotations, row: int, config: DataConfig) -> Picture:
    """Picture (H, W, 3), in the size that its annotation says."""
    height, width = annotations.sizes[row].tolist()
    path, file = annotations.images[row], annotations.file
    return read_picture(path, height, width, file, config.colour, config.orientation)


def _padding(config: DataConfig) -> tuple[int, ...]:
    return MEAN_COLOUR if config.colour == "RGB" else MEAN_COLOUR[::-1]
