"""From a run to a predictor, and from a volume to its labels, slice by slice.

Memory does not grow with the classes: besides the volume and its labels only the probabilities of a
few slices are ever there. Those of neighbouring slices are interpolated, class by class, before the
greatest is taken.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from common.commands import trained
from common.commands.opened import Opened, opened
from common.commands.predictor import Device, Precision, flags_of
from common.errors import DamagedFile, UserError
from common.networks.segmentation import SegmentationModel
from common.reading.image import Picture
from common.training.distributed import choose_device
from tasks.volumes import dicom, nifti
from tasks.volumes.config import Config, ScoredConfig
from tasks.volumes.draw import sheet
from tasks.volumes.metrics import largest_piece
from tasks.volumes.model import LAYOUT, build
from tasks.volumes.transforms import neighbours, stack
from tasks.volumes.volume import (
    Grid,
    Labels,
    Spacing,
    Volume,
    grid_of,
    places,
    slices_of,
    working_shape,
)
from tasks.volumes.windows import in_windows

Scan = NDArray[Any] | Path | str
"""HU (Z, Y, X): from feet to head, front to back, the patient's right to left; or a file, or a
folder of DICOM files."""


Between = Callable[[float], None]
"""Is told the share of the slices that is done; what it raises ends the work."""


class Found(NamedTuple):
    """What is found in a volume."""

    labels: Labels
    """(Z, Y, X) numbers of classes, in the working orientation."""
    grid: Grid
    """Where the voxels of the volume's file lie."""
    probabilities: NDArray[np.uint8] | None
    """(C, Z, Y, X), 255 for 1; None unless they were asked for."""

    @property
    def millilitres(self) -> float:
        """Of a voxel."""
        return math.prod(self.grid.spacing) / 1000


def open_model(config: ScoredConfig, device: torch.device) -> Opened[SegmentationModel]:
    """The trained model that the config names.

    Raises:
        UserError: it is missing, damaged or another model.
    """
    weights = trained.find(config, LAYOUT.translate)
    return opened(config, build(config), weights, LAYOUT.explain, device)


def read_scan(scan: Path | str) -> Volume:
    """The volume of a NIfTI file, or of a folder that holds one DICOM series.

    Raises:
        DamagedFile: it cannot be read.
    """
    path = Path(scan)
    if dicom.is_slice(path):
        raise DamagedFile(f"{path}: is one slice of DICOM; name the folder of its series")
    return dicom.read(path) if path.is_dir() else nifti.read(path)


