"""Pictures with segments: samples with their targets for training, whole pictures for scoring."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch.utils.data import Dataset

from common.errors import UserError
from common.reading import coco
from common.reading.annotations import read_picture
from common.reading.image import Picture, planes
from common.reading.left_out import LeftOut
from tasks.detection.annotations import Annotations
from tasks.detection.batches import AspectBatches, in_order
from tasks.detection.coco import from_records
from tasks.detection.data import as_tested
from tasks.detection.transforms import (
    Scene,
    View,
    draw,
    fitted,
    look,
    move_boxes,
    moved,
    visible,
)
from tasks.panoptic import sample
from tasks.panoptic.annotations import Split
from tasks.panoptic.cityscapes import read_cityscapes
from tasks.panoptic.coco import read_coco
from tasks.panoptic.config import Config, DataConfig
from tasks.panoptic.transforms import Places, semantic_map, things_of

AnyConfig = TypeVar("AnyConfig", bound=Config)

MOST_STUFF = 253
"""Classes of stuff that a label map and its counts have room for, beside the things."""


def read(config: Config, split: str) -> Split:
    """A split of --data.root, or of the generated sample set without one.

    Its classes are those of the config if it names any, in its order.

    Raises:
        UserError: files are missing or damaged, or a class is unknown.
    """
    data = config.data
    root = data.root or sample.sample_set()
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    if data.format == "cityscapes":
        found = read_cityscapes(root, split, data.on_error)
    else:
        found = read_coco(root, split, data.on_error, data.files(split))
    if data.things:
        found = found.select(data.things, data.stuff)
    if len(found.stuff) > MOST_STUFF:
        raise UserError(
            f"{found.file}: has {len(found.stuff)} classes of stuff, and {MOST_STUFF} are the most;"
            " name those that count with --data.things and --data.stuff"
        )
    return (
        replace(found, instances=_instances(root, split, found, data)) if data.instances else found
    )


def _instances(root: Path, split: str, found: Split, data: DataConfig) -> Annotations:
    """Outlines of the things of the same pictures, in their order."""
    every = from_records(coco.read(root, "instances", split), data.on_error)
    every = every.select(found.things)
    if len(every.outlines.missing()):
        raise UserError(
            f"{every.file}: has objects without an outline; leave out --data.instances, so that "
            "things are those of the PNG files"
        )
    return every.of_pictures(found.image_ids)


def with_classes(config: AnyConfig, split: Split) -> AnyConfig:
    """The config with its classes spelt out: a run says what its labels mean."""
    ids = {
        kind: tuple(one.id for one in split.categories if one.thing is kind)
        for kind in (True, False)
    }
    data = replace(
        config.data, things=split.things, stuff=split.stuff, thing_ids=ids[True],
        stuff_ids=ids[False],
    )  # fmt: skip
    return replace(config, data=data)


def order(split: Split, config: Config) -> AspectBatches | None:
    """The order of an epoch's samples, as `in_order` gives it; None means shuffled."""
    if not config.data.group_by_aspect:
        return None
    return in_order(split.sizes, config.engine.batch_size, config.engine.seed)


class TrainSet:
    """Pictures of a split as training samples; common.training.sampling draws from it.

    Crowds are left out of the things, and are things in the label map, as in the published code.
    """

    def __init__(self, split: Split, config: DataConfig) -> None:
        split.require_segments()
        self.split, self.config = split, config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.split)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """What the network learns of a picture.

        Image (3, H, W) bytes; of its things boxes (N, 4), labels (N,) from 1 on and masks (N, H, W)
        of 0 and 1; semantic (H, W), 0 for things, then the stuff, and 255; index.

        Raises:
            DamagedFile: the picture or its PNG cannot be read, or is not what is annotated.
        """
        split, config = self.split, self.config
        height, width = split.sizes[index].tolist()
        short_side = int(generator.choice(config.short_sides))
        view = View(
            (height, width),
            fitted((height, width), short_side, config.longest_side),
            mirrored=bool(generator.random() < config.flip_probability),
        )
        image = look(read_picture_of(split, index, config), view, resize=config.resize)
        places = moved(split.places(index), view)
        scene = visible(self._scene(index, image, places, view))
        labels = split.of(index).labels
        return {
            "image": planes(scene.image),
            "boxes": scene.boxes.astype(np.float32),
            "labels": scene.labels,
            "masks": scene.masks,
            "semantic": semantic_map(places, labels, len(split.things)),
            "index": index,
        }

    def _scene(self, index: int, image: Picture, places: Places, view: View) -> Scene:
        split = self.split
        if split.instances is None:
            return Scene(image, *things_of(places, split.of(index), len(split.things)))
        objects = split.instances.objects(index)
        kept = np.flatnonzero(~objects.crowd)
        outlines = [one for one in (objects.outlines[row] for row in kept) if one is not None]
        boxes = move_boxes(objects.boxes[kept], view)
        return Scene(image, boxes, objects.labels[kept], draw(outlines, view))


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole pictures of a split and their segments, for evaluation.

    A sample that cannot be read is None when config.on_error is "skip", and reported on stderr.
    """

    def __init__(self, split: Split, config: DataConfig) -> None:
        self.split, self.config = split, config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, h, w) bytes, index, original_size (2,), and places (H, W) of the segments."""
        with LeftOut(self.config.on_error):
            picture = read_picture_of(self.split, index, self.config)
            return {
                "image": as_tested(picture, self.config),
                "index": index,
                "original_size": self.split.sizes[index],
                "places": self.split.places(index).astype(np.int32),
            }
        return None


def read_picture_of(split: Split, index: int, config: DataConfig) -> Picture:
    """Picture (H, W, 3), RGB, in the size that its annotation says."""
    height, width = split.sizes[index].tolist()
    path = split.images[index]
    return read_picture(path, height, width, split.file, "RGB", config.orientation)
