"""The tab of volumes: a scan in, outlines and millilitres out. Research only, no diagnosis."""

import gzip
import tempfile
import zipfile
import zlib
from contextvars import copy_context
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from app import archives
from app.clips import PROGRESS, cancelled
from app.heads.head import Head, Line
from app.parts import chosen, listed, said, upload_of
from app.settings import MEGABYTE, LimitsConfig
from app.site import Site
from app.turns import Deadline
from common.commands.inputs import Source
from common.errors import UserError
from tasks.volumes import dicom, nifti
from tasks.volumes.draw import colour_of
from tasks.volumes.inference import read_scan
from tasks.volumes.nifti import RESEARCH
from tasks.volumes.predict import PredictConfig, Prediction

_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_NAME = "volume"


def build(site: Site) -> None:
    """Lay the tab out."""
    job = gr.State(None)
    limits, heads = site.limits, {one.name: one for one in site.heads.volumes}
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            given = gr.File(
                label="Scan: NIfTI, or a zip of one DICOM series",
                file_types=[".nii", ".gz", ".zip"], elem_id="volume", height=140,
            )  # fmt: skip
            name = gr.Dropdown(
                list(heads), value=next(iter(heads)), label="Run", visible=len(heads) > 1
            )
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="volume-start")
                stop = gr.Button("Cancel", elem_id="volume-cancel")
            gr.HTML(
                f'<p class="times">{RESEARCH}. At most {limits.upload_megabytes:g} MB, '
                f"{limits.archive_megabytes:g} MB unpacked, {limits.megavoxels:g} million voxels, "
                f"{limits.archive_files} slices of DICOM.</p>"
            )
            told = gr.HTML(elem_id="volume-told")
            files = gr.File(label="Results", interactive=False, elem_id="volume-files")
        with gr.Column(scale=2, min_width=320):
            sheet = gr.Image(
                label="Slices with outlines", height=330, elem_id="volume-sheet",
                buttons=["fullscreen", "download"],
            )  # fmt: skip
            film = gr.Image(
                label="From the feet to the head", height=250, elem_id="volume-film", buttons=[]
            )

    def run(its: Deadline, upload: Any, of: str, progress: Any = PROGRESS) -> Any:
        """What predict writes of the scan."""
        file = upload_of(upload)
        if file is None:
            raise UserError("no scan is given; upload one")
        found = worked_off(site, file, chosen(heads, of), its, progress)
        every = [str(one) for one in found.files]
        return listed(found.lines) + f"<p>{RESEARCH}</p>", every, str(found.sheet), str(found.film)

    begun = start.click(
        lambda: Deadline(limits.job_seconds), None, job, queue=False, api_visibility="private"
    )
    begun.then(
        said(run), [job, given, name], [told, files, sheet, film], api_visibility="private",
        preprocess=False, concurrency_id="clips", concurrency_limit=2, show_progress_on=sheet,
    )  # fmt: skip
    stop.click(cancelled, job, None, queue=False, api_visibility="private")


class Result(NamedTuple):
    """What is written for a visitor, and what stands beside it."""

    files: list[Path]
    sheet: Path
    film: Path
    lines: list[Line]
    """Millilitres of each class."""


def worked_off(site: Site, file: Path, head: Head, job: Deadline, progress: Any) -> Result:
    """What predict writes of an uploaded scan.

    Raises:
        UserError: the scan is refused or damaged, too many jobs wait, it takes too long, or was
            cancelled.
    """
    target = Path(tempfile.mkdtemp(dir=site.folder))
    with tempfile.TemporaryDirectory(dir=site.folder) as folder:
        scan = unpacked(file, Path(folder), site.limits)
        work = partial(_predicted, scan, head, target, job, progress)
        here = copy_context()  # which knows who is told of the progress
        try:
            return site.turns.run(lambda _: here.run(work))
        except UserError as error:
            raise UserError(scan.spoken(str(error))) from error


class Scan(NamedTuple):
    """An uploaded scan where it can be read."""

    path: Path
    """A NIfTI file, or a folder of DICOM."""
    names: dict[Path, str]
    """What the visitor calls the files in it."""

    def spoken(self, text: str) -> str:
        """A message without the places of this machine."""
        for path, name in self.names.items():
            text = text.replace(str(path), name)
        return text.replace(f"{self.path}: ", "").replace(str(self.path), "the scan")


def unpacked(file: Path, folder: Path, limits: LimitsConfig) -> Scan:
    """An uploaded scan, unpacked into an empty folder, of which no voxel was decoded.

    Raises:
        UserError: it is none, damaged, or too large.
    """
    if file.stat().st_size > limits.upload_bytes:
        raise UserError(f"the scan has more than {limits.upload_megabytes:g} MB")
    packed = zipfile.is_zipfile(file)
    scan = _series(file, folder, limits) if packed else _single(file, folder, limits)
    try:
        shape = dicom.shape_of(folder) if packed else nifti.shape_of(scan.path)
    except UserError as error:
        raise UserError(scan.spoken(str(error))) from error
    if shape[0] * shape[1] * shape[2] > limits.megavoxels * 1e6:
        raise UserError(
            f"the scan has {' x '.join(map(str, shape))} voxels; at most {limits.megavoxels:g} "
            "million are taken: crop it, or make its voxels larger"
        )
    return scan


def _series(file: Path, folder: Path, limits: LimitsConfig) -> Scan:
    """The DICOM files of an archive, under names of the server's own."""
    names, unpacking = {}, folder / "unpacking"
    with archives.opened(file, limits, archives.EVERY) as archive:
        for number, member in enumerate(archive.members(unpacking)):
            if dicom.is_slice(unpacking):
                slice_file = unpacking.rename(folder / f"{number:05d}.dcm")
                names[slice_file] = str(member.name)
    unpacking.unlink(missing_ok=True)
    if not names:
        raise UserError("the archive has no DICOM file; NIfTI is uploaded as it is")
    return Scan(folder, names)


def _single(file: Path, folder: Path, limits: LimitsConfig) -> Scan:
    """A NIfTI file, inflated up to the limit: its header could tell of any number of bytes."""
    target, most = folder / f"{_NAME}.nii", limits.archive_megabytes * MEGABYTE
    with file.open("rb") as opened:
        opener = gzip.open if opened.read(len(_GZIP)) == _GZIP else open
    written = 0
    try:
        with opener(file, "rb") as inflated, target.open("wb") as plain:
            while part := inflated.read(_BLOCK):
                written += len(part)
                if written > most:
                    raise UserError(
                        f"the scan takes more than {limits.archive_megabytes:g} MB unpacked"
                    )
                plain.write(part)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"the scan is damaged or cut short ({error})") from error
    return Scan(target, {})


def _predicted(scan: Scan, head: Head, target: Path, job: Deadline, progress: Any) -> Result:
    def between(share: float) -> None:
        job.check()
        progress(share, desc="slices")

    job.check()
    predictor, volume = head.predictor, read_scan(scan.path)
    own = {one.name: getattr(predictor.config, one.name) for one in fields(predictor.config)}
    config = PredictConfig(**{**own, "out": target})
    writer, source = Prediction(predictor, config), Source(scan.path, Path(_NAME), _NAME)
    entries = writer.write(source, volume, predictor.segment(volume, between=between))
    writer.finish(entries)
    sheet, film = (target / entries[0][name] for name in ("sheet", "slices"))
    lines = [
        Line(row["class"], f"{row['millilitres']:.1f} ml", colour_of(label))
        for label, row in enumerate(entries[0]["classes"], start=1)
    ]
    return Result(sorted(target.iterdir()), sheet, film, lines)
