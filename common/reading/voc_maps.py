"""Pictures and label maps in VOC's layout, and what SBD adds to it: of classes, or of objects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from common.errors import UserError
from common.reading import voc
from common.reading.annotations import missing_files
from common.reading.pairs import Pair

AUGMENTED = "trainaug"
"""The training set of nearly all published results: VOC's train, and SBD but for VOC's val."""

Maps = Literal["Class", "Object"]
"""What the numbers in the maps stand for."""

_SBD_FOLDERS: dict[Maps, str] = {"Class": "cls", "Object": "inst"}
_KIND = "Segmentation"
_OTHERWISE = "say another --data.format if it has another layout"


def read_voc(root: Path, split: str, sbd: Path | None, maps: Maps = "Class") -> list[Pair]:
    """Pairs of `ImageSets/Segmentation/{split}.txt` under a root such as VOCdevkit/VOC2012.

    The split trainaug is put together from VOC's train and val and from SBD's train and val; of
    pictures that both have labels for, VOC's are taken. Without `sbd` it is read from its own list
    and the folder SegmentationClassAug (or SegmentationObjectAug), for those who have converted it.

    Raises:
        UserError: the layout is another one, or files are missing.
    """
    if split == AUGMENTED and sbd is not None:
        return _augmented(root, sbd, maps)
    hint = "; --data.sbd benchmark_RELEASE/dataset makes it" if split == AUGMENTED else ""
    file = voc.list_file(root, _KIND, split, _OTHERWISE, hint)
    folder = f"Segmentation{maps}" + ("Aug" if split == AUGMENTED else "")
    pairs = [_pair(root, name, root / folder / f"{name}.png") for name in voc.names(file)]
    _require_files(pairs, file)
    return pairs


def read_sbd(root: Path, split: str, maps: Maps) -> list[Pair]:
    """Pairs of SBD's own list of a split, under a root such as benchmark_RELEASE/dataset.

    Raises:
        UserError: the layout is another one, or files are missing.
    """
    folder = _sbd_folder(root, maps, "--data.root")
    file = root / f"{split}.txt"
    names = voc.names(file)
    pairs = [Pair(root / "img" / f"{name}.jpg", folder / f"{name}.mat") for name in names]
    _require_files(pairs, file)
    return pairs


def _sbd_folder(sbd: Path, maps: Maps, flag: str) -> Path:
    name = _SBD_FOLDERS[maps]
    if not (sbd / name).is_dir():
        inside = sbd / "dataset"
        hint = f"say {flag} {inside}" if (inside / name).is_dir() else "is it unpacked?"
        raise UserError(f"{flag} {sbd}: has no folder {name} with .mat files; {hint}")
    return sbd / name


def _augmented(root: Path, sbd: Path, maps: Maps) -> list[Pair]:
    folder = _sbd_folder(sbd, maps, "--data.sbd")
    own, held_out = (
        voc.names(voc.list_file(root, _KIND, split, _OTHERWISE)) for split in ("train", "val")
    )
    added = [name for part in ("train", "val") for name in voc.names(sbd / f"{part}.txt")]
    pairs = {name: _pair(root, name, folder / f"{name}.mat") for name in added}
    pairs |= {name: _pair(root, name, root / f"Segmentation{maps}" / f"{name}.png") for name in own}
    kept = [pairs[name] for name in sorted(pairs.keys() - set(held_out))]
    _require_files(kept, sbd)
    return kept


def _pair(root: Path, name: str, label: Path) -> Pair:
    return Pair(root / "JPEGImages" / f"{name}.jpg", label)


def _require_files(pairs: Sequence[Pair], named_by: Path) -> None:
    """Raise UserError when pictures or label maps are not on disk."""
    missing = missing_files(pair.label for pair in pairs)
    kind = "labels"
    if not missing:
        missing, kind = missing_files(pair.image for pair in pairs), "pictures"
    if missing:
        raise UserError(
            f"{named_by}: names {len(pairs):,} pictures, {len(missing):,} of their {kind} are "
            f"missing, first {min(missing)}; complete the folder"
        )
