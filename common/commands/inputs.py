"""What a person gives to predict: pictures, folders, videos, a camera, or generated pictures."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from common import outputs
from common.errors import UserError
from common.reading import folders, image, video
from common.reading.folders import Kind

EITHER = Kind("picture or video", image.SUFFIXES | video.SUFFIXES)

SAMPLE_SEED = 1
"""Seed of the pictures of --sample; it differs from that of the default sets."""


@dataclass(frozen=True, kw_only=True)
class InputFlags:
    """What predict takes in every task that works picture by picture."""

    inputs: tuple[Path, ...] = ()
    """Pictures, videos and folders of them: the words that belong to no flag."""
    recursive: bool = False
    """Take the folders within folders, too; results keep their places in them."""
    camera: str | None = None
    """Instead of inputs: the number of a camera, such as 0, or the address of a stream."""
    sample: int = 0
    """Instead of inputs, take so many freshly generated pictures."""
    resume: bool = False
    """Go on in the folder of results; inputs that are finished there are not done again."""


class Source(NamedTuple):
    """One input."""

    path: Path
    place: Path
    """Of its results under --out, without a suffix."""
    name: str
    """What results call it."""


class Inputs(NamedTuple):
    """All inputs of a command."""

    pictures: list[Source]
    videos: list[Source]
    camera: str | None


@contextlib.contextmanager
def given(
    flags: InputFlags,
    command: str,
    generate: Callable[[Path, int], Sequence[Path]],
    listing: Callable[[Sequence[Path], bool], dict[Path, Path]] | None = None,
) -> Iterator[dict[Path, Path]]:
    """The pictures and videos that the flags name, each with its folder under --out.

    Args:
        flags: of the command.
        command: with a run, as an example for messages: "predict --run runs/pose".
        generate: writes so many pictures into a folder and returns their paths, for --sample.
        listing: finds the inputs, given the words and whether folders within folders are taken;
            none finds pictures and videos.

    Raises:
        UserError: nothing, too much or something missing is named.
    """
    if flags.sample < 0:
        raise UserError(f"--sample is {flags.sample}; it must be 0 or more")
    ways = [bool(flags.inputs), bool(flags.sample), flags.camera is not None]
    if sum(ways) > 1:
        raise UserError("inputs, --sample and --camera: give one of them")
    if flags.sample:
        with TemporaryDirectory() as folder:
            yield dict.fromkeys(generate(Path(folder), flags.sample), Path())
        return
    if not any(ways):
        raise UserError(
            f"no input given: name pictures, folders or videos, such as {command} photos/"
            if listing is None
            else f"no input given: name files or folders, such as {command} folder/"
        )
    yield (listing or listed)(flags.inputs, flags.recursive) if flags.inputs else {}


def listed(paths: Sequence[Path], recursive: bool, kind: Kind = EITHER) -> dict[Path, Path]:
    """Files that are named, and those of the kind in folders, each with its folder under --out.

    Raises:
        UserError: a path does not exist, or a folder has no such file.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if recursive and path.is_dir():
            inside = folders.below(path, kind)
            if not inside:
                raise UserError(f"{path}: no {kind.name} in this folder or in those within it")
            found |= {one: one.parent.relative_to(path) for one in inside if one not in found}
        else:
            found |= {one: Path() for one in image.list_images([path], kind) if one not in found}
    return found


def placed(
    found: dict[Path, Path],
    flags: InputFlags,
    out: Path,
    suffixes: Sequence[str],
    video_suffix: str = ".mp4",
    reserved: Sequence[str] = (),
) -> Inputs:
    """The inputs with the places of their results.

    Args:
        found: as `given` and `listed` give them.
        flags: of the command.
        out: the folder for all results.
        suffixes: of the files that are written for a picture.
        video_suffix: of the file that is written for a video.
        reserved: names in the folder that are for something else.

    Raises:
        UserError: a file that is read would be overwritten.
    """
    videos = {path: folder for path, folder in found.items() if video.is_video(path)}
    pictures = {path: folder for path, folder in found.items() if path not in videos}
    places = {
        **outputs.places(pictures, out, suffixes, videos, reserved),
        **outputs.places(videos, out, (video_suffix,), pictures),
    }
    if flags.recursive:
        names = {path: str(folder / path.name) for path, folder in found.items()}
    else:
        names = outputs.names(list(found))
    sources = {path: Source(path, places[path], names[path]) for path in found}
    return Inputs(
        [sources[path] for path in pictures], [sources[path] for path in videos], flags.camera
    )
