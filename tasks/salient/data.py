"""Data sets of pictures and masks: inputs with their targets, or with the mask to be scored by."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from common.errors import DamagedFile, UserError
from common.reading import image as pictures
from common.reading.image import planes
from common.reading.left_out import LeftOut
from common.reading.orientation import Orientation, other_way
from common.reading.pairs import Pair
from tasks.salient import sample, sets
from tasks.salient.config import Config, DataConfig
from tasks.salient.metrics import OBJECT
from tasks.salient.sets import PictureSet
from tasks.salient.transforms import Augmentation, augment, fit, fit_edges, fit_mask, in_training

COLOUR_TOLERANCE = 16
"""Levels by which the channels of a grey JPEG may differ."""
UNLABELLED = 64
"""Level of an edge map that is neither edge nor background: padding."""


def root_of(config: Config) -> Path:
    """--data.root, or the folder of the generated sample set without one."""
    return config.data.root or sample.sample_set()


def read_training(config: Config) -> tuple[PictureSet, PictureSet | None]:
    """The set that is trained on, and the set of edge maps if the model has an edge branch.

    Raises:
        UserError: one cannot be found.
    """
    root = root_of(config)
    training = sets.find("--data.train_set", config.data.train_set, root)
    if not config.model.edge:
        return training, None
    return training, sets.find("--data.edge_set", config.data.edge_set, root)


def read(config: Config) -> list[PictureSet]:
    """The sets that are scored.

    Raises:
        UserError: one cannot be found, or two have one name.
    """
    sources, root = config.data.test_sets, root_of(config)
    found = [sets.find("--data.test_sets", source, root) for source in sources]
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise UserError(
            f"--data.test_sets {list(sources)}: two sets have one name ({', '.join(names)}); name "
            "them as NAME=PICTURES:MASKS"
        )
    return found


class TrainSet:
    """Pictures with masks as training samples; common.training.sampling draws from it.

    With an edge set, each sample also has a picture with its edge map. Both sets are gone through
    side by side, the smaller one again and again, as published.
    """

    def __init__(
        self, saliency: PictureSet, config: DataConfig, edges: PictureSet | None = None
    ) -> None:
        self.saliency, self.edges, self.config = saliency, edges, config
        self.augmentation = Augmentation(config.flip_probability, config.least_crop, config.light)

    def __len__(self) -> int:
        """Number of pictures of the larger set."""
        return max(len(self.saliency), len(self.edges or ()))

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, H, W), mask and valid (1, H, W), all bytes; valid is 0 in the padding.

        With an edge set also edge_image (3, h, w) and edge_map (1, h, w).

        Raises DamagedFile for a picture or mask that cannot be read or used.
        """
        config = self.config
        image, mask = read_pair(self.saliency.pairs[index % len(self.saliency)], config)
        image, mask = augment(image, mask, self.augmentation, generator)
        everywhere = np.full_like(mask, 1)
        how = in_training(config.fit), config.input_size, config.resampling
        sample = {
            "image": planes(fit(image, *how).image),
            "mask": fit_mask(mask, *how)[None],
            "valid": fit_mask(everywhere, *how)[None],
            "index": index,
        }
        if self.edges is not None:
            sample |= self._edges(self.edges.pairs[index % len(self.edges)])
        return sample

    def _edges(self, pair: Pair) -> dict[str, Any]:
        config = self.config
        image, edges = read_edges(pair, config)
        how = in_training(config.fit)
        edges = fit_edges(edges, how, config.input_size, UNLABELLED)
        image = fit(image, how, config.input_size, config.resampling).image
        return {"edge_image": planes(image), "edge_map": edges[None]}


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Pictures to be scored by their masks.

    A sample that cannot be read is None when config.on_error is "skip", and reported on stderr.
    """

    def __init__(self, saliency: PictureSet, config: DataConfig) -> None:
        self.saliency, self.config = saliency, config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.saliency)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, H, W), bytes; rows and columns that show it; the mask's bytes and its size.

        Masks keep their own size, so a batch has them as strings of bytes.
        """
        config, pair = self.config, self.saliency.pairs[index]
        with LeftOut(config.on_error):
            image = pictures.read(pair.image, config.colour, config.orientation)
            mask = read_mask(pair.label, config.allow_empty, config.orientation)
            _require_unturned(pair, image, mask, config)
            fitted = fit(image, config.fit, config.input_size, config.resampling)
            return {
                "image": planes(fitted.image),
                "rows": fitted.rows,
                "columns": fitted.columns,
                "mask": mask.tobytes(),
                "mask_size": np.array(mask.shape),
                "same_size": image.shape[:2] == mask.shape,
                "index": index,
            }
        return None


