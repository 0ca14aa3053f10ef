"""What every panoptic data set is read into: the segments of a split, picture by picture.

A category keeps the id that its file gives it. Here label k, from 1 on, is the k-th category,
things before stuff, each in order of their ids; 0 is what the settings leave out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.commands import classes
from common.errors import UserError
from common.reading.annotations import left_out
from common.training.distributed import note
from tasks.detection.annotations import Annotations
from tasks.panoptic.maps import read_places


class Category(NamedTuple):
    """A class of segments."""

    id: int
    """As in the annotation file; ids may have gaps."""
    name: str
    thing: bool
    """Whether its objects are told apart and counted."""


@dataclass(frozen=True)
class Segments:
    """What is annotated in one picture: N rows, in the order of the file."""

    ids: NDArray[np.int64]
    """(N,) as the PNG has them."""
    labels: NDArray[np.int64]
    """(N,) 1 .. C; 0 of a class that the settings leave out."""
    areas: NDArray[np.int64]
    """(N,) as annotated, in pixels; -1 where the file does not say."""
    crowd: NDArray[np.bool_]
    """(N,) regions of many things: not learnt, and not wrong where they are found."""

    def __len__(self) -> int:
        """Number of segments N."""
        return len(self.ids)


@dataclass(frozen=True)
class Split:
    """The P pictures of a split and their N segments, which are sorted by picture."""

    file: Path
    """The annotation file."""
    fingerprint: str
    """sha256 of the annotation file."""
    categories: tuple[Category, ...]
    """In order of their labels, 1 .. C, things first."""
    image_ids: tuple[int | str, ...]
    """(P,) as in the file."""
    images: tuple[Path, ...]
    """(P,)"""
    maps: tuple[Path, ...]
    """(P,) PNG files of ids."""
    map_folder: Path
    """Where these lie, each or in folders of its own."""
    sizes: NDArray[np.int64]
    """(P, 2) height and width, as annotated."""
    starts: NDArray[np.int64]
    """(P + 1,) segments of picture p are the rows from starts[p] to starts[p + 1]."""
    segments: Segments
    """(N,) of all pictures."""
    dropped: dict[str, int]
    """How many pictures of the file are not used, by reason."""
    layout: str = ""
    """How the files were found, where that is not as the format's own data set has them."""
    instances: Annotations | None = None
    """Outlines of the things in a file of their own, picture by picture in the same order."""

    def __len__(self) -> int:
        """Number of pictures P."""
        return len(self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return self.images

    @property
    def things(self) -> tuple[str, ...]:
        """Names of the countable classes, label 1 first."""
        return tuple(one.name for one in self.categories if one.thing)

    @property
    def stuff(self) -> tuple[str, ...]:
        """Names of the others, in the order of their labels."""
        return tuple(one.name for one in self.categories if not one.thing)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all."""
        return self.things + self.stuff

    def of(self, index: int) -> Segments:
        """The segments of the picture of a row 0 .. P - 1."""
        rows = slice(int(self.starts[index]), int(self.starts[index + 1]))
        whole = self.segments
        return Segments(whole.ids[rows], whole.labels[rows], whole.areas[rows], whole.crowd[rows])

    def places(self, index: int) -> NDArray[np.uint16]:
        """The map (H, W) of a picture: k where its k-th segment is, 0 where none that counts is.

        Raises:
            DamagedFile: the PNG cannot be read, or is not what the annotation file says.
        """
        height, width = self.sizes[index].tolist()
        segments = self.of(index)
        places = read_places(self.maps[index], segments.ids, (height, width), self.file)
        if segments.labels.all():
            return places
        kept = np.concatenate([[0], np.where(segments.labels > 0, np.arange(len(segments)) + 1, 0)])
        return kept.astype(np.uint16)[places]

    def absent(self) -> list[str]:
        """Classes without a segment; crowds are none."""
        labels = self.segments.labels[~self.segments.crowd]
        counts = np.bincount(labels, minlength=len(self.categories) + 1)[1:]
        return classes.absent(counts.tolist(), self.classes)

    def tell_absent(self) -> None:
        """Say in a line which classes have no segment."""
        if names := self.absent():
            without = classes.without(names, "segment")
            note(f"note: {self.file.name}: {without} in {len(self):,} pictures")

    def summary(self) -> str:
        """One line: what was read and what was left out."""
        counted = self.segments.labels > 0
        crowds = int(np.count_nonzero(self.segments.crowd & counted))
        others = int(np.count_nonzero(~counted))
        text = (
            f"{self.file.name}: {int(counted.sum()) - crowds:,} segments of {len(self.things)} "
            f"kinds of things and {len(self.stuff)} of stuff in {len(self):,} pictures"
        )
        text += f"; crowds: {crowds:,}" if crowds else ""
        text += f"; of other classes: {others:,}" if others else ""
        text += f"; layout: {self.layout}" if self.layout else ""
        return text + left_out(self.dropped)

    def require_segments(self) -> None:
        """Refuse a split that can neither be trained on nor be scored.

        Raises:
            UserError: it has no segment that counts but crowds.
        """
        if not ((self.segments.labels > 0) & ~self.segments.crowd).any():
            raise UserError(f"{self.file}: has no segment to train on or to score by")

    def select(self, things: Sequence[str], stuff: Sequence[str]) -> "Split":
        """The same pictures with these classes alone, in their order; what is left out is void.

        Raises:
            UserError: the set has no class of such a name and kind.
        """
        for flag, asked, known in (("things", things, self.things), ("stuff", stuff, self.stuff)):
            unknown = next((name for name in asked if name not in known), None)
            if unknown is not None:
                kind = (
                    "stuff there (isthing 0)" if flag == "things" else "a thing there (isthing 1)"
                )
                other = f"it is {kind}" if unknown in self.classes else f"it has {', '.join(known)}"
                raise UserError(
                    f"--data.{flag}: {self.file} has no {unknown!r} among its {flag}; {other}"
                )
        names = (*things, *stuff)
        if names == self.classes:
            return self
        places = [self.classes.index(name) for name in names]
        labels = np.zeros(len(self.categories) + 1, np.int64)
        labels[np.array(places) + 1] = np.arange(len(places)) + 1
        return replace(
            self,
            categories=tuple(self.categories[place] for place in places),
            segments=replace(self.segments, labels=labels[self.segments.labels]),
        )
