"""Pictures and their label maps on disk, paired by two folders or by a list file."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product, takewhile
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.reading.annotations import NAMES_WITH_SPACES, read_text, words_of
from common.reading.folders import Kind, inside
from common.reading.image import PICTURES, pictures_in

_NAMED = 3
_SIGN = re.compile(r"[^A-Za-z0-9]")
_LETTER = re.compile(r"[^\W\d_]")


class Pair(NamedTuple):
    """A picture and the label map that belongs to it."""

    image: Path
    label: Path


def from_folders(
    images: Path,
    labels: Path,
    names: Collection[str] | None = None,
    label_kind: Kind = PICTURES,
) -> list[Pair]:
    """Pairs of two folders, sorted by name; other files do not count.

    A picture and its label have equal stems, or stems that are equal without words that all
    pictures or all labels have: `a.jpg` and `a_mask.png`. One folder may hold both.

    Args:
        images: the pictures.
        labels: the label maps.
        names: of the pictures that are meant, with suffix or without; none takes all.
        label_kind: what label maps may be.

    Raises:
        UserError: a folder is missing or empty, a picture has no label, two files have one stem,
            or a name is that of no picture.
    """
    if images == labels:
        return _named(_from_one_folder(images), names, images)
    pictures, maps = _by_stem(images, PICTURES), _by_stem(labels, label_kind)
    pictures = {pair.image.stem: pair.image for pair in _named(_alone(pictures), names, images)}
    found, missing = _matched(pictures, maps)
    if not missing:
        return found
    hint = _case_hint((path.stem for path in missing), maps)
    raise UserError(
        f"{labels}: no label for {len(missing)} of the {len(pictures)} pictures in {images} "
        f"({_some([path.name for path in missing])}){hint}"
    )


def naming(pairs: Sequence[Pair]) -> str:
    """What a summary says of pairs whose names are not equal; "" if they are."""
    odd = next((pair for pair in pairs if pair.image.stem != pair.label.stem), None)
    return f"; {odd.label.name} is the label of {odd.image.name}" if odd is not None else ""


def fingerprint(pairs: Iterable[Pair]) -> str:
    """sha256 over the names of the pictures and the bytes of their label maps."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(pair.image.name.encode(errors="surrogateescape"))
        try:
            digest.update(pair.label.read_bytes())
        except OSError:  # scores may leave it out
            digest.update(b"not readable")
    return digest.hexdigest()


def _alone(pictures: Mapping[str, Path]) -> list[Pair]:
    return [Pair(path, path) for path in pictures.values()]


def _named(pairs: list[Pair], names: Collection[str] | None, folder: Path) -> list[Pair]:
    """Those of the pairs whose pictures are named."""
    if names is None:
        return pairs
    known = {pair.image.stem: pair for pair in pairs} | {pair.image.name: pair for pair in pairs}
    missing = [name for name in names if name not in known]
    if missing:
        raise UserError(
            f"{folder}: has no picture of {len(missing)} of the {len(names)} names that are listed "
            f"({_some(missing)}){_case_hint(missing, known)}"
        )
    return [known[name] for name in names]


def _matched(
    pictures: Mapping[str, Path], maps: Mapping[str, Path]
) -> tuple[list[Pair], list[Path]]:
    """Pairs by what the stems have beside their common words, and the pictures without a label.

    The words are those that leave the fewest pictures without one.
    """
    found: list[Pair] = []
    missing = list(pictures.values())
    for image_words, label_words in product(_common_words(pictures), _common_words(maps)):
        labels = {_without(stem, label_words): path for stem, path in maps.items()}
        keyed = {_without(stem, image_words): path for stem, path in pictures.items()}
        if len(labels) < len(maps) or len(keyed) < len(pictures):
            continue
        rest = [path for key, path in keyed.items() if key not in labels]
        if len(rest) < len(missing):
            found = [Pair(path, labels[key]) for key, path in keyed.items() if key in labels]
            missing = rest
    return found, missing


def _common_words(stems: Collection[str]) -> list[tuple[str, str]]:
    """Beginnings and ends that all stems share and that can be words, the shortest first.

    They are parted from the rest by a sign, and have a letter: a number is part of a name.
    """
    head, tail = _shared(stems), _shared([stem[::-1] for stem in stems])[::-1]
    heads = [head[: sign.end()] for sign in _SIGN.finditer(head)]
    tails = [tail[sign.start() :] for sign in _SIGN.finditer(tail)]
    firsts = ["", *filter(_LETTER.search, heads)]
    lasts = ["", *filter(_LETTER.search, reversed(tails))]
    return sorted(product(firsts, lasts), key=lambda words: len("".join(words)))


def _shared(texts: Collection[str]) -> str:
    """The beginning that all texts share."""
    first, last = min(texts), max(texts)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: len(list(same))]


def _without(stem: str, words: tuple[str, str]) -> str:
    return stem.removeprefix(words[0]).removesuffix(words[1])


