"""The server: the page and the programs' way to it, behind one gate, in one folder of its own."""

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from app import api, examples, uploads
from app.gate import Gate, refusal
from app.heads.opening import Heads
from app.settings import AppConfig
from app.site import Site, site_of
from app.turns import BusyError
from common.errors import UserError

_SWEPT = 30
"""Seconds between two looks for what is too old."""
_FAREWELL = 2
"""Seconds that open connections have when the server ends."""


def application(
    site: Site, config: AppConfig, pictures: Sequence[Path] = ()
) -> tuple[Gate, frozenset[Path]]:
    """What answers requests, and the files that were there before the first of them."""
    # Imported here: the page's framework reads its folder and its settings when it is imported.
    os.environ |= {
        "GRADIO_TEMP_DIR": str(site.folder),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
    }
    from app.page import mounted

    server = FastAPI(
        title="Res2Net Tasks", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    server.add_exception_handler(UserError, _refused)
    server.add_exception_handler(ClientDisconnect, _refused)
    server.add_exception_handler(Exception, _failed)  # its traceback is for the server's log
    server.include_router(api.routes(site))
    mounted(server, site, pictures)
    hosts = frozenset({"localhost", "127.0.0.1", "::1", config.host}) if config.local else None
    gate = Gate(server, site.folder, config.limits.upload_bytes, hosts, config.password())
    return gate, frozenset(path for path in site.folder.rglob("*") if path.is_file())


def _refused(_: Request, error: Exception) -> JSONResponse:
    status = 503 if isinstance(error, BusyError) else 400
    return refusal(status, " ".join(str(error).split()))


def _failed(_: Request, error: Exception) -> JSONResponse:
    return refusal(500, "something went wrong here; the server's log says what")


@contextmanager
def own_folder() -> Iterator[Path]:
    """An empty folder for uploads, in which the server also stands; it goes with the server."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="res2net_page_", ignore_cleanup_errors=True) as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def serve(heads: Heads, config: AppConfig) -> None:
    """Answer requests until Ctrl-C or SIGTERM comes; leaves no file behind.

    Raises:
        UserError: the address cannot be listened on, or the password cannot be read.
    """
    listening = _listening(config)
    with _heard(_leave), own_folder() as folder:
        site = site_of(heads, config.limits, folder)
        gate, spared = application(
            site, config, examples.write(folder / "examples", heads.pictures)
        )
        server = uvicorn.Server(
            uvicorn.Config(
                gate,
                log_level="warning",
                timeout_graceful_shutdown=_FAREWELL,
                server_header=False,
            )
        )
        ended = threading.Event()
        threading.Thread(target=_sweep, args=(site, spared, ended), daemon=True).start()
        _tell(config, listening.getsockname()[1])
        try:
            # What the server does with a signal is enough; it raises it again behind itself.
            with _heard(lambda *_: None):
                server.run([listening])
        finally:
            ended.set()
            site.turns.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a network that still runs in a thread would be waited for


def _listening(config: AppConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((config.host, config.port))
    except OSError as error:
        raise UserError(
            f"--host {config.host} --port {config.port}: cannot be listened on "
            f"({error.strerror}); another port is free with --port 0"
        ) from error
    return found


@contextmanager
def _heard(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """With another answer to Ctrl-C and SIGTERM."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, handler) for kind in kinds]
    try:
        yield
    finally:
        for kind, one in zip(kinds, before, strict=True):
            signal.signal(kind, one)


def _leave(number: int, _: Any) -> None:
    """End before the server runs: its folder goes, as the contexts around are left."""
    raise SystemExit(128 + number)


def _tell(config: AppConfig, port: int) -> None:
    """Say where the page is, and what it lacks where others can reach it."""
    name = f"[{config.host}]" if ":" in config.host else config.host
    print(f"the page is at http://{name}:{port} (Ctrl-C ends it)", flush=True)
    if config.local:
        return
    print(
        "note: other machines can reach it, without encryption: put a server with TLS in front, "
        "such as nginx or caddy" + ("" if config.password_file else ", and give --password_file"),
        file=sys.stderr,
        flush=True,
    )


def _sweep(site: Site, spared: frozenset[Path], ended: threading.Event) -> None:
    """Delete what is too old, until the server ends."""
    seconds = site.limits.kept_minutes * 60
    while not ended.wait(min(_SWEPT, seconds / 2)):
        uploads.sweep(site.folder, seconds, spared)
        site.kept.sweep()
