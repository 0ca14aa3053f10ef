"""The tab of clips: every frame through one head, with progress and an end at any time."""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from app import uploads
from app.asking import ask
from app.heads.head import Head
from app.parts import said, upload_of
from app.picture import opaque
from app.site import Site
from app.turns import Deadline
from common.errors import UserError
from common.reading import video
from common.reading.image import Picture

PROGRESS = gr.Progress()


def build(site: Site) -> None:
    """Lay the tab out."""
    job = gr.State(None)
    limits, names = site.limits, [one.name for one in site.heads.pictures]
    with gr.Row():
        with gr.Column(min_width=320):
            clip = gr.Video(label="Clip", sources=["upload", "webcam"], height=300, elem_id="clip")
            head = gr.Dropdown(names, value=names[0], label="Head")
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="clip-start")
                stop = gr.Button("Cancel", elem_id="clip-cancel")
            gr.HTML(
                f'<p class="times">At most {limits.video_seconds:g} seconds, {limits.video_frames} '
                f"frames and {limits.upload_megabytes:g} MB.</p>"
            )
        with gr.Column(min_width=320):
            result = gr.Video(label="Result", interactive=False, height=360, elem_id="clip-result")
            told = gr.HTML(elem_id="clip-told")

    def run(its: Deadline, given: Any, name: str, progress: Any = PROGRESS) -> Any:
        """The clip with what the head draws."""
        file = upload_of(given)
        if file is None:
            raise UserError("no clip is given; upload one")
        target, frames = transformed(site, file, site.head(name), its, progress)
        return str(target), f'<p class="times">{frames} frames, in the sizes of their drawings.</p>'

    begun = start.click(
        lambda: Deadline(site.limits.job_seconds), None, job, queue=False, api_visibility="private"
    )
    begun.then(
        said(run), [job, clip, head], [result, told], api_visibility="private", preprocess=False,
        concurrency_id="clips", concurrency_limit=2, show_progress_on=result,
    )  # fmt: skip
    stop.click(cancelled, job, None, queue=False, api_visibility="private")


def cancelled(job: Deadline | None) -> None:
    """End a job at its next part."""
    if job is not None:
        job.cancelled = True


def transformed(
    site: Site, file: Path, head: Head, job: Deadline, progress: Any
) -> tuple[Path, int]:
    """The clip with what a head draws on its frames, and their number.

    Raises:
        UserError: it is no clip, too long, takes too long, or was cancelled.
    """
    said_frames = uploads.require_clip(file, site.limits)
    settings, heads, count = head.accepted({}), site.asked_for(head), 0

    def change(frame: Picture) -> Picture:
        nonlocal count
        count += 1
        if count > site.limits.video_frames:
            raise UserError(f"the clip has more than {site.limits.video_frames} frames; cut it")
        job.check()
        asked = site.turns.run(lambda its: ask(heads, frame, its), job)
        progress((count, max(count, round(said_frames))), unit="frames")
        return np.ascontiguousarray(opaque(head.draw(frame, asked.found[head.name], settings)))

    target = Path(tempfile.mkstemp(dir=site.folder, suffix=".webm")[1])
    try:
        return target, video.transform(file, target, change, shown=False, codec="VP80")
    except UserError as error:
        target.unlink()
        raise UserError(str(error).removeprefix(f"{file}: ")) from error