class Predictor:
    """Segments volumes.

        predictor = Predictor.open("runs/volumes")
        found = predictor("scan.nii.gz")
        predictor.describe(found)["classes"]

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[SegmentationModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config
        self.classes = config.data.classes
        """Their names, by label."""

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        checkpoint: str = "best",
        device: Device = "auto",
        precision: Precision = "fp32",
        compile: bool = False,
        flags: Sequence[str] = (),
    ) -> Self:
        """The predictor of a run; the arguments are those of `tasks.open_run`.

        Raises:
            UserError: there is no such run, its checkpoint is damaged, or a flag is wrong.
        """
        config = flags_of(ScoredConfig, source, checkpoint, device, precision, compile, flags)
        return cls(open_model(config, choose_device(config.engine.device)), config)

    def __call__(self, scan: Scan, spacing: Spacing | None = None) -> Found:
        """The labels of a volume.

        Args:
            scan: HU (Z, Y, X) in the working orientation, or a file or folder.
            spacing: of an array, millimetres between slices, rows and columns.

        Raises:
            DamagedFile: the file cannot be read.
            ValueError: the array has no spacing or another shape.
        """
        return self.segment(volume_of(scan, spacing))

    def many(self, scans: Sequence[Path | str]) -> list[Found]:
        """The labels of several files, one after the other."""
        return [self(scan) for scan in scans]

    def segment(
        self, volume: Volume, probabilities: bool = False, between: Between | None = None
    ) -> Found:
        """The labels of a volume, on request with the probabilities of all classes."""
        network, device = self.opened.network, self.opened.device
        with self.opened.running():
            labels, shares = segment(network, volume, self.config, device, probabilities, between)
        return Found(labels, volume.grid, shares)

    def draw(self, scan: Scan, found: Found, spacing: Spacing | None = None) -> Picture:
        """A sheet of slices with the outlines of what was found (H, W, 3), uint8 RGB."""
        return sheet(volume_of(scan, spacing or found.grid.spacing), found.labels, self.config)

    def describe(self, found: Found) -> dict[str, Any]:
        """Voxels and millilitres of each class."""
        counts = np.bincount(found.labels.ravel(), minlength=len(self.classes))
        rows = [
            {
                "class": name,
                "voxels": int(count),
                "millilitres": round(float(count) * found.millilitres, 4),
            }
            for name, count in list(zip(self.classes, counts, strict=True))[1:]
        ]
        spacing = [round(one, 6) for one in found.grid.spacing]
        return {"classes": rows, "spacing": spacing, "note": nifti.RESEARCH}


def volume_of(scan: Scan, spacing: Spacing | None) -> Volume:
    """A volume of whatever a caller has."""
    if isinstance(scan, str | Path):
        return read_scan(scan)
    if not isinstance(scan, np.ndarray) or scan.ndim != 3 or not scan.size:
        raise ValueError("the volume must be a path, or HU (Z, Y, X) of at least one voxel")
    if spacing is None or len(spacing) != 3 or not min(spacing) > 0:
        raise ValueError(
            f"spacing is {spacing}; an array needs its millimetres between slices, rows and columns"
        )
    z, y, x = scan.shape
    values = np.clip(np.rint(scan), -32768, 32767).astype(np.int16)
    return Volume(values, grid_of((z, y, x), spacing))


def segment(
    network: nn.Module,
    volume: Volume,
    config: Config,
    device: torch.device,
    keep: bool = False,
    between: Between | None = None,
) -> tuple[Labels, NDArray[np.uint8] | None]:
    """Labels (Z, Y, X) of a volume, and if `keep` the probabilities (C, Z, Y, X), 255 for 1.

    Args:
        network: in eval mode, on the device.
        volume: in the working orientation.
        config: of the run.
        device: where the network is.
        keep: whether probabilities are wanted, a byte for each voxel and class.
        between: called before each batch of slices.

    Raises:
        UserError: the network's answers are not finite: it is broken.
    """
    depth, height, width = volume.shape
    labels = np.empty(volume.shape, np.uint8)
    shares = np.empty((len(config.data.classes), *volume.shape), np.uint8) if keep else None
    working = working_shape(volume, config.data.spacing)
    exact = _answers(network, volume, working, config, device, between)
    answers = smoothed(exact, config.test.smoothing)
    lower, upper, part = places(depth, working[0])
    held: dict[int, Tensor] = {}
    made = 0
    for index in range(depth):
        while made <= upper[index]:
            held[made] = next(answers)
            made += 1
        for passed in [one for one in held if one < lower[index]]:
            del held[passed]
        mixed = held[int(lower[index])]
        if part[index]:
            mixed = torch.lerp(mixed, held[int(upper[index])], float(part[index]))
        if mixed.shape[1:] != (height, width):
            mixed = F.interpolate(
                mixed[None], (height, width), mode="bilinear", align_corners=False
            )[0]
        labels[index] = mixed.argmax(0).to(torch.uint8).cpu().numpy()
        if shares is not None:
            shares[:, index] = (mixed * 255).round().to(torch.uint8).cpu().numpy()
    for name in config.test.largest_component:
        largest_piece(labels, config.data.classes.index(name))
    return labels, shares


def _answers(
    network: nn.Module,
    volume: Volume,
    shape: tuple[int, int, int],
    config: Config,
    device: torch.device,
    between: Between | None,
) -> Iterator[Tensor]:
    """Probabilities (C, H, W), float32, of the slices of the working shape, from the lowest on."""
    data, test, depth = config.data, config.test, shape[0]
    gap = volume.spacing[0] * volume.shape[0] / depth
    # Neighbouring stacks share slices, each of which is interpolated once.
    at = lru_cache(maxsize=64)(slices_of(volume.values, shape))
    for first in range(0, depth, test.batch_size):
        if between is not None:
            between(first / depth)
        some = range(first, min(first + test.batch_size, depth))
        stacks = [stack(at, neighbours(index, depth, data, gap), data.windows) for index in some]
        batch = torch.from_numpy(np.stack(stacks)).to(device)
        found = in_windows(network, batch, test)
        if test.flip:
            found = (found + in_windows(network, batch.flip(-1), test).flip(-1)) / 2
        if not torch.isfinite(found).all():
            raise UserError("the model's answer is not finite: this checkpoint is of a failed run")
        yield from found


def smoothed(answers: Iterator[Tensor], deviation: float) -> Iterator[Tensor]:
    """Each slice's probabilities averaged with those of its neighbours, weighted by a Gaussian.

    At the ends there are fewer neighbours. As many are held as have a weight: two deviations.
    """
    if not deviation:
        yield from answers
        return
    reach = math.ceil(2 * deviation)
    weights = [math.exp(-0.5 * (one / deviation) ** 2) for one in range(-reach, reach + 1)]
    held: deque[Tensor | None] = deque([None] * len(weights), maxlen=len(weights))
    for answer in chain(answers, [None] * reach):
        held.append(answer)
        if held[reach] is not None:
            yield _weighted(held, weights)


def _weighted(held: Iterable[Tensor | None], weights: Sequence[float]) -> Tensor:
    pairs = [(one, weight) for one, weight in zip(held, weights, strict=True) if one is not None]
    total = sum(weight for _, weight in pairs)
    return torch.stack([one * (weight / total) for one, weight in pairs]).sum(0)