def read_pair(pair: Pair, config: DataConfig) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture (H, W, 3) in the config's colour order and its mask (H, W) of the same size."""
    image = pictures.read(pair.image, config.colour, config.orientation)
    mask = read_mask(pair.label, config.allow_empty, config.orientation)
    _require_same_size(pair, image, mask, config)
    return image, mask


def read_edges(pair: Pair, config: DataConfig) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture (H, W, 3) in the config's colour order and its edge map (H, W) of the same size."""
    image = pictures.read(pair.image, config.colour, config.orientation)
    edges = read_map(pair.label, config.orientation)
    _require_levels(pair.label, edges, 1)
    _require_same_size(pair, image, edges, config)
    return image, edges


def read_map(path: Path, orientation: Orientation | None = None) -> NDArray[np.uint8]:
    """Map (H, W), 0..255, from any file whose channels are equal.

    Raises:
        DamagedFile: it cannot be read, has colours (as a palette has), or levels of 8 bits in 16.
    """
    picture = pictures.read(path, orientation=orientation)
    first = np.ascontiguousarray(picture[:, :, 0])
    for channel in (1, 2):
        difference = int(np.abs(first.astype(np.int16) - picture[:, :, channel]).max())
        if difference > COLOUR_TOLERANCE:
            raise DamagedFile(
                f"{path}: a mask must be grey, this one has colours (channels differ by "
                f"{difference}; a palette?); save it as grey, 0 for background and 255 for objects"
            )
    if first.max() <= 1:
        _require_darkness(path)
    return first


def _require_darkness(path: Path) -> None:
    """Raise DamagedFile if a map is black only because its levels are those of 8 bits in 16."""
    stored = pictures.stored(path)
    if stored.dtype == np.uint16 and 0 < stored.max() <= 255:
        raise DamagedFile(
            f"{path}: has 16 bits of which levels up to {stored.max()} are used, where white is "
            "65535; save it with 8 bits"
        )


def read_mask(
    path: Path, allow_empty: bool = False, orientation: Orientation | None = None
) -> NDArray[np.uint8]:
    """Mask (H, W), 0..255, from any file whose channels are equal.

    Raises:
        DamagedFile: it cannot be read, has colours (as a palette has), is black all over, or is so
            dark that no level counts as an object.
    """
    mask = read_map(path, orientation)
    _require_levels(path, mask, OBJECT)
    if not mask.any() and not allow_empty:
        raise DamagedFile(
            f"{path}: is black all over, no object is marked; take the picture out, or say "
            "--data.allow_empty true if it is meant so"
        )
    return mask


def _require_levels(path: Path, levels: NDArray[np.uint8], dark: int) -> None:
    """Raise DamagedFile for a picture that is not black all over but nowhere lighter than dark."""
    greatest = int(levels.max())
    if greatest == 1:
        raise DamagedFile(
            f"{path}: holds levels 0 and 1; a mask goes up to 255: multiply it by 255"
        )
    if 0 < greatest <= dark:
        raise DamagedFile(
            f"{path}: its lightest level is {greatest} and nothing up to {dark} counts as an "
            "object; a mask goes up to 255: stretch its levels"
        )


def _require_same_size(
    pair: Pair, image: NDArray[np.uint8], mask: NDArray[np.uint8], config: DataConfig
) -> None:
    _require_unturned(pair, image, mask, config)
    if image.shape[:2] != mask.shape:
        (height, width), (rows, columns) = image.shape[:2], mask.shape
        raise DamagedFile(
            f"{pair.label}: has {columns}x{rows} pixels, its picture {pair.image.name} "
            f"{width}x{height}; training needs equal sizes: replace one, or say "
            "--data.on_error skip"
        )


def _require_unturned(
    pair: Pair, image: NDArray[np.uint8], mask: NDArray[np.uint8], config: DataConfig
) -> None:
    """Refuse a mask that lies on its side as seen from the picture; another scale is no matter."""
    (height, width), (rows, columns) = image.shape[:2], mask.shape
    if (height, width) == (columns, rows) != (rows, columns):
        way = other_way(pair, config.orientation)
        raise DamagedFile(
            f"{pair.label}: has {columns}x{rows} pixels, its picture {pair.image.name} "
            f"{width}x{height}; one of them was turned" + (way or "; turn it back, or replace one")
        )
