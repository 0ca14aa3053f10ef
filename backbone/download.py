"""Fetch one file over HTTP: announced, resumed, verified, and whole or not there at all."""

import contextlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from backbone.errors import WeightsError
from backbone.files import sha256

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

ATTEMPTS = 3
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 20


def cache() -> Path:
    """Where downloads live: $RES2NET_CACHE, else ~/.cache/res2net.

    Raises:
        WeightsError: neither is known, as of a container's user who has a number and no name.
    """
    chosen = os.environ.get("RES2NET_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "res2net"
    except RuntimeError as error:
        raise WeightsError(
            "the cache has no place, for this user has no home folder; name a folder for it in "
            "RES2NET_CACHE"
        ) from error


def fetch(urls: tuple[str, ...], path: Path, *, digest: str, licence: str) -> Path:
    """Make sure that `path` is there with the right content, downloading it if needed.

    Args:
        urls: where the file lies; a later one is tried when an earlier one cannot be reached.
        path: where it shall lie. Until it is whole and verified it is called `*.part`.
        digest: how the file's sha256 begins.
        licence: stated before the download begins, in one line to stderr.

    Raises:
        WeightsError: unreachable, interrupted too often, or not the file that was published; the
            line says where to put a copy that was fetched in another way.
    """
    if path.exists() and sha256(path).startswith(digest):
        return path  # also in a folder that only others may write
    part = path.with_name(path.name + ".part")
    with alone(path):
        if path.exists():
            _verify(path, path, digest, "this file")
            return path
        reasons = []
        for url in urls:
            try:
                _download(url, part, licence)
            except (OSError, http.client.HTTPException) as error:
                reasons.append(f"{url} ({_reason(error)})")
                continue
            _verify(part, path, digest, url)
            part.replace(path)
            return path
    raise WeightsError(
        f"cannot download {', '.join(reasons) or 'this file: no address of it is known'}; go on "
        f"later from where it stopped, or fetch {path.name} in another way and put it at {path}"
    )


def _download(url: str, part: Path, licence: str) -> None:
    """Fill `part`; a broken connection is taken up again where it broke."""
    announced = False
    for attempt in range(1, ATTEMPTS + 1):
        done = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url)
        if done:
            request.add_header("Range", f"bytes={done}-")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                resumed = response.status == 206
                total = _total(response, done if resumed else 0)
                if not announced:
                    line = _announcement(url, total, done if resumed else 0, licence)
                    print(line, file=sys.stderr, flush=True)
                    announced = True
                with part.open("ab" if resumed else "wb") as file:
                    _receive(response, file, total)
            return
        except urllib.error.HTTPError as error:
            if error.code != 416 or attempt == ATTEMPTS:
                raise
            # Nothing left to send: `part` is whole, or longer than the file and thus wrong.
            if error.headers.get("Content-Range", "").endswith(f"/{done}"):
                return
            part.unlink()
        except (OSError, http.client.HTTPException):
            if attempt == ATTEMPTS:
                raise


def _receive(response: http.client.HTTPResponse, file: BinaryIO, total: int | None) -> None:
    """Copy the body to the file and the file to the disk."""
    shown = sys.stderr.isatty() and total
    while block := response.read(BLOCK):
        file.write(block)
        if shown:
            print(f"\r{file.tell() / shown:5.0%}", end="", file=sys.stderr, flush=True)
    if shown:
        print(file=sys.stderr)
    file.flush()
    os.fsync(file.fileno())
    if total is not None and file.tell() < total:
        raise ConnectionError(f"the connection broke at {file.tell()} of {total} bytes")


def _total(response: http.client.HTTPResponse, before: int) -> int | None:
    length = response.headers.get("Content-Length")
    return None if length is None else before + int(length)


def _announcement(url: str, total: int | None, done: int, licence: str) -> str:
    size = "size not stated" if total is None else f"{total / 1e6:.1f} MB"
    resumed = f", {done / 1e6:.1f} MB of it already here" if done else ""
    return f"downloading {url} ({size}{resumed}; licence: {licence})"


def _verify(file: Path, path: Path, digest: str, source: str) -> None:
    found = sha256(file)
    if not found.startswith(digest):
        rejected = path.with_name(path.name + ".rejected")
        file.replace(rejected)
        raise WeightsError(
            f"{source}: is not the published file: its sha256 begins with {found[:8]}, not with "
            f"{digest}; kept aside as {rejected}. Try again, or put the right file at {path}"
        )


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time work on `path`: every rank of a run asks for the same file.

    A system without locks lets all of them: `_verify` then finds what they have spoilt.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise WeightsError(
            f"{path.parent}: cannot be written ({error.strerror}); "
            "name another folder for downloads in RES2NET_CACHE"
        ) from error
    with lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
