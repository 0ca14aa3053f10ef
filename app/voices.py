"""The tab of voices: two recordings, one speaker or two."""

import html
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
import torch

from app.heads.head import Head
from app.parts import chosen, said, upload_of
from app.site import Site
from common.errors import UserError
from common.reading.image import Picture
from tasks.speaker import audio
from tasks.speaker.data import load
from tasks.speaker.features import Fbank

_CONTAINERS = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
_SIZE = (520, 120)
"""Width and height of a spectrogram."""


def build(site: Site) -> None:
    """Lay the tab out."""
    heads = {one.name: one for one in site.heads.voices}
    with gr.Row():
        sides = []
        for side in ("First voice", "Second voice"):
            with gr.Column(min_width=320):
                recording = gr.Audio(
                    label=side, type="filepath", sources=["upload", "microphone"],
                    elem_id=side.split()[0].lower() + "-voice", buttons=[],
                )  # fmt: skip
                sides.append(
                    (
                        recording,
                        gr.Image(label="Filter banks", height=150, buttons=[], format="png"),
                    )
                )
    name = gr.Dropdown(list(heads), value=next(iter(heads)), label="Run", visible=len(heads) > 1)
    button = gr.Button("Same speaker?", variant="primary", elem_id="voices-start")
    told = gr.HTML(elem_id="voices-told")

    def compare(one: Any, other: Any, of: str) -> list[Any]:
        """Verdict and spectrograms."""
        first, second = upload_of(one), upload_of(other)
        if first is None or second is None:
            raise UserError("two recordings are needed; record or upload them")
        files = [first, second]
        head, most = chosen(heads, of), site.limits.voice_seconds
        found = site.turns.run(lambda _: compared(head, files, most))
        return [*map(spectrogram, files), _told(found)]

    button.click(
        said(compare), [*[one for one, _ in sides], name], [*[one for _, one in sides], told],
        api_name="voices", preprocess=False, concurrency_id="network", concurrency_limit=1,
    )  # fmt: skip


def compared(head: Head, files: list[Path], most: float) -> dict[str, Any]:
    """Score, and where the run was evaluated verdict and likelihood ratio, of two recordings.

    Raises:
        UserError: one cannot be read, or is too long.
    """
    for number, file in enumerate(files, start=1):
        _require_short(file, most, f"recording {number}")
    try:
        described: dict[str, Any] = head.predictor.describe(head.predictor.compare(*files))
    except UserError as error:
        text = str(error)
        for number, file in enumerate(files, start=1):
            text = text.replace(str(file), f"recording {number}")
        raise UserError(text) from error
    return described


def _require_short(file: Path, most: float, name: str) -> None:
    with file.open("rb") as opened:
        start = opened.read(12)
    if not start.startswith(_CONTAINERS) and start[4:8] != b"ftyp":
        raise UserError(f"{name}: is no sound that can be read; WAV, FLAC, OGG and MP3 are taken")
    try:
        with audio.opened(file) as recording:
            seconds = recording.seconds
    except UserError as error:
        raise UserError(str(error).replace(str(file), name)) from error
    if seconds > most:
        raise UserError(f"{name}: has {seconds:.0f} seconds; at most {most:g} are taken")


def spectrogram(file: Path) -> Picture:
    """The log mel energies of a recording in colours (H, W, 3), low tones below."""
    wave = torch.from_numpy(load(file, "mean"))[None]
    energies = Fbank()(wave)[0].flip(0).numpy()
    least, greatest = np.quantile(energies, (0.02, 0.995))
    levels = np.clip((energies - least) / max(greatest - least, 1e-6), 0, 1)
    colours = cv2.applyColorMap((255 * levels).astype(np.uint8), cv2.COLORMAP_MAGMA)
    drawn = cv2.resize(colours, _SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB), np.uint8)


def _told(found: dict[str, Any]) -> str:
    verdict = found.get("verdict", "no verdict: the run was not evaluated")
    numbers = f"score {found['score']:.4f}"
    if "likelihood_ratio" in found:
        numbers += f", likelihood ratio {found['likelihood_ratio']:g}"
    return f"<h2>{html.escape(verdict)}</h2><p>{numbers}</p>"
