"""Data sets of scans with labels: crops of a few slices for training, whole volumes for scores."""

import hashlib
import os
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from common.errors import UserError
from common.reading.left_out import LeftOut
from common.reading.pairs import Pair, fingerprint
from tasks.volumes import nifti, sample
from tasks.volumes.config import Config, DataConfig
from tasks.volumes.layouts import Case, cases, class_names, split_of
from tasks.volumes.transforms import Sample, crop, neighbours, shown, vary, voxels_by_class
from tasks.volumes.volume import Labels, Values, Volume, nearest, resampled, working_shape

AnyConfig = TypeVar("AnyConfig", bound=Config)

_VOXELS = 4000
"""Of each class that are remembered for choosing crops."""


@dataclass(frozen=True)
class Split:
    """The cases of a split, and how they are read."""

    name: str
    cases: list[Case]
    classes: tuple[str, ...]
    fold: str
    """Which part of the data it is, in words."""

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.cases)

    @property
    def files(self) -> list[Path]:
        """The scans."""
        return [case.image for case in self.cases]

    def read(self, index: int) -> tuple[Volume, Labels]:
        """A scan and its labels, in the working orientation.

        Raises:
            DamagedFile: one of them cannot be read, or they lie on other voxels.
            UserError: the labels are of other classes.
        """
        case = self.cases[index]
        volume = nifti.read(case.image)
        return volume, nifti.read_labels(case.label, volume, len(self.classes))

    def summary(self) -> str:
        """One line: what was read."""
        return f"{self.name}: {len(self):,} cases ({self.fold}), {len(self.classes)} classes"

    def fingerprint(self) -> str:
        """sha256 over the names of the scans and the bytes of their labels."""
        return fingerprint(Pair(case.image, case.label) for case in self.cases)


def root_of(config: Config) -> Path:
    """--data.root, or the folder of the generated sample set without one."""
    return config.data.root or sample.sample_set()


def with_classes(config: AnyConfig) -> AnyConfig:
    """The config with the names of its classes spelt out: a run says what its labels mean.

    Raises:
        UserError: nothing names them, or a setting names a class that is not there.
    """
    root = root_of(config)
    if not config.data.classes and not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    names = class_names(root, config.data)
    unknown = [name for name in config.test.largest_component if name not in names]
    if unknown:
        raise UserError(
            f"--test.largest_component: no class {unknown[0]!r}; there are {', '.join(names)}"
        )
    for region, labels in (config.test.regions or {}).items():
        if not labels or not all(0 < label < len(names) for label in labels):
            raise UserError(
                f"--test.regions: {region} has the labels {list(labels)}; allowed: 1 to "
                f"{len(names) - 1}"
            )
    return replace(config, data=replace(config.data, classes=names))


def read(config: Config, split: str) -> Split:
    """A split of the data set; its first case is read, as a check of the settings.

    Raises:
        UserError: files are missing, or the labels are of other classes.
        DamagedFile: the first case cannot be used.
    """
    root, data = root_of(config), config.data
    found = split_of(root, config, split, cases(root, data))
    part = "all" if split == "all" else f"fold {config.fold}"
    whole = Split(split, found, class_names(root, data), part)
    if data.on_error == "stop":
        whole.read(0)
    return whole


class Prepared(NamedTuple):
    """A case as crops are cut from it."""

    values: Values
    labels: Labels
    gap: float
    """Millimetres between slices."""
    voxels: dict[int, NDArray[np.int32]]
    """(N, 3) some of each class that occurs."""


def prepared(split: Split, index: int, data: DataConfig) -> Prepared:
    """A case at --data.spacing, with some voxels of each class.

    Raises:
        DamagedFile: it cannot be read.
    """
    volume, labels = split.read(index)
    shape = working_shape(volume, data.spacing)
    seed = zlib.crc32(split.cases[index].name.encode(errors="surrogateescape"))
    same = shape == volume.shape
    values = np.ascontiguousarray(volume.values) if same else resampled(volume.values, shape)
    small = np.ascontiguousarray(labels) if same else nearest(labels, shape)
    gap = volume.spacing[0] * volume.shape[0] / shape[0]
    found = voxels_by_class(small, len(split.classes), _VOXELS, seed)
    return Prepared(values, small, gap, found)


