"""What every pose data set is read into, and the checks that they share."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.commands.classes import absent, shortened
from common.errors import DamagedFile, UserError
from common.reading.annotations import left_out
from common.reading.coco import crowd_fault
from common.reading.records import Records
from common.training.distributed import note
from tasks.pose.metrics import PERSON
from tasks.pose.skeleton import Skeleton


@dataclass(frozen=True)
class Annotations:
    """Persons of one split: arrays have one row per person, lengths are pixels of the picture."""

    skeleton: Skeleton
    file: Path
    fingerprint: str
    """sha256 of the annotation file, and of MPII's ground truth file behind it."""
    images: dict[int, Path]
    """Every picture of the annotation file, with persons or without."""
    sizes: dict[int, tuple[int, int]]
    """Annotated width and height of every picture; empty where the data set does not say."""
    ids: NDArray[np.int64]
    """(N,) annotation ids."""
    image_ids: NDArray[np.int64]
    """(N,)"""
    boxes: NDArray[np.float64]
    """(N, 4) x, y, width, height, inside the picture."""
    joints: NDArray[np.float64]
    """(N, J, 3) x, y, and 0 not labelled, 1 labelled but hidden, 2 labelled and visible."""
    head_sizes: NDArray[np.float64]
    """(N,) diagonals of MPII's head boxes, the unit of PCKh; empty elsewhere."""
    dropped: dict[str, int]
    """How many entries of the file are not used, by reason."""
    layout: str = ""
    """How the files were found, where that is not as the format's own data set has them."""
    reread: Callable[[], Records] | None = None
    """Reads the split again; None for MPII, which is scored by its joints alone."""

    def __len__(self) -> int:
        """Number of persons N."""
        return len(self.ids)

    @property
    def files(self) -> list[Path]:
        """Pictures that show a person."""
        return [self.images[number] for number in np.unique(self.image_ids).tolist()]

    def summary(self) -> str:
        """One line: what was read and what was left out."""
        pictures = len(np.unique(self.image_ids))
        text = f"{self.file.name}: {len(self):,} persons in {pictures:,} pictures"
        text += f"; layout: {self.layout}" if self.layout else ""
        return text + left_out(self.dropped)

    def require_persons(self) -> None:
        """Refuse a split that can neither be trained on nor be scored.

        Raises:
            UserError: it annotates nobody.
        """
        if not len(self):
            raise UserError(f"{self.file}: annotates no person to train on or to score by")

    def tell_absent(self) -> None:
        """Say in a line which joints are labelled in no person."""
        counts = np.count_nonzero(self.joints[:, :, 2], axis=0).tolist()
        if names := absent(counts, self.skeleton.names):
            among = f"{len(names)} of {self.skeleton.joints} joints"
            note(
                f"note: {self.file.name}: {among} are labelled in none of {len(self):,} persons "
                f"({shortened(names)})"
            )

    def ground_truth(self, unread: Container[int] = ()) -> dict[str, Any]:
        """The COCO dictionary of the persons but for their outlines, as pycocotools scores them.

        Without those of pictures that could not be read: nobody was looked for there.

        Crowds and persons without joints are in it: detections on them are not counted as wrong.
        Persons with numbers that are not finite are not: whatever is found would match them, since
        a similarity that is not a number is not below any threshold.
        Read again from the files, because training on 150,000 persons has no use for it.
        """
        if self.reread is None:
            raise UserError(f"{self.file}: is not a COCO file; MPII is scored by PCKh")
        records = self.reread()
        persons, _ = persons_of(records, len(self.skeleton.names))
        return {
            "images": [
                {"id": number, "file_name": one.file.name, "height": one.height, "width": one.width}
                for number, one in records.pictures.items()
            ],
            "categories": [{"id": PERSON, "name": "person"}],
            "annotations": [
                {key: value for key, value in entry.items() if key != "segmentation"}
                for entry in persons
                if entry["image_id"] not in unread and _is_finite(entry)
            ],
        }


def persons_of(records: Records, joints: int) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Entries that are persons, and what is wrong with the others that are, by annotation id.

    Their category becomes COCO's, and joints that an entry does not have are not labelled: tools
    write so those that nobody has marked.
    """
    person = person_category(records)
    found: list[dict[str, Any]] = []
    faults: dict[int, str] = dict(records.faults)
    for entry in records.annotations:
        if entry["category_id"] != person:
            continue
        if entry["image_id"] not in records.pictures:
            faults[entry["id"]] = f"is of picture {entry['image_id']}, which is not in 'images'"
        elif (fault := crowd_fault(entry)) is not None:
            faults[entry["id"]] = fault
        else:
            keypoints = entry.get("keypoints") or [0] * (3 * joints)
            found.append({**entry, "category_id": PERSON, "keypoints": keypoints})
    return found, faults


def person_category(records: Records) -> int:
    """Id of the category of persons: that with this name, or the only one, or COCO's."""
    named = [one.id for one in records.categories if one.name.strip().lower() == "person"]
    only = [one.id for one in records.categories] if len(records.categories) == 1 else []
    return (named or only or [PERSON])[0]


def _is_finite(entry: Mapping[str, Any]) -> bool:
    numbers = [*entry["keypoints"], *entry["bbox"], entry.get("area") or 0]
    return bool(np.isfinite(np.array(numbers, dtype=np.float64)).all())


@dataclass(frozen=True)
class Boxes:
    """Persons that a detector found in the pictures of an annotation file."""

    file: Path
    fingerprint: str
    """sha256 of the box file."""
    image_ids: NDArray[np.int64]
    """(N,)"""
    boxes: NDArray[np.float64]
    """(N, 4) x, y, width, height."""
    scores: NDArray[np.float64]
    """(N,)"""
    dropped: dict[str, int]
    """How many boxes of the file are not used, by reason."""

    def __len__(self) -> int:
        """Number of boxes N."""
        return len(self.scores)

    def summary(self) -> str:
        """One line: what was read and what was left out."""
        pictures = len(np.unique(self.image_ids))
        text = f"{self.file.name}: {len(self):,} boxes in {pictures:,} pictures"
        return text + left_out(self.dropped)


def finite_rows(*columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of N rows (N, ...) have finite numbers only."""
    finite = np.ones(len(columns[0]), dtype=bool)
    for column in columns:
        finite &= np.isfinite(column).all(axis=tuple(range(1, column.ndim)))
    return finite


def require_finite(
    finite: NDArray[np.bool_], ids: NDArray[np.int64], file: Path, on_error: str
) -> None:
    """Raise DamagedFile for entries with numbers that are not finite, unless they are skipped."""
    if on_error == "stop" and not finite.all():
        raise DamagedFile(
            f"{file}: {np.count_nonzero(~finite):,} entries have a box or joints that are not "
            f"finite numbers, first {ids[~finite][0]}; correct it, or say --data.on_error skip"
        )
