"""What every detection data set is read into: the objects of a split, picture by picture.

A category keeps the id that its file gives it. Networks count otherwise: label k, from 1, is the
k-th category, and 0 is the background.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.commands import classes
from common.errors import UserError
from common.reading.annotations import left_out
from common.reading.outlines import Outline, Outlines, as_coco
from common.reading.records import Category
from common.training.distributed import note


@dataclass(frozen=True)
class Objects:
    """What is annotated in one picture: N rows, in pixels of the picture."""

    ids: NDArray[np.int64]
    """(N,) annotation ids."""
    labels: NDArray[np.int64]
    """(N,) 1 .. C."""
    boxes: NDArray[np.float64]
    """(N, 4) left, top, right, bottom, inside the picture."""
    areas: NDArray[np.float64]
    """(N,) as annotated, in square pixels; what small, medium and large mean in a score."""
    crowd: NDArray[np.bool_]
    """(N,) regions of many objects, or VOC's difficult ones: neither trained on nor counted."""
    outlines: list[Outline | None]
    """(N,) polygons or run lengths; None where there is a box alone."""

    def __len__(self) -> int:
        """Number of objects N."""
        return len(self.ids)


@dataclass(frozen=True)
class Annotations:
    """The P pictures of a split and their N objects, which are sorted by picture."""

    file: Path
    """The annotation file; for VOC, the list of the split."""
    fingerprint: str
    """sha256 of the annotations."""
    categories: tuple[Category, ...]
    """In order of their labels, 1 .. C."""
    image_ids: NDArray[np.int64]
    """(P,)"""
    images: tuple[Path, ...]
    """(P,) files, of pictures with objects or without."""
    sizes: NDArray[np.int64]
    """(P, 2) height and width, as annotated."""
    starts: NDArray[np.int64]
    """(P + 1,) objects of picture p are the rows from starts[p] to starts[p + 1]."""
    ids: NDArray[np.int64]
    """(N,)"""
    labels: NDArray[np.int64]
    """(N,)"""
    boxes: NDArray[np.float64]
    """(N, 4) left, top, right, bottom, inside the picture."""
    annotated_boxes: NDArray[np.float64]
    """(N, 4) left, top, width, height, digit for digit as in the file: what scores count with."""
    areas: NDArray[np.float64]
    """(N,)"""
    crowd: NDArray[np.bool_]
    """(N,)"""
    outlines: Outlines
    """(N,)"""
    dropped: dict[str, int]
    """How many entries of the file are not used, by reason."""
    layout: str = ""
    """How the files were found, where that is not as the format's own data set has them."""

    def __len__(self) -> int:
        """Number of pictures P."""
        return len(self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return self.images

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories, label 1 first."""
        return tuple(category.name for category in self.categories)

    def absent(self) -> list[str]:
        """Classes without an object to find; crowds are none."""
        counts = np.bincount(self.labels[~self.crowd], minlength=len(self.categories) + 1)[1:]
        return classes.absent(counts.tolist(), self.classes)

    def tell_absent(self) -> None:
        """Say in a line which classes have no object, and how many crowds do not count."""
        if names := self.absent():
            crowds = np.count_nonzero(self.crowd)
            apart = f"; {crowds:,} crowds or difficult objects do not count" if crowds else ""
            without = classes.without(names, "object")
            note(f"note: {self.file.name}: {without} in {len(self):,} pictures{apart}")

    def objects(self, index: int) -> Objects:
        """The objects of the picture of a row 0 .. P - 1."""
        first, end = (int(start) for start in self.starts[index : index + 2])
        rows = slice(first, end)
        return Objects(
            self.ids[rows],
            self.labels[rows],
            self.boxes[rows],
            self.areas[rows],
            self.crowd[rows],
            [self.outlines[row] for row in range(first, end)],
        )

    def summary(self) -> str:
        """One line: what was read and what was left out."""
        empty = int(np.count_nonzero(np.diff(self.starts) == 0))
        crowds = int(np.count_nonzero(self.crowd))
        text = (
            f"{self.file.name}: {len(self.ids) - crowds:,} objects of {len(self.categories)} "
            f"classes in {len(self):,} pictures"
        )
        text += f"; crowds: {crowds:,}" if crowds else ""
        text += f"; pictures without objects: {empty:,}" if empty else ""
        text += f"; layout: {self.layout}" if self.layout else ""
        return text + left_out(self.dropped)

    @property
    def scored(self) -> bool:
        """Whether there is an object that a score can count; test sets list pictures alone."""
        return bool((~self.crowd).any())

    def require_objects(self) -> None:
        """Refuse a split that can neither be trained on nor be scored.

        Raises:
            UserError: it has no object but crowds.
        """
        if not self.scored:
            kind = "has crowds only, and nothing" if len(self.crowd) else "has no object"
            raise UserError(f"{self.file}: {kind} to train on or to score by")

    def select(self, names: Sequence[str]) -> "Annotations":
        """The same pictures with the objects of these classes alone, labels in their order.

        Raises:
            UserError: the set has no class of such a name, or no object of these.
        """
        unknown = [name for name in names if name not in self.classes]
        if unknown:
            both = ", ".join(name for name in names if name in self.classes)
            advice = f"; for those that both have say --data.classes '[{both}]'" if both else ""
            raise UserError(
                f"--data.classes: {self.file} has no class {unknown[0]!r}; it has "
                f"{', '.join(self.classes)}{advice}"
            )
        if tuple(names) == self.classes:
            return self
        chosen = [self.classes.index(name) for name in names]
        labels = np.zeros(len(self.classes) + 1, dtype=np.int64)
        labels[np.array(chosen) + 1] = np.arange(len(chosen)) + 1
        kept = np.flatnonzero(labels[self.labels])
        if not len(kept) and len(self.ids):
            raise UserError(f"--data.classes: {self.file} has no object of {', '.join(names)}")
        chosen_set = self._rows(kept)
        return replace(
            chosen_set,
            categories=tuple(self.categories[index] for index in chosen),
            labels=labels[chosen_set.labels],
        )

    def of_pictures(self, ids: Sequence[int | str]) -> "Annotations":
        """The pictures of these ids, in this order, with their objects.

        Raises:
            UserError: one of them is not listed.
        """
        known = {number: row for row, number in enumerate(self.image_ids.tolist())}
        missing = next((number for number in ids if number not in known), None)
        if missing is not None:
            raise UserError(f"{self.file}: does not list picture {missing}")
        chosen = [known[int(number)] for number in ids]
        spans = [np.arange(self.starts[row], self.starts[row + 1]) for row in chosen]
        return replace(
            self._rows(np.concatenate([np.empty(0, np.int64), *spans])),
            image_ids=self.image_ids[chosen],
            images=tuple(self.images[row] for row in chosen),
            sizes=self.sizes[chosen],
            starts=np.cumsum([0, *map(len, spans)]),
        )

    def _rows(self, rows: NDArray[np.int64]) -> "Annotations":
        """With these objects only; rows rise."""
        columns = ("ids", "labels", "boxes", "annotated_boxes", "areas", "crowd")
        return replace(
            self,
            starts=np.searchsorted(rows, self.starts),
            outlines=self.outlines.select(rows),
            **{name: getattr(self, name)[rows] for name in columns},
        )

    def ground_truth(self, unread: Container[int] = ()) -> dict[str, Any]:
        """The COCO dictionary of the split, as pycocotools takes it for scoring, crowds included.

        Categories have the ids of the file. Objects with boxes of no area are not in it, nor those
        of pictures that could not be read: nothing was looked for there.
        """
        pictures = np.repeat(self.image_ids, np.diff(self.starts)).tolist()
        sizes = dict(zip(self.image_ids.tolist(), self.sizes, strict=True))
        return {
            "images": [
                {"id": number, "file_name": image.name, "height": height, "width": width}
                for number, image, (height, width) in zip(
                    self.image_ids.tolist(), self.images, self.sizes.tolist(), strict=True
                )
            ],
            "categories": [category._asdict() for category in self.categories],
            "annotations": [
                self._entry(row, number, sizes[number])
                for row, number in enumerate(pictures)
                if number not in unread
            ],
        }

    def _entry(self, row: int, image_id: int, size: NDArray[np.int64]) -> dict[str, Any]:
        entry = {
            "id": int(self.ids[row]),
            "image_id": image_id,
            "category_id": self.categories[int(self.labels[row]) - 1].id,
            "bbox": self.annotated_boxes[row].tolist(),
            "area": float(self.areas[row]),
            "iscrowd": int(self.crowd[row]),
        }
        outline = self.outlines[row]
        return entry if outline is None else {**entry, "segmentation": as_coco(outline, size)}
