"""The page: one tab for pictures, and one for each other thing that the loaded runs can do."""

import html
import shlex
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from app import clicks, clips, folders, persons, picture, voices, volumes
from app.site import Site

_TITLE = """<div id="title"><h1>Res2Net Tasks</h1>
<p>One picture, one pass of one Res2Net, the answers of all heads.</p></div>"""
_FONT = ["system-ui", "sans-serif"]
_MONO = ["ui-monospace", "monospace"]

HOW_TO_BEGIN = """No run is loaded. Train a trunk and some heads on generated pictures,
minutes each, and open the page again:

    python -m tasks.classification.train
    python -m tasks.salient.train --weights runs/classification --freeze_backbone true \\
        --model.network senet --model.multiple 32 --data.fit scale --data.input_size '[128, 128]'
    python -m tasks.segmentation.train --weights runs/classification --freeze_backbone true \\
        --model.decoder fpn --model.output_stride 32 --test.short_side 128
    python -m app --runs runs/*

or take published models by name: `python -m common.commands.zoo` lists them.
"""


def page(site: Site, examples: Sequence[Path]) -> gr.Blocks:
    """All tabs."""
    heads = site.heads
    with gr.Blocks(title="Res2Net Tasks", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(_TITLE)
        with gr.Tabs(elem_id="ways"):
            if not any(heads):
                with gr.Tab("How to begin"):
                    gr.HTML(f"<pre>{html.escape(HOW_TO_BEGIN)}</pre>")
            if heads.pictures:
                with gr.Tab("Picture"):
                    picture.build(site, examples)
                with gr.Tab("Clip"):
                    clips.build(site)
                with gr.Tab("Folder"):
                    folders.build(site)
            if heads.clicks:
                with gr.Tab("Clicks"):
                    clicks.build(site)
            if heads.voices:
                with gr.Tab("Voices"):
                    voices.build(site)
            if heads.persons:
                with gr.Tab("Persons"):
                    persons.build(site)
            if heads.volumes:
                with gr.Tab("Volumes"):
                    volumes.build(site)
            if heads.pictures:
                with gr.Tab("Commands"):
                    commands = gr.HTML()

                def tell(request: gr.Request) -> str:
                    """The commands, with the address by which the visitor calls the page."""
                    url = request.request.url
                    return _commands(site, f"{url.scheme}://{url.netloc}")

                blocks.load(tell, None, commands, queue=False, api_visibility="private")
    blocks.queue(max_size=site.limits.waiting, api_open=False)
    return blocks


def _commands(site: Site, address: str) -> str:
    """What predict and curl are called with for the same answers."""
    ours = [one.command(site.heads.pictures) for one in site.heads.pictures]
    shared = shlex.join(one.source for one in site.heads.pictures if one.shares)
    if shared:
        ours.append(f"python -m tasks.together --runs {shared} photo.jpg --out drawn")
    blocks = {
        "The same at a terminal": "\n".join(ours),
        "From a program": "\n".join(
            f"curl --data-binary @photo.jpg {address}/api/{name}"
            for name in ("all", *(one.name for one in site.heads.pictures))
        ),
        "What that takes and gives (OpenAPI)": f"curl {address}/api/openapi.json",
    }
    return (
        '<div class="commands">'
        + "".join(
            f"<h3>{title}</h3><pre>{html.escape(text)}</pre>" for title, text in blocks.items()
        )
        + "</div>"
    )


def mounted(server: FastAPI, site: Site, examples: Sequence[Path]) -> None:
    """Put the page at the root of the server."""
    blocks = page(site, examples)
    gr.mount_gradio_app(
        server,
        blocks,
        path="",
        allowed_paths=[],
        show_error=False,
        max_file_size=site.limits.upload_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=["api"],
        css_paths=Path(__file__).with_name("page.css"),
        js=clicks.LISTENS.read_text(encoding="utf-8"),
        theme=gr.themes.Default(font=_FONT, font_mono=_MONO, spacing_size="sm"),
    )
    # Only what was launched looks at where the files of a request lie; what is mounted does not.
    blocks.has_launched = True
