"""What every request passes before the page sees it: who, from where, how large, and which path.

The page's framework can do far more than this page needs: fetch addresses, proxy, record runs. What
is not on the list below does not exist here.
"""

import base64
import json
import re
import secrets
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FRAMEWORK = "/gradio_api"
_READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)"
    r"|/(assets|static|svelte|results|api)/[^\\]*|/api"
    r"|/gradio_api/(info|startup-events|app_id|theme\.css|queue/data|upload_progress)"
    r"|/gradio_api/(heartbeat|call)/[\w./-]+|/gradio_api/file=/[^\\]*"
)
_SENT = re.compile(
    r"/api/[\w.-]+|/gradio_api/(queue/join|cancel|reset|upload)"
    r"|/gradio_api/(call|run)/[\w./-]+"
)
_WORDS = 1_000_000
"""Bytes of the largest request that is not an upload."""
_ENVELOPE = 10_000
"""Bytes that an upload has besides the file."""

_HEADERS = {
    # Everything comes from here, also where a page were changed to ask for more.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'self'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Gate:
    """Refuses what no part of the page asks for, in one line.

    Args:
        app: what is behind it.
        folder: in which all uploads lie; no request names a file elsewhere.
        most: bytes of an upload.
        hosts: names by which the page may be called; none allows all.
        password: user:password that is asked for; none asks for none.
    """

    def __init__(
        self,
        app: ASGIApp,
        folder: Path,
        most: int,
        hosts: frozenset[str] | None = None,
        password: str | None = None,
    ) -> None:
        self.app, self.folder, self.most = app, folder.resolve(), most
        self.hosts, self.password = hosts, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope["method"], scope["path"], headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        body = _Body(receive, send, self._limit(scope["path"]))
        if scope["method"] == "POST" and _is_words(scope["path"]):
            whole = await body.whole()
            if whole is None or not self._names_uploads_only(whole):
                text = "the request names what was not uploaded here" if whole is not None else ""
                await body.refuse(scope, text)
                return
        await self.app(scope, body.receive, body.send)
        if body.over and not body.answered:
            await body.refuse(scope)

    def _limit(self, path: str) -> int:
        return _WORDS if _is_words(path) else self.most + _ENVELOPE

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        """Why a request is refused by its head; None where it is not."""
        name = _host_of(f"//{headers.get('host', '')}")
        if self.hosts is not None and name not in self.hosts:
            return refusal(403, f"the page is not called {name}")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return refusal(403, "another site's page asks; open this page itself")
        if not self._is_known(headers.get("authorization", "")):
            asked = {"WWW-Authenticate": 'Basic realm="Res2Net Tasks", charset="UTF-8"'}
            return refusal(401, "user and password are needed", asked)
        known = {"GET": _READ, "HEAD": _READ, "POST": _SENT}.get(method)
        if known is None or not known.fullmatch(path) or "/.." in path:
            return refusal(404, "there is no such page")
        if int(headers.get("content-length") or 0) > self._limit(path):
            return refusal(413, self._too_large())
        return None

    def _too_large(self) -> str:
        return f"the upload is too large; at most {self.most / 1e6:g} MB are taken"

    def _is_known(self, authorization: str) -> bool:
        if self.password is None:
            return True
        expected = b"Basic " + base64.b64encode(self.password.encode())
        return secrets.compare_digest(authorization.encode(), expected)

    def _names_uploads_only(self, body: bytes) -> bool:
        """Whether all files that a request in JSON names lie in the folder of uploads."""
        try:
            named = list(_paths(json.loads(body or b"null")))
        except (ValueError, RecursionError):
            return False
        return all(
            isinstance(one, str) and "\0" not in one and self._is_upload(one) for one in named
        )

    def _is_upload(self, path: str) -> bool:
        # The server stands in that folder, so that an address would seem to be a file in it.
        named = Path(path)
        return named.is_absolute() and named.resolve().is_relative_to(self.folder)


class _Body:
    """A request's body, counted while it is read, and its answer."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self.most = receive, send, most
        self.count, self.over, self.answered = 0, False, False
        self._first: bytes | None = None

    async def receive(self) -> Message:
        """The next part; a body that is too large ends as if the visitor had left."""
        if self._first is not None:
            first, self._first = self._first, None
            return {"type": "http.request", "body": first, "more_body": False}
        message = await self._receive()
        self.count += len(message.get("body", b""))
        self.over = self.over or self.count > self.most
        return {"type": "http.disconnect"} if self.over else message

    async def whole(self) -> bytes | None:
        """The whole body, which `receive` gives once more; None if it is too large."""
        parts: bytes = b""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return None
            parts += message.get("body", b"")
            if not message.get("more_body", False):
                self._first = parts
                return parts

    async def send(self, message: Message) -> None:
        """Pass an answer on, but for that to a part of a body."""
        if self.over and not self.answered:
            return
        if message["type"] == "http.response.start":
            self.answered = True
            MutableHeaders(scope=message).update(_HEADERS)
        await self._send(message)

    async def refuse(self, scope: MutableMapping[str, Any], text: str = "") -> None:
        """Answer in one line."""
        self.answered = True
        too_large = f"the request is too large; at most {self.most / 1e6:g} MB are taken"
        answer = refusal(400, text) if text else refusal(413, too_large)
        await answer(scope, self._receive, self._send)


def refusal(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error in one line."""
    return JSONResponse({"error": text}, status, {**_HEADERS, **(headers or {})})


def _is_words(path: str) -> bool:
    return path.startswith(_FRAMEWORK) and path != f"{_FRAMEWORK}/upload"


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _paths(value: Any) -> Iterator[Any]:
    """What stands under the name "path" anywhere in a value of JSON."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "path":
                yield inner
            else:
                yield from _paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner)
