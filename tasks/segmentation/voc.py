"""Pictures and label maps in VOC's layout, and the training set that SBD adds to it."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.reading import voc
from common.reading.annotations import missing_files
from common.reading.pairs import Pair

AUGMENTED = "trainaug"
"""The training set of nearly all published results: VOC's train, and SBD but for VOC's val."""

_KIND = "Segmentation"
_OTHERWISE = "say --data.format list or folders if it has another layout"


def read_voc(root: Path, split: str, sbd: Path | None) -> list[Pair]:
    """Pairs of `ImageSets/Segmentation/{split}.txt` under a root such as VOCdevkit/VOC2012.

    The split trainaug is put together from VOC's train and val and from SBD's train and val; of
    pictures that both have labels for, VOC's are taken. Without `sbd` it is read from its own list
    and the folder SegmentationClassAug, for those who have converted it.

    Raises:
        UserError: the layout is another one, or files are missing.
    """
    if split == AUGMENTED and sbd is not None:
        return _augmented(root, sbd)
    hint = "; --data.sbd benchmark_RELEASE/dataset makes it" if split == AUGMENTED else ""
    file = voc.list_file(root, _KIND, split, _OTHERWISE, hint)
    folder = "SegmentationClassAug" if split == AUGMENTED else "SegmentationClass"
    pairs = [_pair(root, name, root / folder / f"{name}.png") for name in voc.names(file)]
    _require_files(pairs, file)
    return pairs


def _augmented(root: Path, sbd: Path) -> list[Pair]:
    if not (sbd / "cls").is_dir():
        inside = sbd / "dataset"
        hint = f"say --data.sbd {inside}" if (inside / "cls").is_dir() else "is it unpacked?"
        raise UserError(f"--data.sbd {sbd}: has no folder cls with .mat files; {hint}")
    own, held_out = (
        voc.names(voc.list_file(root, _KIND, split, _OTHERWISE)) for split in ("train", "val")
    )
    added = [name for part in ("train", "val") for name in voc.names(sbd / f"{part}.txt")]
    pairs = {name: _pair(root, name, sbd / "cls" / f"{name}.mat") for name in added}
    pairs |= {name: _pair(root, name, root / "SegmentationClass" / f"{name}.png") for name in own}
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