def _from_one_folder(folder: Path) -> list[Pair]:
    """Pairs of one folder: `a.jpg` and `a.png`, or `a.png` and `a_mask.png`."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    files = pictures_in(folder)
    masks = {path.stem: path for path in files if path.suffix.lower() == ".png"}
    images = [path for path in files if path.suffix.lower() != ".png"]
    missing = [path.name for path in images if path.stem not in masks]
    if images and not missing:
        return [Pair(path, masks[path.stem]) for path in images]
    stems = {path.stem: path for path in files}
    ends = {stem[sign.start() :] for stem in stems for sign in _SIGN.finditer(stem)}
    for end in sorted(end for end in ends if _LETTER.search(end)):
        rest = [stem for stem in stems if not stem.endswith(end)]
        if rest and len(stems) == len(files) and all(stem + end in stems for stem in rest):
            return [Pair(stems[stem], stems[stem + end]) for stem in rest]
    raise UserError(
        f"{folder}: no mask (.png of the same name, or a name and a word such as _mask) for "
        f"{len(missing)} of the {len(images)} pictures"
        + (f", such as {missing[0]}" if missing else "")
    )


def listed_names(file: Path, images: Path) -> list[str] | None:
    """The names of pictures that a list has, one per line; None if it is a list of something else.

    Its first line decides, which is then the name of a picture in the folder.
    """
    lines = [line.strip().strip('"') for line in _lines(file) if line.strip()]
    there = {name for path in pictures_in(images) for name in (path.name, path.stem)}
    return lines if lines and lines[0] in there else None


def from_list(file: Path, root: Path, other_suffixes: Sequence[str] = ()) -> list[Pair]:
    """Pairs of a list file: on each line a picture and its label, relative to `root` or absolute.

    They are parted by spaces or, where names have spaces, by a tab or by double quotes.

    Args:
        file: the list.
        root: what its paths count from.
        other_suffixes: of a label that does not exist as the list has it, such as ".jpg": a mask
            of DUTS-TR is circulated so.

    Raises:
        UserError: the list is missing, empty or of another form, or names files that do not exist.
    """
    pairs: list[Pair] = []
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        found = [
            Pair(_place(root, image), _existing(_place(root, label), other_suffixes))
            for image, label in _parted(line)
        ]
        there = [pair for pair in found if pair.image.is_file() and pair.label.is_file()]
        chosen = there if len(there) == 1 else found
        if len(chosen) != 1:
            raise UserError(f"{file}, line {number}: {_no_pair(line)}")
        pairs += chosen
    if not pairs:
        raise UserError(f"{file}: is empty")
    missing = [path for pair in pairs for path in pair if not path.is_file()]
    if missing:
        folders = {path.parent for path in missing if path.parent.is_dir()}
        there_in = [entry.name for folder in folders for entry in folder.iterdir()]
        hint = _case_hint((path.name for path in missing), there_in)
        raise UserError(
            f"{file}: {len(missing)} of the files that it names do not exist "
            f"({_some([str(path) for path in missing])}){hint}; its paths count from {root}"
        )
    return pairs


def _parted(line: str) -> list[tuple[str, str]]:
    """What a line can mean: a picture and its label."""
    line = line.strip()
    names = words_of(line, (2,))
    if len(names) == 2 and ("\t" in line or '"' in line):
        return [(names[0], names[1])]
    return [(line[: gap.start()], line[gap.end() :]) for gap in re.finditer(r"\s+", line)]


def _no_pair(line: str) -> str:
    words = len(line.split())
    way = (
        "names alone are looked for in folders of pictures and of labels, if there are such"
        if words == 1
        else NAMES_WITH_SPACES
    )
    return f"needs a picture and its label, found {words} words; {way}"


def base_of(file: Path, folders: Sequence[Path]) -> Path:
    """The folder from which a list file's first picture is found, else the first of the folders.

    Lists are circulated with paths from their own folder, from the one above, or from elsewhere.
    """
    first = next((_parted(line) for line in _lines(file) if line.strip()), [])
    for folder in folders:
        if any(_place(folder, image).is_file() for image, _ in first):
            return folder
    return folders[0]


def _place(root: Path, word: str) -> Path:
    """The file that a list names; circulated lists begin paths from the root with a slash."""
    path = Path(word)
    return path if path.is_absolute() and path.is_file() else root / word.lstrip("/")


def _existing(label: Path, other_suffixes: Sequence[str]) -> Path:
    """The label, or the same name with one of the other suffixes if only that exists."""
    if other_suffixes and not label.is_file():
        for suffix in other_suffixes:
            if label.with_suffix(suffix).is_file():
                return label.with_suffix(suffix)
    return label


def _case_hint(missing: Iterable[str], present: Iterable[str]) -> str:
    """What to say when names that are missing are there in another case."""
    lowered = {name.lower() for name in present}
    if any(name.lower() in lowered for name in missing):
        return "; some differ in upper and lower case only: rename them"
    return ""


def _by_stem(folder: Path, kind: Kind) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in inside(folder, kind):
        if path.stem in found:
            raise UserError(
                f"{folder}: {found[path.stem].name} and {path.name} have one name; remove one"
            )
        found[path.stem] = path
    if not found:
        raise UserError(
            f"{folder}: no {kind.name}s in this folder ({', '.join(sorted(kind.suffixes))})"
        )
    return found


def _lines(file: Path) -> list[str]:
    return read_text(file, "list of pictures").splitlines()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