def kept(split: Split, index: int, data: DataConfig, folder: Path) -> Prepared:
    """A case that is kept in a folder, whose slices are read from disk when they are cut.

    Raises:
        DamagedFile: it cannot be read.
        UserError: the folder cannot be written.
    """
    base = folder / f"{split.cases[index].name}-{_digest(split.cases[index], data)}"
    files = [base.with_name(f"{base.name}_{kind}.npy") for kind in ("values", "labels", "rest")]
    if not files[2].is_file():
        made = prepared(split, index, data)
        voxels = [np.insert(rows, 0, number, axis=1) for number, rows in made.voxels.items()]
        rest = np.concatenate([np.full((1, 4), made.gap), *voxels])
        arrays: tuple[NDArray[Any], ...] = (made.values, made.labels, rest)
        for file, array in zip(files, arrays, strict=True):
            _save(file, array)
    values, labels = (np.load(file, mmap_mode="r") for file in files[:2])
    rest = np.load(files[2])
    numbers = rest[1:].astype(np.int32)
    voxels_of = {int(one): numbers[numbers[:, 0] == one, 1:] for one in np.unique(numbers[:, 0])}
    return Prepared(values, labels, float(rest[0, 0]), voxels_of)


def _save(file: Path, array: NDArray[Any]) -> None:
    """Write an array whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as opened:
            np.save(opened, array)
        Path(unfinished).replace(file)
    except OSError as error:
        raise UserError(
            f"--data.prepared {file.parent}: cannot be written ({error.strerror})"
        ) from error


def _digest(case: Case, data: DataConfig) -> str:
    """Of all that decides what is kept of a case."""
    parts: list[object] = [data.spacing, data.classes]
    for path in (case.image, case.label):
        state = path.stat()
        parts += [str(path.resolve()), state.st_size, state.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()[:16]


class TrainSet:
    """Crops of a split's cases as training samples; common.training.sampling draws from it."""

    def __init__(self, split: Split, config: DataConfig) -> None:
        self.split, self.config = split, config
        self._held: dict[int, Prepared] = {}

    def __len__(self) -> int:
        """Number of crops of an epoch."""
        return len(self.split) * self.config.crops_per_case

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Slices (C, h, w) bytes, label (h, w) bytes of the middle one, index of the crop.

        --data.foreground_share of the crops lie around a voxel of a class, of which each that the
        case has is as likely; the others lie anywhere.

        Raises DamagedFile when the case cannot be read.
        """
        config, case = self.config, self._case(index % len(self.split))
        depth, rows, columns = case.values.shape
        if case.voxels and generator.random() < config.foreground_share:
            number = sorted(case.voxels)[int(generator.integers(len(case.voxels)))]
            z, y, x = generator.choice(case.voxels[number]).tolist()
        else:
            z, y, x = (int(generator.integers(side)) for side in (depth, rows, columns))
        chosen = neighbours(z, depth, config, case.gap)
        # Of a file that is read from disk only these slices are read.
        whole = Sample(np.stack([case.values[one] for one in chosen]), np.asarray(case.labels[z]))
        varied = vary(crop(whole, (y, x), config, generator), config, generator)
        return {
            "slices": shown(varied.slices, config.windows),
            "label": np.ascontiguousarray(varied.label),
            "index": index,
        }

    def _case(self, index: int) -> Prepared:
        if index not in self._held:
            folder = self.config.prepared
            self._held[index] = (
                prepared(self.split, index, self.config)
                if folder is None
                else kept(self.split, index, self.config, folder)
            )
        return self._held[index]


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole scans and their labels, for evaluation.

    A case that cannot be read is None when on_error is "skip", and reported on stderr.
    """

    def __init__(self, split: Split, config: DataConfig) -> None:
        self.split, self.config = split, config

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Volume, labels (Z, Y, X) and index."""
        with LeftOut(self.config.on_error):
            volume, labels = self.split.read(index)
            return {"volume": volume, "labels": labels, "index": index}
        return None
