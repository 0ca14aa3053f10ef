"""Pictures and label maps in VOC's layout, and the training set that SBD adds to it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.errors import UserError
from common.pairs import Pair

AUGMENTED = "trainaug"
"""The training set of nearly all published results: VOC's train, and SBD but for VOC's val."""


def read_voc(root: Path, split: str, sbd: Path | None) -> list[Pair]:
    """Pairs of `ImageSets/Segmentation/{split}.txt` under a root such as VOCdevkit/VOC2012.

    The split trainaug is put together from VOC's train and val and from SBD's train and val; of
    pictures that both have labels for, VOC's are taken. Without `sbd` it is read from its own list
    and the folder SegmentationClassAug, for those who have converted it.

    Raises:
        UserError: the layout is another one, or files are missing.
    """
    _require_layout(root)
    lists = root / "ImageSets" / "Segmentation"
    if split == AUGMENTED and sbd is not None:
        return _augmented(root, lists, sbd)
    file = lists / f"{split}.txt"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))) or "none"
        hint = "; --data.sbd benchmark_RELEASE/dataset makes it" if split == AUGMENTED else ""
        raise UserError(f"{file}: no such split; there are {known}{hint}")
    folder = "SegmentationClassAug" if split == AUGMENTED else "SegmentationClass"
    pairs = [_pair(root, name, root / folder / f"{name}.png") for name in _names(file)]
    _require_files(pairs, file)
    return pairs


def _augmented(root: Path, lists: Path, sbd: Path) -> list[Pair]:
    if not (sbd / "cls").is_dir():
        inside = sbd / "dataset"
        hint = f"say --data.sbd {inside}" if (inside / "cls").is_dir() else "is it unpacked?"
        raise UserError(f"--data.sbd {sbd}: has no folder cls with .mat files; {hint}")
    own, held_out = _names(lists / "train.txt"), set(_names(lists / "val.txt"))
    added = [name for part in ("train", "val") for name in _names(sbd / f"{part}.txt")]
    pairs = {name: _pair(root, name, sbd / "cls" / f"{name}.mat") for name in added}
    pairs |= {name: _pair(root, name, root / "SegmentationClass" / f"{name}.png") for name in own}
    kept = [pairs[name] for name in sorted(pairs) if name not in held_out]
    _require_files(kept, sbd)
    return kept


def _pair(root: Path, name: str, label: Path) -> Pair:
    return Pair(root / "JPEGImages" / f"{name}.jpg", label)


def _names(file: Path) -> list[str]:
    try:
        # Lists of the other tasks have a second column.
        names = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{file}: no such list of pictures") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a list of pictures ({error})") from None
    if not names:
        raise UserError(f"{file}: is empty")
    return names


def _require_layout(root: Path) -> None:
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    if (root / "ImageSets" / "Segmentation").is_dir():
        return
    nested = [*root.glob("VOC20*"), *root.glob("VOCdevkit/VOC20*")]
    archives = sorted(root.glob("VOCtrainval*.tar"))
    if nested:
        hint = f"say --data.root {nested[0]}"
    elif archives:
        hint = f"{archives[0]} is not unpacked"
    elif (root.parent / "ImageSets" / "Segmentation").is_dir():
        hint = f"say --data.root {root.parent}"
    else:
        hint = "say --data.format list or folders if it has another layout"
    raise UserError(f"--data.root {root}: has no folder ImageSets/Segmentation; {hint}")


def _require_files(pairs: Sequence[Pair], named_by: Path) -> None:
    """Raise UserError when pictures or label maps are not on disk.

    Folders are listed once: asking for each of 20,000 files takes minutes on a network drive.
    """
    missing = _missing(pair.label for pair in pairs)
    kind = "labels"
    if not missing:
        missing, kind = _missing(pair.image for pair in pairs), "pictures"
    if missing:
        raise UserError(
            f"{named_by}: names {len(pairs):,} pictures, {len(missing):,} of their {kind} are "
            f"missing, first {min(missing)}; complete the folder"
        )


def _missing(paths: Iterable[Path]) -> list[str]:
    listings: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listings[folder]:
            missing.append(os.fspath(path))
    return missing
