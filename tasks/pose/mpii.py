"""MPII annotations in the JSON form of the published code, with the official head sizes."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from common.reading.annotations import read_json, require_pictures
from common.reading.matlab import read_mat
from tasks.pose.annotations import Annotations, finite_rows, require_finite
from tasks.pose.skeleton import MPII

_TRUTH_SHAPES = {
    "pos_gt_src": (MPII.joints, 2),
    "jnt_missing": (MPII.joints,),
    "headboxes_src": (2, 2),
}
_SHAPES = {"center": (2,), "scale": (), "joints": (MPII.joints, 2), "joints_vis": (MPII.joints,)}


def read_mpii(root: Path, split: str, on_error: str = "stop") -> Annotations:
    """Persons of `annot/{split}.json` under a root with `images/`; pixels count from 0.

    The split "valid" takes joints and head sizes from `annot/gt_valid.mat`, as the official score
    does.
    """
    file = _annotation_file(root, split)
    content, fingerprint = read_json(file)
    center, scale, points, visible = _columns(content, file)
    joints, head_sizes = np.dstack([points, visible]), np.empty(0)
    measured = np.ones(len(scale), dtype=bool)
    truth = root / "annot" / "gt_valid.mat"
    if split == "valid":
        joints, head_sizes = _truth(truth, len(scale))
        measured = head_sizes > 0
        fingerprint = hashlib.sha256((fingerprint + _sha256(truth)).encode()).hexdigest()
    # The files count pixels from 1.
    joints[:, :, :2] -= 1
    ids = np.arange(len(scale))
    finite = finite_rows(center, scale, joints)
    require_finite(finite, ids, file, on_error)
    labelled = (joints[:, :, 2] > 0).any(axis=1)
    placed = finite & (scale > 0) & (center[:, 0] != -1)
    keep = labelled & placed & measured
    if on_error == "stop" and (labelled & placed & ~measured).any():
        first = int(np.argmax(labelled & placed & ~measured))
        raise DamagedFile(
            f"{truth}: person {first} has a head box of no size, by which PCKh divides; correct "
            "it, or say --data.on_error skip"
        )
    if not keep.any():
        raise UserError(f"{file}: has no person with joints among {len(ids)} entries")
    images, image_ids = _pictures(root / "images", [str(entry["image"]) for entry in content])
    if on_error == "stop":
        require_pictures(list(images.values()), file)
    return Annotations(
        skeleton=MPII,
        file=file,
        fingerprint=fingerprint,
        images=images,
        sizes={},
        ids=ids[keep],
        image_ids=image_ids[keep],
        boxes=_boxes(center, scale)[keep],
        joints=joints[keep],
        head_sizes=head_sizes[keep] if head_sizes.size else head_sizes,
        dropped={
            "without joints": int(np.count_nonzero(~labelled)),
            "without a place or size": int(np.count_nonzero(labelled & ~placed)),
            "without the size of a head": int(np.count_nonzero(labelled & placed & ~measured)),
        },
    )


def _boxes(center: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (N, 4) whose crops, padded by 1.25, are those of the published code."""
    # It moves the centre down, so that the feet are not cut off, before it leaves 1-based pixels.
    middle = center + np.column_stack([np.zeros_like(scale), 15 * scale]) - 1
    side = np.column_stack([scale, scale]) * 200
    return np.concatenate([middle - side / 2, side], axis=1)


def _columns(content: Any, file: Path) -> list[NDArray[np.float64]]:
    """Center (N, 2), scale (N,), joints (N, 16, 2) and their visibility (N, 16)."""
    if not isinstance(content, list) or not content:
        raise UserError(f"{file}: is not an MPII file, which is a list of persons")
    columns = []
    for key, shape in _SHAPES.items():
        for row, entry in enumerate(content):
            if not isinstance(entry, dict) or key not in entry or "image" not in entry:
                raise DamagedFile(f"{file}: person {row} has no '{key}' or no 'image'")
            found = _shape(entry[key])
            if found != shape:
                raise DamagedFile(
                    f"{file}: person {row} has '{key}' of shape {found}, expected {shape}; is this "
                    f"MPII's format, with {MPII.joints} joints?"
                )
        columns.append(np.array([entry[key] for entry in content], dtype=np.float64))
    return columns


def _shape(value: Any) -> tuple[int, ...] | str:
    """Shape of nested lists of numbers, of which null is one that is not known."""
    try:
        return np.asarray(value, dtype=np.float64).shape
    except (TypeError, ValueError, OverflowError):
        return "no table of numbers"


def _pictures(folder: Path, names: list[str]) -> tuple[dict[int, Path], NDArray[np.int64]]:
    """Pictures by number, in order of their first person, and the number of each person's."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    images = {number: folder / name for name, number in numbers.items()}
    return images, np.array([numbers[name] for name in names], dtype=np.int64)


def _truth(file: Path, persons: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joints (N, 16, 3) in 1-based pixels with visibility, and head diagonals (N,)."""
    if not file.is_file():
        raise UserError(f"{file}: no such file; PCKh needs it")
    what = "MPII's ground truth file"
    content = read_mat(file, what)
    columns = {}
    for key, shape in _TRUTH_SHAPES.items():
        column = np.asarray(content.get(key))
        if column.shape[:-1] != shape or column.dtype.kind not in "biuf":
            raise DamagedFile(
                f"{file}: is not {what}: '{key}' is not a table of {shape} numbers for each person"
            )
        columns[key] = column.astype(np.float64)
    counts = {column.shape[-1] for column in columns.values()}
    if counts != {persons}:
        found = " and ".join(map(str, sorted(counts)))
        raise UserError(f"{file}: has {found} persons, valid.json {persons}; take one set")
    joints = np.dstack([columns["pos_gt_src"].transpose(2, 0, 1), 1 - columns["jnt_missing"].T])
    head_sizes: NDArray[np.float64] = np.linalg.norm(
        columns["headboxes_src"][1] - columns["headboxes_src"][0], axis=0
    )
    return joints, head_sizes


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _annotation_file(root: Path, split: str) -> Path:
    """The annotation file, or an error that says what the folder looks like instead."""
    name = f"annot/{split}.json"
    if (root / name).is_file():
        return root / name
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    for folder in (root.parent, *sorted(root.iterdir())):
        if (folder / name).is_file():
            raise UserError(
                f"--data.root {root}: has no {name}; {folder} has it: say --data.root {folder}"
            )
    splits = ", ".join(sorted(path.stem for path in root.glob("annot/*.json"))) or "none"
    raise UserError(
        f"--data.root {root}: has no {name} (splits there: {splits}); MPII is laid out as "
        "annot/{train,valid}.json, annot/gt_valid.mat and images/"
    )
