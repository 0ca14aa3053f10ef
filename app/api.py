"""The page's answers for programs: a picture is posted as it is, the answer is JSON.

    curl --data-binary @photo.jpg http://127.0.0.1:7860/api/salient

`/api/openapi.json` describes all of it.
"""

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from app.asking import Asked
from app.gate import refusal
from app.heads.head import Head, Slider
from app.site import Site
from common.errors import UserError

ALL = "all"
"""In the place of a head: every head."""
_TYPES = {".png": "image/png", ".json": "application/json", ".zip": "application/zip"}


class HeadAnswer(BaseModel):
    """What one head found."""

    task: str
    run: str = Field(description="the run directory or published name")
    settings: dict[str, float | str] = Field(description="what the answer was drawn with")
    answer: Any = Field(description="as `predict` writes it, in pixels of the upright picture")
    files: dict[str, str] = Field(description="results to download, for some minutes")


class Answers(BaseModel):
    """What the heads found in one picture."""

    height: int = Field(description="pixels of the upright picture")
    width: int
    trunk_passes: int = Field(description="of trunks, for the heads that share them")
    trunk_seconds: float = Field(description="that these took together")
    head_seconds: dict[str, float] = Field(description="of each head")
    answers: dict[str, HeadAnswer]
    zip: str = Field(description="all results in one archive")


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str


def routes(site: Site) -> APIRouter:
    """A route for every head, one for all of them, and one for the results."""
    router = APIRouter()
    names = [ALL, *(one.name for one in site.heads.pictures)]
    for name in names if site.heads.pictures else ():
        heads = site.heads.pictures if name == ALL else (site.head(name),)
        router.add_api_route(
            f"/api/{name}",
            _asking(site, heads),
            methods=["POST"],
            response_model=Answers,
            responses={code: {"model": Refusal} for code in (400, 413, 503)},
            summary=f"Ask {', '.join(one.name for one in heads)}",
            operation_id=f"ask_{name}",
            openapi_extra=_described(heads if name != ALL else ()),
        )
    router.add_api_route("/api/{name}", _without(names), methods=["POST"], include_in_schema=False)
    router.add_api_route("/results/{key}/all.zip", _zipping(site), methods=["GET"])
    router.add_api_route("/results/{key}/{head}/{file}", _giving(site), methods=["GET"])
    return router


def _asking(site: Site, heads: tuple[Head, ...]) -> Any:
    async def ask(request: Request) -> Answers:
        """The body is the picture's file."""
        settings = {one.name: one.accepted({}) for one in heads}
        if len(heads) == 1:
            settings = {one.name: one.accepted(request.query_params) for one in heads}
        with uploaded(site.folder) as file:
            with file.open("wb") as opened:
                async for part in request.stream():
                    opened.write(part)
            asking = heads if len(heads) > 1 else site.asked_for(heads[0])
            key, asked = await run_in_threadpool(site.answers, file, asking)
        return await run_in_threadpool(described, heads, key, asked, settings)

    return ask


def _without(names: Sequence[str]) -> Any:
    def refuse(name: str) -> Response:
        """No head is called so."""
        known = ", ".join(names) if len(names) > 1 else "none: no run of pictures is loaded"
        return refusal(404, f"{name}: no such head; there are {known}")

    return refuse


@contextmanager
def uploaded(folder: Path) -> Iterator[Path]:
    """A new file among the uploads, which is deleted behind it."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="api") as opened:
        yield Path(opened.name)


def described(
    heads: Sequence[Head], key: str, asked: Asked, settings: Mapping[str, Mapping[str, Any]]
) -> Answers:
    """The answers with the addresses of their results."""
    height, width = asked.picture.shape[:2]
    return Answers(
        height=height,
        width=width,
        trunk_passes=asked.passes,
        trunk_seconds=asked.trunk_seconds,
        head_seconds=dict(asked.head_seconds),
        answers={
            one.name: HeadAnswer(
                task=one.task,
                run=one.source,
                settings=dict(settings[one.name]),
                answer=one.describe(asked.found[one.name], settings[one.name]),
                files=addresses(one, key, asked, settings[one.name]),
            )
            for one in heads
        },
        zip=zip_address(key, settings),
    )


def addresses(head: Head, key: str, asked: Asked, settings: Mapping[str, Any]) -> dict[str, str]:
    """Where the results of a head are had, by their names."""
    query = urlencode(settings)
    files = head.files(asked.picture, asked.found[head.name], settings)
    return {name: f"/results/{key}/{head.name}/{name}?{query}" for name in files}


def zip_address(key: str, settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Where all results are had at once."""
    query = {
        f"{head}.{name}": value for head, its in settings.items() for name, value in its.items()
    }
    return f"/results/{key}/all.zip?{urlencode(query)}"


def _giving(site: Site) -> Any:
    def give(key: str, head: str, file: str, request: Request) -> Response:
        """One result."""
        asked, one = site.kept.get(key), site.head(head)
        files = files_of(one, asked, request.query_params)
        if file not in files:
            raise UserError(f"{file}: no such result; there are {', '.join(files)}")
        return _attached(file, files[file]())

    return give


def _zipping(site: Site) -> Any:
    def give(key: str, request: Request) -> Response:
        """All results."""
        asked, written = site.kept.get(key), io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            for name in asked.found:
                start = f"{name}."
                given = {
                    word.removeprefix(start): value
                    for word, value in request.query_params.items()
                    if word.startswith(start)
                }
                for file, content in files_of(site.head(name), asked, given).items():
                    archive.writestr(file, content())
        return _attached("results.zip", written.getvalue())

    return give


def files_of(head: Head, asked: Asked, given: Mapping[str, Any]) -> dict[str, Any]:
    """What writes each result of a head.

    Raises:
        UserError: the head was not asked, or a setting is wrong.
    """
    if head.name not in asked.found:
        raise UserError(f"{head.name}: was not asked about this picture")
    return head.files(asked.picture, asked.found[head.name], head.accepted(given))


def _attached(name: str, content: bytes) -> Response:
    kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _described(heads: Sequence[Head]) -> dict[str, Any]:
    """What OpenAPI cannot know: the body, and the settings in the query."""
    parameters = []
    for control in [control for one in heads for control in one.controls]:
        schema: dict[str, Any] = {"default": control.value}
        if isinstance(control, Slider):
            schema |= {"type": "number", "minimum": control.least, "maximum": control.greatest}
        else:
            schema |= {"type": "string", "enum": list(control.options)}
        parameters.append(
            {"name": control.name, "in": "query", "description": control.label, "schema": schema}
        )
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "requestBody": {"required": True, "content": {"application/octet-stream": binary}},
        "parameters": parameters,
    }
