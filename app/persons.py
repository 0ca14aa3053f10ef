"""The tab of persons: one picture is looked for in an archive of pictures."""

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from app import api, archives, uploads
from app.heads.head import Head, Line
from app.parts import chosen, listed, said, upload_of
from app.site import Site
from app.turns import Deadline
from common.errors import UserError
from common.reading.image import Picture

SHOWN = 10
"""Nearest pictures on the sheet."""


def build(site: Site) -> None:
    """Lay the tab out."""
    heads = {one.name: one for one in site.heads.persons}
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            query = gr.Image(label="Who", height=220, elem_id="query", buttons=[])
            gallery = gr.File(
                label="Gallery as zip, one person a picture", file_types=[".zip"],
                elem_id="gallery", height=120,
            )  # fmt: skip
            name = gr.Dropdown(
                list(heads), value=next(iter(heads)), label="Run", visible=len(heads) > 1
            )
            button = gr.Button("Find", variant="primary", elem_id="persons-start")
        with gr.Column(scale=2, min_width=320):
            sheet = gr.Image(
                label="Nearest first",
                height=320,
                format="jpeg",
                elem_id="sheet",
                buttons=["fullscreen", "download"],
            )
            lines = gr.HTML(elem_id="persons-told")

    def find(picture: Any, zipped: Any, of: str) -> list[Any]:
        """The sheet of the nearest."""
        file, archive = upload_of(picture), upload_of(zipped)
        if file is None or archive is None:
            raise UserError("a picture and an archive of pictures are needed; upload both")
        drawn, ranked = found(site, chosen(heads, of), file, archive)
        return [drawn, listed(ranked)]

    button.click(
        said(find), [query, gallery, name], [sheet, lines], api_name="persons",
        preprocess=False, concurrency_id="clips", concurrency_limit=2,
    )  # fmt: skip


def found(site: Site, head: Head, query: Path, gallery: Path) -> tuple[Picture, list[Line]]:
    """A sheet (H, W, 3) of the nearest pictures of a gallery, and all of them with distances.

    Raises:
        UserError: a picture or the archive is refused, or it takes too long.
    """
    predictor, job = head.predictor, Deadline(site.limits.job_seconds)
    whom = uploads.read(query, site.limits)
    feature = site.turns.run(lambda _: predictor.embed([whom]))
    names, features, small = [], [], []
    with (
        archives.opened(gallery, site.limits, archives.PICTURES) as archive,
        api.uploaded(site.folder) as unpacked,
    ):
        for member in archive.members(unpacked):
            job.check()
            picture = uploads.read(member.file, site.limits)
            features.append(site.turns.run(partial(_embedded, predictor, picture), job))
            names.append(str(member.name))
            small.append(_small(picture))
    distances = predictor.compare(feature, np.stack(features))[0]
    order = distances.argsort(kind="stable")
    drawn: Picture = predictor.draw(_small(whom), [small[place] for place in order[:SHOWN]])
    return drawn, [
        Line(f"{rank}. {names[place]}", f"{distances[place]:.3f}")
        for rank, place in enumerate(order, start=1)
    ]


def _embedded(predictor: Any, picture: Picture, _: Deadline) -> Any:
    return predictor.embed([picture])[0]


def _small(picture: Picture) -> Picture:
    """The picture in about the size of a cell of the sheet, so that a gallery takes no memory."""
    scale = min(1.0, 400 / max(picture.shape[:2]))
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
