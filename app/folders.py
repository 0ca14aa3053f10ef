"""The tab of folders: an archive of pictures in, an archive of results out."""

import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from app import api, archives, uploads
from app.asking import ask
from app.clips import PROGRESS, cancelled
from app.heads.head import Head
from app.parts import said, upload_of
from app.site import Site
from app.turns import Deadline
from common.errors import UserError


def build(site: Site) -> None:
    """Lay the tab out."""
    job = gr.State(None)
    limits, names = site.limits, [one.name for one in site.heads.pictures]
    with gr.Row():
        with gr.Column(min_width=320):
            given = gr.File(
                label="Folder of pictures as zip", file_types=[".zip"], elem_id="folder", height=160
            )
            chosen = gr.Dropdown(names, value=names, label="Heads", multiselect=True)
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="folder-start")
                stop = gr.Button("Cancel")
            gr.HTML(
                f'<p class="times">At most {limits.archive_files} files, '
                f"{limits.upload_megabytes:g} MB packed, {limits.archive_megabytes:g} MB unpacked."
                "</p>"
            )
        with gr.Column(min_width=320):
            result = gr.File(label="Results as zip", interactive=False, elem_id="folder-result")
            told = gr.HTML(elem_id="folder-told")

    def run(its: Deadline, upload: Any, of: list[str], progress: Any = PROGRESS) -> Any:
        """The archive of results."""
        file = upload_of(upload)
        if file is None:
            raise UserError("no archive is given; upload one")
        if not of:
            raise UserError("no head is chosen")
        heads = tuple(one for one in site.heads.pictures if one.name in of)
        target, text = worked_off(site, file, heads, its, progress)
        return str(target), f'<p class="times">{text}</p>'

    begun = start.click(
        lambda: Deadline(site.limits.job_seconds), None, job, queue=False, api_visibility="private"
    )
    begun.then(
        said(run), [job, given, chosen], [result, told], api_visibility="private", preprocess=False,
        concurrency_id="clips", concurrency_limit=2, show_progress_on=result,
    )  # fmt: skip
    stop.click(cancelled, job, None, queue=False, api_visibility="private")


def worked_off(
    site: Site, file: Path, heads: tuple[Head, ...], job: Deadline, progress: Any
) -> tuple[Path, str]:
    """The results of all pictures of an archive as an archive, and what was done in one line.

    Results are called as the pictures are, with the head behind: photos/cat.jpg becomes
    photos/cat.jpg.salient.png. A picture that cannot be read is named in the archive's errors.txt.

    Raises:
        UserError: the archive is refused, it takes too long, or was cancelled.
    """
    asking = tuple(dict.fromkeys(one for head in heads for one in site.asked_for(head)))
    refused: list[str] = []
    target = Path(tempfile.mkdtemp(dir=site.folder)) / "results.zip"
    with (
        archives.opened(file, site.limits, archives.PICTURES) as archive,
        api.uploaded(site.folder) as unpacked,
        zipfile.ZipFile(target, "w") as written,
    ):
        count = len(archive.taken)
        for number, member in enumerate(archive.members(unpacked), start=1):
            job.check()
            try:
                picture = uploads.read(member.file, site.limits)
                asked = site.turns.run(partial(ask, asking, picture), job)
            except UserError as error:
                job.check()
                refused.append(f"{member.name}: {error}")
                continue
            for head in heads:
                for name, content in api.files_of(head, asked, {}).items():
                    place = member.name.with_name(f"{member.name.name}.{name}")
                    written.writestr(str(place), content())
            progress((number, count), unit="pictures")
        if refused:
            written.writestr("errors.txt", "\n".join(refused) + "\n")
    text = f"{count - len(refused)} pictures"
    text += f", {len(refused)} that cannot be read (errors.txt)" if refused else ""
    text += f", {archive.others} other files left out" if archive.others else ""
    return target, text
