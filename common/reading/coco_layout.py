"""Where the files of a data set in COCO's form lie, as COCO and as annotation tools have them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from common.errors import UserError
from common.reading.image import is_picture
from common.reading.records import NOT_NAMED, SplitFiles

_EXPORTS = {
    "_annotations.coco.json": "Roboflow export",
    "labels.json": "FiftyOne export",
    "result.json": "Label Studio export",
}
"""Names of the one annotation file in a folder, by the tool that gives it."""


class AnnotationFile(NamedTuple):
    """A split's annotations."""

    file: Path
    layout: str
    """What it was found as; "" if it lies where COCO's own does, or was named."""


class PictureFolder(NamedTuple):
    """Where the pictures of a split lie."""

    folder: Path
    bare: bool
    """Whether the folders that the file's names have before them are to be left out."""
    layout: str
    """What it was found as; "" if it lies where COCO's own does, or was named."""

    def place(self, name: str) -> Path:
        """The picture that an annotation file calls so; Windows parts folders by backslashes."""
        path = PurePosixPath(name.replace("\\", "/"))
        return self.folder / (path.name if self.bare else path)


def annotation_file(
    root: Path, kind: str, split: str, files: SplitFiles = NOT_NAMED
) -> AnnotationFile:
    """The file that is named, or the split's in one of the layouts.

    These are `annotations/{kind}_{split}.json`, where kind is "instances", "person_keypoints", ...;
    `{split}/` with the one file that Roboflow, FiftyOne or Label Studio write; and COCO's lists of
    pictures alone, `annotations/image_info_{split}.json`.

    Raises:
        UserError: it is not there; the message says what is instead.
    """
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    named = files.annotations_in(root)
    if named is not None:
        return AnnotationFile(named, "")
    name = f"annotations/{kind}_{split}.json"
    if (root / name).is_file():
        return AnnotationFile(root / name, "")
    for export, tool in _EXPORTS.items():
        if (root / split / export).is_file():
            return AnnotationFile(root / split / export, f"{tool}, {split}/{export}")
    listed = f"annotations/image_info_{split}.json"
    if (root / listed).is_file():
        return AnnotationFile(root / listed, f"a list of pictures, {listed}")
    raise UserError(f"--data.root {root}: has no {name}; {_hint(root, kind, name)}")


def _hint(root: Path, kind: str, name: str) -> str:
    above = [folder for folder in (root.parent, root.parent.parent) if (folder / name).is_file()]
    below = [folder for folder in sorted(root.iterdir()) if (folder / name).is_file()]
    for folder in above + below:
        return f"{folder} has it: say --data.root {folder}"
    splits = [
        path.stem.removeprefix(f"{kind}_") for path in root.glob(f"annotations/{kind}_*.json")
    ]
    splits += [path.parent.name for export in _EXPORTS for path in root.glob(f"*/{export}")]
    if splits:
        found = ", ".join(sorted(splits))
        return f"its splits are {found}: say --data.train_split and --data.val_split"
    archives = sorted({*root.glob("*annotations*.zip"), *root.glob("annotations/*.zip")})
    if archives:
        return f"{archives[0]} is there but not unpacked: unzip it in {root}"
    if (root / "data.yaml").is_file():
        return "data.yaml is there, which is YOLO's: say --data.format yolo"
    others = sorted([*root.glob("*.json"), *root.glob("*/*.json")])
    if len(others) > 1 and all(map(_beside_picture, others[:2])):
        return (
            f"{others[0].relative_to(root)} lies beside its picture: where LabelMe wrote it, say "
            "--data.format labelme"
        )
    if others:
        some = ", ".join(str(path.relative_to(root)) for path in others[:5])
        more = ", ..." if len(others) > 5 else ""
        return (
            f"{some}{more} is there: name each split's file with --data.train_annotations and "
            "--data.val_annotations"
        )
    found = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
    return f"the folder of a COCO data set has annotations/ and images/, this one has {found}"


def _beside_picture(file: Path) -> bool:
    return any(is_picture(one.name) and one.stem == file.stem for one in file.parent.iterdir())


def picture_folder(
    root: Path, split: str, file: Path, names: Sequence[str], files: SplitFiles = NOT_NAMED
) -> PictureFolder:
    """The folder that is named, or the first that holds the pictures of an annotation file.

    Looked through are COCO's `images/{split}` and `{split}`, those in which tools lay pictures
    beside their file, and those that hold the pictures of all splits; for the names as they stand,
    and then without the folders in them.

    Args:
        root: the data set.
        split: the split.
        file: its annotations.
        names: the pictures' in there.
        files: what the user says.

    Raises:
        UserError: there is no folder that can be meant.
    """
    named = files.pictures_in(root)
    usual = [root / "images" / split, root / split]
    beside = [file.parent / "images", file.parent / "data", file.parent]
    of_all = [root / "images", root / "data", root]
    folders = [*usual, *beside, *of_all] if named is None else [named]
    asked = (
        [names[place] for place in sorted({0, len(names) // 2, len(names) - 1})] if names else []
    )
    for bare in (False, True):
        for folder in folders:
            found = PictureFolder(folder, bare, "")
            if any(found.place(name).is_file() for name in asked):
                expected = named is not None or (folder in usual and not bare)
                return found if expected else found._replace(layout=_said(found, root))
    there = next((folder for folder in folders if folder.is_dir()), None)
    if named is not None or there in usual:
        return PictureFolder(there or folders[0], False, "")  # what is missing is named later
    raise UserError(_no_folder(root, split, files, asked))


def _said(found: PictureFolder, root: Path) -> str:
    place = found.folder.relative_to(root) if found.folder.is_relative_to(root) else found.folder
    bare = ", without the folders that its names have" if found.bare else ""
    return f"pictures in {place}/{bare}"


def _no_folder(root: Path, split: str, files: SplitFiles, asked: Sequence[str]) -> str:
    for archive in (root / "images" / f"{split}.zip", root / f"{split}.zip"):
        if archive.is_file():
            return f"{archive}: is there but not unpacked: unzip it in {archive.parent}"
    first = f", such as {asked[0]}" if asked else ""
    return (
        f"--data.root {root}: has no folder images/{split} or {split} with the pictures{first}; "
        f"name their folder with --data.{files.part}_pictures"
    )
