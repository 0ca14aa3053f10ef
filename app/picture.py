"""The tab of pictures: one upload, and a tab of its own for the answer of every head."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import gradio as gr
import numpy as np

from app import api
from app.asking import Asked
from app.heads.head import Head, Value
from app.parts import control, links, listed, said, upload_of
from app.site import Site
from common.reading.image import Picture

SHOWN = 1400
"""Pixels of the longest side of what the page shows; downloads are in full size."""
_HEIGHT = 340
_SQUARE = 12


class Tab(NamedTuple):
    """The components of one head's tab."""

    head: Head
    controls: list[Any]
    picture: gr.ImageSlider
    lines: gr.HTML
    links: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """What an answer changes."""
        return [self.picture, self.lines, self.links]


def build(site: Site, examples: Sequence[Path]) -> None:
    """Lay the tab out."""
    key = gr.State(None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            photo = gr.Image(
                label="Picture", height=260, sources=["upload", "webcam", "clipboard"],
                elem_id="photo", buttons=[],
            )  # fmt: skip
            if examples:
                gr.Examples(
                    [[str(one)] for one in examples], photo, examples_per_page=6, label="Examples"
                )
            times = gr.HTML(_hint(site), elem_id="times")
        with gr.Column(scale=3, min_width=320), gr.Tabs():
            tabs = [_tab(site, head, key) for head in site.heads.pictures]

    def nothing() -> list[Any]:
        """What is seen without a picture."""
        return [None, _hint(site), *[part for _ in tabs for part in (None, "", "")]]

    def analyse(given: Any, *values: Any) -> list[Any]:
        """Every head's answer, as its controls are set."""
        file, settings = upload_of(given), _settings(tabs, values)
        if file is None:
            return nothing()
        found, asked = site.answers(file, site.heads.pictures)
        shown = [_shown(tab.head, found, asked, settings[tab.head.name]) for tab in tabs]
        all_links = links({"all results (zip)": api.zip_address(found, settings)})
        return [found, _times(asked) + all_links, *[part for one in shown for part in one]]

    outputs = [key, times, *[one for tab in tabs for one in tab.outputs]]
    asked = gr.on(
        photo.change,
        said(analyse),
        [photo, *[one for tab in tabs for one in tab.controls]],
        outputs,
        preprocess=False,
        api_name="picture",
        concurrency_id="network",
        concurrency_limit=1,
    )
    # Beside a picture that was refused, the answers to the one before would be taken for its own.
    asked.failure(nothing, None, outputs, queue=False, api_visibility="private")


def _tab(site: Site, head: Head, key: gr.State) -> Tab:
    """The tab of one head; what its controls change is drawn from what is kept."""
    with gr.Tab(head.name, id=head.name):
        slider = gr.ImageSlider(
            label=head.name, show_label=False, format="jpeg", interactive=False, height=_HEIGHT,
            max_height=_HEIGHT, elem_id=f"shown-{head.name}", slider_position=0,
        )  # fmt: skip
        with gr.Row():
            controls = [control(one) for one in head.controls]
        lines, given = gr.HTML(), gr.HTML()
        tab = Tab(head, controls, slider, lines, given)
        if head.task == "classification":
            _lens(site, head, key)

    def redraw(found: str | None, *values: Any) -> list[Any]:
        """The kept answer, drawn again."""
        if found is None:
            return [None, "", ""]
        settings = _settings([tab], values)[head.name]
        return _shown(head, found, site.kept.get(found), settings)

    gr.on(
        [one.change for one in controls],
        said(redraw),
        [key, *controls],
        tab.outputs,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
        concurrency_id="drawing",
        concurrency_limit=4,
    )
    return tab


def _lens(site: Site, head: Any, key: gr.State) -> None:
    """The scale lens: which groups of the Res2Net blocks speak. It runs the network once more."""
    with gr.Accordion("Scale lens", open=False):
        button = gr.Button("Which scales speak? (runs the network once more)", size="sm")
        lines = gr.HTML()

    def look(found: str | None) -> str:
        """The shares of the groups."""
        if found is None:
            return ""
        picture = site.kept.get(found).picture
        return listed(site.turns.run(lambda _: head.lens(picture)))

    button.click(
        said(look), key, lines, api_visibility="private", concurrency_id="network",
        concurrency_limit=1,
    )  # fmt: skip


def _settings(tabs: Sequence[Tab], values: Sequence[Any]) -> dict[str, dict[str, Value]]:
    """The values of all controls, in their order, by head and name."""
    stream, found = iter(values), {}
    for tab in tabs:
        given = {one.name: next(stream) for one in tab.head.controls}
        found[tab.head.name] = tab.head.accepted(given)
    return found


def _shown(head: Head, key: str, asked: Asked, settings: dict[str, Value]) -> list[Any]:
    """Before and after, the lines, the downloads."""
    found = asked.found[head.name]
    drawn = head.draw(asked.picture, found, settings)
    pair = paired(head.before(asked.picture), opaque(drawn))
    given = api.addresses(head, key, asked, settings)
    return [pair, listed(head.rows(found, settings)), links(given)]


def paired(before: Picture, after: Picture) -> tuple[Picture, Picture]:
    """Two pictures for the slider, equally large: white is added below the lower one."""
    height, width = after.shape[:2]
    if before.shape[0] < height:
        more = ((0, height - before.shape[0]), (0, 0), (0, 0))
        before = np.pad(before, more, constant_values=255)
    return smaller(before[:height, :width]), smaller(after)


def smaller(picture: Picture) -> Picture:
    """A picture (H, W, C) as large as the page shows it, at most."""
    scale = SHOWN / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def opaque(picture: Picture) -> Picture:
    """What is transparent (H, W, 4), before the squares that stand for nothing."""
    if picture.shape[2] == 3:
        return picture
    rows, columns = np.indices(picture.shape[:2]) // _SQUARE
    squares = np.where((rows + columns) % 2, 205, 245).astype(np.float32)[..., None]
    share = picture[..., 3:].astype(np.float32) / 255
    return np.rint(share * picture[..., :3] + (1 - share) * squares).astype(np.uint8)


def _times(asked: Asked) -> str:
    """Size and seconds."""
    height, width = asked.picture.shape[:2]
    passes = f"{asked.passes} pass{'es' if asked.passes > 1 else ''}"
    each = ", ".join(f"{name} {1000 * one:.0f}" for name, one in asked.head_seconds.items())
    total = asked.trunk_seconds + sum(asked.head_seconds.values())
    return (
        f'<p class="times">{width} x {height} pixels in {1000 * total:.0f} ms: the trunk '
        f"{1000 * asked.trunk_seconds:.0f} ({passes}), the heads {html.escape(each)}.</p>"
    )


def _hint(site: Site) -> str:
    limits = site.limits
    return (
        f'<p class="times">Upload, drop or paste a picture, or take one. At most '
        f"{limits.upload_megabytes:g} MB and {limits.megapixels:g} million pixels; deleted after "
        f"{limits.kept_minutes:g} minutes.</p>"
    )
