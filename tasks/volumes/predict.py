"""``python -m tasks.volumes.predict --run runs/volumes INPUT... --out DIR``: organs and tumours.

INPUT are NIfTI files, folders of them, and folders that hold a DICOM series each. Of a volume NAME
are written `NAME_labels.nii.gz` on the volume's own voxels, `NAME_sheet.jpg` with outlines and
`NAME_slices.gif`; on request `NAME_slices.mp4` and `NAME_probability_CLASS.nii.gz`. `volumes.csv`
has the millilitres of each class, `volumes.json` all that is known. Research only, no diagnosis.
"""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags, Source
from common.commands.journal import Entry
from common.errors import UserError
from common.reading import image, video
from common.training import distributed
from common.training.distributed import World
from tasks.volumes import dicom, nifti, sample
from tasks.volumes.config import ScoredConfig
from tasks.volumes.draw import FRAME, frames, sheet, write_gif
from tasks.volumes.inference import Found, Predictor, open_model, read_scan
from tasks.volumes.nifti import RESEARCH, VOLUMES
from tasks.volumes.volume import Volume

Output = Literal["labels", "sheet", "slices", "movie", "probabilities"]

SUFFIXES: dict[Output, str] = {
    "labels": "_labels.nii.gz", "sheet": "_sheet.jpg", "slices": "_slices.gif",
    "movie": "_slices.mp4", "probabilities": "_probability_",
}  # fmt: skip
_COLUMNS = ("file", "class", "voxels", "millilitres", "note")


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Find organs and tumours in volumes. Research only, no diagnosis."""

    outputs: tuple[Output, ...] = ("labels", "sheet", "slices")
    """What is written of each volume: labels and probabilities (NIfTI), sheet (JPEG), slices (GIF),
    movie (the same as MP4)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.outputs:
            raise UserError(f"--outputs is empty; choose from {', '.join(SUFFIXES)}")
        if self.camera is not None:
            raise UserError("--camera: gives no volumes; name NIfTI files or folders of DICOM")


class Prediction:
    """What the loop of predict asks of volumes."""

    def __init__(self, predictor: Predictor, config: PredictConfig) -> None:
        self.predictor, self.config = predictor, config

    def find(self, source: Source, picture: Volume, frame: int | None) -> Found:
        """The labels of a volume."""
        return self.predictor.segment(picture, "probabilities" in self.config.outputs)

    def write(self, source: Source, picture: Volume, found: Found) -> list[Entry]:
        """Write what was asked for."""
        config, files = self.config, {}
        for kind in config.outputs:
            files[str(kind)] = name = f"{source.place}{SUFFIXES[kind]}"
            match kind:
                case "labels":
                    nifti.write_labels(config.out / name, found.labels, found.grid)
                case "sheet":
                    image.write(config.out / name, sheet(picture, found.labels, config))
                case "slices":
                    write_gif(config.out / name, frames(picture, found.labels, config))
                case "movie":
                    film = frames(picture, found.labels, config)
                    video.write(config.out / name, film, 1000 / FRAME)
                case "probabilities":
                    self._write_probabilities(name, found)
        return [{"file_name": source.name, **files, **self.predictor.describe(found)}]

    def _write_probabilities(self, name: str, found: Found) -> None:
        assert found.probabilities is not None
        for label, share in enumerate(found.probabilities):
            target = self.config.out / f"{name}{_plain(self.predictor.classes[label])}.nii.gz"
            nifti.write_share(target, share, found.grid)

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write volumes.json and volumes.csv."""
        out = self.config.out
        content = {"note": RESEARCH, "files": list(entries)}
        outputs.write_text(out / "volumes.json", json.dumps(content, indent=1) + "\n")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for entry in entries:
            for row in entry["classes"]:
                numbers = (row["voxels"], row["millilitres"])
                writer.writerow((entry["file_name"], row["class"], *numbers, RESEARCH))
        outputs.write_text(out / "volumes.csv", text.getvalue())


def _plain(name: str) -> str:
    """A class's name as part of a file's name."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def listed(paths: Sequence[Path], recursive: bool) -> dict[Path, Path]:
    """Volumes that are named, and those in folders, each with its folder under --out.

    A folder that holds DICOM files is one volume.

    Raises:
        UserError: a path does not exist, or a folder has no volume.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        within = sorted(path.rglob("*")) if recursive and path.is_dir() else []
        series = [one for one in (path, *within) if dicom.is_series(one)]
        files = [one for one in within if one.is_file() and VOLUMES.has(one.name)]
        if not series:
            found |= inputs.listed([path], recursive, VOLUMES)
        for one in (*series, *files):
            found[one] = Path() if one == path else one.parent.relative_to(path)
    return found


def main() -> None:
    """Read the flags, and write what is found."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write what is found in every volume into config.out, and volumes.csv there."""
    suffixes = [SUFFIXES[kind] for kind in config.outputs]
    with inputs.given(config, "predict --run runs/volumes", generate, listed) as found:
        given = inputs.placed(found, config, config.out, suffixes)
        model = open_model(config, world.device)
        done = predicting.each(
            given,
            Prediction(Predictor(model, config), config),
            config.out,
            world,
            settings=journal.digest(config, model.weights.file),
            resume=config.resume,
            workers=0,  # a volume fills memory: none is read ahead, and none waits to be written
            waiting=0,
            on_error=config.data.on_error,
            read=read_scan,
        )
    if world.main:
        print(f"{done.pictures} volumes in {config.out}; {RESEARCH.lower()}")
        done.report("volumes")


def generate(folder: Path, count: int) -> list[Path]:
    """Write volumes that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, cases=count)
    return sorted((folder / "imagesTr").glob("*.nii.gz"))


if __name__ == "__main__":
    command.run(main)
