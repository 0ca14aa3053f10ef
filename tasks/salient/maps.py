"""Folders of maps that exist already, from any code, to be scored without a model."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from common.errors import DamagedFile, UserError
from common.reading.image import pictures_in
from common.reading.left_out import LeftOut
from tasks.salient.config import DataConfig
from tasks.salient.data import read_map, read_mask
from tasks.salient.metrics import measure
from tasks.salient.sets import PictureSet
from tasks.salient.transforms import scale


class MapSet(Dataset[dict[str, Any] | None]):
    """Maps measured by their masks: what `metrics.Measured` holds, as arrays.

    A map of another size is resized to its mask.
    """

    def __init__(self, saliency: PictureSet, maps: Sequence[Path], config: DataConfig) -> None:
        self.saliency, self.maps, self.config = saliency, maps, config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.saliency)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """One measured map, or None for one that cannot be read and may be skipped."""
        with LeftOut(self.config.on_error):
            config, label = self.config, self.saliency.pairs[index].label
            mask = read_mask(label, config.allow_empty, config.orientation)
            predicted = read_map(self.maps[index], config.orientation)
            _require_upright(self.maps[index], predicted.shape, mask.shape)
            measured = measure(scale(predicted, mask.shape), mask)
            same_size = predicted.shape == mask.shape
            return {**measured._asdict(), "same_size": same_size, "lightest": predicted.max()}
        return None


def require_levels(folder: Path, pictures: PictureSet, lightest: Sequence[int]) -> None:
    """Refuse maps of 0 and 1; a single one may be so faint, all of a set are not.

    Args:
        folder: of the maps, for the message.
        pictures: the set.
        lightest: greatest level of each map, 0..255.
    """
    if max(lightest, default=0) == 1:
        raise UserError(
            f"--maps {folder}: the maps of {pictures.name} hold levels 0 and 1 only; a map goes up "
            "to 255: multiply them by 255"
        )


def _require_upright(path: Path, size: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Refuse a map made of a picture that was turned as its camera says, and its mask was not."""
    if size == wanted[::-1] != wanted:
        raise DamagedFile(
            f"{path}: is {size[1]}x{size[0]} pixels and its mask {wanted[1]}x{wanted[0]}: the map "
            "lies on its side; make it of the picture as it is stored, without its EXIF orientation"
        )


def find(folder: Path, suffix: str, saliency: PictureSet, alone: bool) -> list[Path]:
    """The map of each picture of a set.

    Args:
        folder: holds the maps, or a folder named like the set that does.
        suffix: what a map's name has behind the picture's, such as "_sal_fuse".
        saliency: the pictures.
        alone: whether this is the only set, whose maps may lie in the folder itself.

    Raises:
        UserError: the folder does not exist, maps are missing, or names are no longer unique
            without their folders and endings.
    """
    place = folder / saliency.name
    if not place.is_dir():
        if not alone or not folder.is_dir():
            raise UserError(f"--maps {folder}: no folder {place} with the maps of this set")
        place = folder
    maps = pictures_in(place)
    present = {path.stem: path for path in maps}
    names = [pair.image.stem + suffix for pair in saliency.pairs]
    _require_one_each(place, f"pictures of {saliency.name}", names)
    _require_one_each(place, "maps", [path.stem for path in maps])
    missing = [name for name in names if name not in present]
    if missing:
        raise UserError(
            f"--maps {place}: no map for {len(missing)} of the {len(names)} pictures of "
            f"{saliency.name}, such as {missing[0]}.png{_hint(missing[0], suffix, present)}"
        )
    return [present[name] for name in names]


def _require_one_each(place: Path, kind: str, names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError(
            f"--maps {place}: several {kind} are called {twice[0]}, so that it is not clear which "
            "map is whose; give each a name of its own"
        )


def _hint(missing: str, suffix: str, present: dict[str, Path]) -> str:
    """What to say if the map is there under a longer name, or in another case."""
    stem = missing.removesuffix(suffix)
    for name in present:
        if name.startswith(stem) and name != stem + suffix:
            return f"; {present[name].name} is there: say --map_suffix '{name.removeprefix(stem)}'"
        if name.lower() == missing.lower():
            return f"; {present[name].name} differs in case: rename it"
    return ""
