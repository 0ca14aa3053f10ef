"""The tab of clicks: a click on an object gives its mask, further ones mend it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from app import uploads
from app.heads.head import Head
from app.parts import chosen, said, upload_of
from app.picture import opaque, smaller
from app.site import Site
from common.errors import UserError
from common.reading.image import Picture
from tasks.interactive.inference import Found

MOST = 30
"""Clicks on one picture: the mask of each is kept, for undo."""
ADDS, TAKES = "add to the mask", "take from the mask"
WAYS = ("overlay", "mask", "cut-out")
_HEIGHT = 420
LISTENS = Path(__file__).with_name("clicks.js")
"""What notes in the browser of which kind a click is."""
_KIND = f"(kept, kind, ...how) => [kept, window.clickTakes ? {json.dumps(TAKES)} : kind, ...how]"
"""Runs in the browser before a click is told."""


class Clicked(NamedTuple):
    """A picture that a visitor clicks on."""

    head: Head
    picture: Picture
    """(H, W, 3), in the size that the page shows."""
    session: Any
    """Of the run's predictor, `tasks.interactive.session.Session`."""


class Parts(NamedTuple):
    """The components of the tab."""

    photo: gr.Image
    run: gr.Dropdown
    kind: gr.Radio
    way: gr.Dropdown
    opacity: gr.Slider
    undo: gr.Button
    canvas: gr.Image
    told: gr.HTML


def build(site: Site) -> None:
    """Lay the tab out, and say what its parts do."""
    heads = {one.name: one for one in site.heads.clicks}
    parts = _laid_out(list(heads))
    # What a visitor leaves open is forgotten with the answers of other tabs.
    state = gr.State(None, time_to_live=site.limits.kept_minutes * 60)
    how, shown = [parts.way, parts.opacity], [parts.canvas, parts.told]

    def start(given: Any, of: str, way: str, opacity: float) -> list[Any]:
        """The picture without a mask; the trunk sees it now, and not with each click."""
        file = upload_of(given)
        if file is None:
            return [None, None, ""]
        begun = _begun(site, chosen(heads, of), smaller(uploads.read(file, site.limits)))
        return [begun, *_shown(begun, way, opacity)]

    def click(clicked: Any, kind: str, way: str, opacity: float, at: gr.SelectData) -> list[Any]:
        """The mask after one more click."""
        _click(site, clicked, at.index, kind == ADDS)
        return _shown(clicked, way, opacity)

    def back(clicked: Any, way: str, opacity: float) -> list[Any]:
        """The mask of before."""
        if clicked is not None and clicked.session.clicks:
            clicked.session.undo()
        return _shown(clicked, way, opacity)

    turn: dict[str, Any] = {
        "api_visibility": "private", "concurrency_id": "network", "concurrency_limit": 1,
    }  # fmt: skip
    gr.on(
        [parts.photo.change, parts.run.change], said(start), [parts.photo, parts.run, *how],
        [state, *shown], preprocess=False, **turn,
    )  # fmt: skip
    # Each click counts, also one that comes while the one before is worked on.
    turn |= {"trigger_mode": "multiple", "show_progress": "hidden"}
    parts.canvas.select(said(click), [state, parts.kind, *how], shown, js=_KIND, **turn)
    parts.undo.click(said(back), [state, *how], shown, **turn)
    gr.on(
        [one.change for one in how], said(_shown), [state, *how], shown,
        api_visibility="private", show_progress="hidden", trigger_mode="always_last",
        concurrency_id="drawing", concurrency_limit=4,
    )  # fmt: skip


def _laid_out(names: list[str]) -> Parts:
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            photo = gr.Image(
                label="Picture", height=220, sources=["upload", "webcam", "clipboard"],
                elem_id="object", buttons=[],
            )  # fmt: skip
            run = gr.Dropdown(names, value=names[0], label="Run", visible=len(names) > 1)
            kind = gr.Radio([ADDS, TAKES], value=ADDS, label="A click", elem_id="click-kind")
            way = gr.Dropdown(list(WAYS), value=WAYS[0], label="Shown and saved")
            opacity = gr.Slider(0, 1, 1, step=0.05, label="Opacity")
            undo = gr.Button("Undo", elem_id="click-undo")
        with gr.Column(scale=2, min_width=320):
            canvas = gr.Image(
                label="Click on an object here", height=_HEIGHT, format="png", interactive=False,
                elem_id="canvas", buttons=["download", "fullscreen"],
            )  # fmt: skip
            told = gr.HTML(elem_id="clicks-told")
    return Parts(photo, run, kind, way, opacity, undo, canvas, told)


def _click(site: Site, clicked: Clicked | None, at: Any, positive: bool) -> None:
    """One more click.

    Raises:
        UserError: there is no picture, there are too many clicks, or this one cannot be.
    """
    if clicked is None:
        raise UserError("no picture is given, or it is no longer kept; give it again")
    if len(clicked.session.clicks) >= MOST:
        raise UserError(f"at most {MOST} clicks are taken on one picture; undo some")
    x, y = map(int, at)
    site.turns.run(lambda _: clicked.session.click(x, y, positive=positive))


def _begun(site: Site, head: Head, picture: Picture) -> Clicked:
    return Clicked(head, picture, site.turns.run(lambda _: head.predictor.start(picture)))


def _shown(clicked: Clicked | None, way: str, opacity: float) -> list[Any]:
    """The picture as it is to be shown, and what there is to say."""
    if clicked is None:
        return [None, ""]
    session, picture = clicked.session, clicked.picture
    found = Found(session.mask, session.probabilities, session.clicks)
    if not found.clicks:
        text = "Click on what you want to cut out. A right click, or one with Shift, takes away."
        return [picture, f'<p class="times">{text}</p>']
    drawn = drawing(clicked, found, way, opacity)
    share, count = f"{100 * found.mask.mean():.1f} %", len(found.clicks)
    text = f"{count} click{'s' if count > 1 else ''}; {share} of the picture"
    return [drawn, f'<p class="times">{text}.</p>']


def drawing(clicked: Clicked, found: Found, way: str, opacity: float) -> Picture:
    """The mask (H, W, 3), the cut-out (H, W, 4), or the picture with both."""
    picture = clicked.picture
    if way == "mask":
        return np.repeat(np.where(found.mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    if way == "cut-out":
        cut: Picture = clicked.head.predictor.cutout(picture, found)
        return cut
    whole = opaque(clicked.head.predictor.draw(picture, found)).astype(np.float32)
    return np.rint(opacity * whole + (1 - opacity) * picture).astype(np.uint8)
