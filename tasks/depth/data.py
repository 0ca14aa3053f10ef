"""Data sets of pictures with depth: a random crop for training, the whole for evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from common.errors import DamagedFile, UserError
from common.reading import image as pictures
from common.reading.image import planes
from common.reading.left_out import LeftOut
from common.reading.orientation import other_way
from common.reading.pairs import Pair, fingerprint, from_folders, naming
from common.reading.windows import Window
from tasks.depth import lists, metrics, sample
from tasks.depth.config import Config, DataConfig
from tasks.depth.lists import Item, Listing
from tasks.depth.maps import MAPS, read_depth
from tasks.depth.transforms import KB_SIZE, Sample, augment, cut, fitted, kb_window


@dataclass(frozen=True)
class Split:
    """The pictures of a split, and how their depth maps are read."""

    name: str
    items: list[Item]
    without: int
    """Pictures of the list that have no depth map, and are neither learnt nor scored."""
    config: DataConfig

    def __len__(self) -> int:
        """Number of pictures with a depth map."""
        return len(self.items)

    @property
    def files(self) -> list[Path]:
        """The pictures."""
        return [item.pair.image for item in self.items]

    @property
    def pairs(self) -> list[Pair]:
        """Pictures and depth maps."""
        return [item.pair for item in self.items]

    def focal(self, index: int) -> float | None:
        """Focal length in pixels, as the list or the settings tell it."""
        own = self.items[index].focal
        return self.config.focal if own is None else own

    def read(self, index: int) -> Sample:
        """A picture with its depth in metres, whole.

        Raises:
            DamagedFile: one of them cannot be read, holds no depth, or they differ in size.
        """
        pair = self.items[index].pair
        image = pictures.read(pair.image, orientation=self.config.orientation)
        depth = read_depth(pair.label, self.config)
        if image.shape[:2] != depth.shape:
            sideways = image.shape[:2] == depth.shape[::-1]
            turned = other_way(pair, self.config.orientation) if sideways else ""
            raise DamagedFile(
                f"{pair.label}: has {depth.shape[1]}x{depth.shape[0]} pixels, its picture "
                f"{pair.image} has {image.shape[1]}x{image.shape[0]}"
                + (turned or "; resize one of them, depth by its nearest pixels")
            )
        return Sample(image, depth)

    def summary(self) -> str:
        """One line: what was read."""
        without = f"; {self.without:,} more have no depth and do not count" if self.without else ""
        named = naming(self.pairs) if self.config.format == "folders" else ""
        return f"{self.name}: {len(self):,} pictures{without}{named}"

    def fingerprint(self) -> str:
        """sha256 over the names of the pictures and the bytes of their depth maps."""
        return fingerprint(self.pairs)


def root_of(config: Config) -> Path:
    """--data.root, or the folder of the generated sample set without one."""
    return config.data.root or sample.sample_set()


def read(config: Config, split: str) -> Split:
    """A split of the data set; its first sample is read, as a check of the settings.

    Raises:
        UserError: files are missing, or the network needs a focal length that nobody tells.
        DamagedFile: the first sample cannot be used.
    """
    root, data = root_of(config), config.data
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    items, without = _listing(root, split, data)
    found = Split(split, items, without, data)
    unknown = sum(found.focal(index) is None for index in range(len(found)))
    if config.model.focal_reference and unknown:
        raise UserError(
            f"--model.focal_reference {config.model.focal_reference:g}: the focal length of "
            f"{unknown:,} of {len(found):,} pictures of {split} is not known; write it into the "
            "list's third column, or say --data.focal"
        )
    if data.on_error == "stop":
        _require_settings(found, config)
    return found


def _require_settings(split: Split, config: Config) -> None:
    """Refuse settings that do not fit a split's first sample, before anything is trained."""
    first = split.read(0)
    if config.data.kb_crop:
        window = required_kb(split.files[0], first)
        first = cut(first, window) if config.test.kb == "cut" else first
    if split.name == config.data.val_split:
        try:
            metrics.window(config.test.crop, *first.depth.shape)
        except ValueError as error:
            raise UserError(str(error)) from None


def _listing(root: Path, split: str, data: DataConfig) -> Listing:
    images = data.image_folder.replace("{split}", split)
    depths = data.depth_folder.replace("{split}", split)
    if data.format == "list":
        return lists.read_list(lists.find(root, split), root, images, depths)
    for flag, name in (("image_folder", images), ("depth_folder", depths)):
        if not (root / name).is_dir():
            there = sorted(path.name for path in root.glob("*/"))
            raise UserError(
                f"--data.{flag} {getattr(data, flag)}: {root / name}: no such folder; {root} has "
                f"{', '.join(there[:8]) or 'none'}"
            )
    pairs = from_folders(root / images, root / depths, label_kind=MAPS)
    return Listing([Item(pair, None) for pair in pairs], 0)


class TrainSet:
    """Pictures of a split as training samples; common.training.sampling draws from it."""

    def __init__(self, split: Split, config: DataConfig) -> None:
        self.split, self.config = split, config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.split)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, h, w) bytes, depth (h, w) in metres, focal length (0: not known), index.

        h and w are those of the crop. Raises DamagedFile when the picture or its depth map cannot
        be read.
        """
        whole = self.split.read(index)
        if self.config.kb_crop:
            whole = cut(whole, required_kb(self.split.files[index], whole))
        height, width = whole.depth.shape
        top, left, bottom, right = self.config.border
        if top + bottom >= height or left + right >= width:
            raise DamagedFile(
                f"{self.split.files[index]}: has {width}x{height} pixels, of which --data.border "
                f"{list(self.config.border)} leaves none"
            )
        varied = augment(whole, self.config, generator)
        return {
            "image": planes(varied.image),
            "depth": np.ascontiguousarray(varied.depth),
            "focal": np.float32(self.split.focal(index) or 0.0),
            "index": index,
        }


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole pictures and their depth, for evaluation.

    A sample that cannot be read is None when on_error is "skip", and reported on stderr.
    """

    def __init__(self, split: Split, config: Config) -> None:
        self.split, self.config = split, config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """What the network is given, and what its answer is scored by.

        Image (3, h, w) bytes, in the size that the network takes; shown (2,), the height and width
        that it shows of the ground truth, from place (2,) on; depth (H, W) in metres; focal length
        (0: not known); index.
        """
        data = self.config.data
        with LeftOut(data.on_error):
            sample = self.split.read(index)
            place, shown = (0, 0), sample
            if data.kb_crop:
                rows, columns = required_kb(self.split.files[index], sample)
                shown = cut(sample, (rows, columns))
                if self.config.test.kb == "cut":
                    sample = shown
                else:
                    place = (rows.start, columns.start)
            return {
                "image": planes(fitted(shown, data.short_side).image),
                "shown": np.array(shown.depth.shape),
                "place": np.array(place),
                "depth": np.ascontiguousarray(sample.depth),
                "focal": np.float32(self.split.focal(index) or 0.0),
                "index": index,
            }
        return None


def required_kb(file: Path, sample: Sample) -> Window:
    """The part of a picture that --data.kb_crop takes; raises DamagedFile if it is too small."""
    window = kb_window(*sample.depth.shape)
    if window is None:
        height, width = sample.depth.shape
        raise DamagedFile(
            f"{file}: has {width}x{height} pixels, and --data.kb_crop takes "
            f"{KB_SIZE[1]}x{KB_SIZE[0]} of them; leave it out for data other than KITTI"
        )
    return window
