"""Fetch the files of a named data set over HTTPS, once, into the user's cache directory.

A file takes its name only when it is whole and its SHA-256 is the expected one. What has arrived
is kept in a hidden `.part` file and resumed (HTTP Range), from the same mirror or the next.
"""

import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from convscope.data.gzip_stream import GzipStream
from convscope.data.lock import locked
from convscope.errors import ConvscopeError, InputError
from convscope.files import cannot_write, move_into_place
from convscope.text import printable

Progress = Callable[[int, int], None]

_CHUNK = 1 << 16
_MAX_PAYLOAD = 1024**3
_ATTEMPTS = 5  # at one mirror, as long as each brings something


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One file to fetch and how to know that it is the right one.

    Attributes:
        name: the file's name in the cache directory.
        mirrors: complete addresses, tried in this order.
        bytes: its size as published; a mirror may pack it differently, up to twice that.
        sha256: what the bytes must hash to, in hexadecimal.
        packed: whether `sha256` is of the file as it is (True), or of what is inside its gzip
            (False), which every recompression of the same data has in common.
    """

    name: str
    mirrors: tuple[str, ...]
    bytes: int
    sha256: str
    packed: bool = True

    @property
    def max_bytes(self) -> int:
        """The most that is downloaded."""
        return 2 * self.bytes + 4096


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a download is given up.

    Attributes:
        timeout: seconds without any byte.
        slow_seconds, slow_bytes: fewer than so many bytes in so many seconds is a stall.
        allow_http: accept http:// to this machine's own addresses; for tests.
    """

    timeout: float = 20.0
    slow_seconds: float = 30.0
    slow_bytes: int = 32_768
    allow_http: bool = False


class _Failure(Exception):
    """Why one attempt at one mirror failed; `resumable` where what has arrived may be used."""

    def __init__(self, reason: str, *, resumable: bool = False) -> None:
        super().__init__(reason)
        self.resumable = resumable


def cache_directory() -> Path:
    """Where downloads are kept: $CONVSCOPE_CACHE, or `convscope` in the user's cache directory."""
    if own := os.environ.get("CONVSCOPE_CACHE"):
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "convscope"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "convscope" / "cache"
    # The XDG specification: a relative path in the variable is to be ignored.
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "convscope"


def fetch(
    resource: Resource,
    directory: Path,
    *,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> Path:
    """The path of the verified file in `directory`, downloaded if it is not there yet.

    A second process that wants the same file waits for the first.

    Args:
        resource: what to fetch.
        directory: the cache directory; made if need be.
        progress: called with (bytes so far, bytes as published).
        limits: when to give up.

    Raises:
        ConvscopeError: every mirror failed: which, why, and how to do it by hand.
        InputError: the directory cannot be written to, or the disk is full.
    """
    path = directory / resource.name
    if path.is_file() and is_intact(path, resource):
        return path
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locked(directory / f".{resource.name}.lock"):
            if not (path.is_file() and is_intact(path, resource)):
                part = directory / f".{resource.name}.part"
                _from_mirrors(resource, part, path, progress, limits or Limits())
    except OSError as error:
        raise cannot_write(path, error) from None
    return path


def is_intact(path: Path, resource: Resource) -> bool:
    """Whether the file holds the expected bytes."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") if resource.packed else GzipStream(path) as stream:
            left = resource.max_bytes if resource.packed else _MAX_PAYLOAD
            while left and (piece := stream.read(min(left, 1 << 20))):
                digest.update(piece)
                left -= len(piece)
    except InputError:  # damaged gzip
        return False
    return digest.hexdigest() == resource.sha256


def _from_mirrors(
    resource: Resource, part: Path, path: Path, progress: Progress | None, limits: Limits
) -> None:
    reasons = []
    for url in resource.mirrors:
        try:
            _from_mirror(resource, url, part, progress, limits)
            move_into_place(part, path)
        except _Failure as failure:
            reasons.append(f"{printable(url)}: {printable(failure)}")
        else:
            return
    raise ConvscopeError(
        f"cannot download {resource.name} ({'; '.join(reasons)}): try again later (what has "
        f"arrived is kept), or put the file into {printable(path.parent)} by hand"
    )


def _from_mirror(
    resource: Resource, url: str, part: Path, progress: Progress | None, limits: Limits
) -> None:
    """Fill `part` with the verified file, resuming while each attempt brings something."""
    for attempt in range(_ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        try:
            _receive(resource, url, part, start, progress, limits)
        except _Failure as failure:
            grown = part.exists() and part.stat().st_size > start
            if not (failure.resumable and grown) or attempt == _ATTEMPTS - 1:
                raise
            continue
        if is_intact(part, resource):
            return
        part.unlink()
        if not start:  # a resumed file may mix two packings of the same data: begin anew
            raise _Failure("its SHA-256 is not the expected one")
    raise _Failure("its SHA-256 is not the expected one")


def _receive(
    resource: Resource,
    url: str,
    part: Path,
    start: int,
    progress: Progress | None,
    limits: Limits,
) -> None:
    """Append what is missing to `part`, or write all of it where the server cannot resume."""
    try:
        response = _open(url, start, limits)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing follows what we have: its SHA-256 will tell
            return
        raise _Failure(f"{error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise _Failure(_reason(error)) from None
    with response:
        if response.status == 206 and not _continues(response, start):
            raise _Failure("it answers with another part than asked for")
        start = start if response.status == 206 else 0
        length = response.headers.get("Content-Length") or ""
        expected = start + int(length) if length.isdecimal() and len(length) < 19 else None
        if (expected or 0) > resource.max_bytes:
            raise _Failure(f"it offers {expected:,} bytes; at most {resource.max_bytes:,} fit")
        with part.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            done = _copy(response, file, start, resource, progress, limits)
            file.flush()
            os.fsync(file.fileno())
    if expected is not None and done < expected:
        raise _Failure(f"it ended after {done:,} of {expected:,} bytes", resumable=True)


def _copy(
    response: HTTPResponse,
    file: BinaryIO,
    start: int,
    resource: Resource,
    progress: Progress | None,
    limits: Limits,
) -> int:
    """Copy the response to the file; returns the file's size."""
    done = checked = start
    deadline = time.monotonic() + limits.slow_seconds
    while piece := _next_piece(response):
        done += len(piece)
        if done > resource.max_bytes:
            raise _Failure(f"it sends more than {resource.max_bytes:,} bytes")
        file.write(piece)
        if progress is not None:
            progress(min(done, resource.bytes), resource.bytes)
        if time.monotonic() > deadline:
            if done - checked < limits.slow_bytes:
                raise _Failure(
                    f"it stalled: {done - checked:,} bytes in {limits.slow_seconds:g} s",
                    resumable=True,
                )
            checked, deadline = done, time.monotonic() + limits.slow_seconds
    return done


def _next_piece(response: HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _Failure(_reason(error), resumable=True) from None


def _open(url: str, start: int, limits: Limits) -> HTTPResponse:
    _check_address(url, limits)
    headers = {"User-Agent": "convscope", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    opener = urllib.request.build_opener(_SafeRedirects(limits))
    request = urllib.request.Request(url, headers=headers)
    response: HTTPResponse = opener.open(request, timeout=limits.timeout)
    return response


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to HTTPS only."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_address(newurl, self._limits)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, limits: Limits) -> None:
    parts = urlsplit(url)
    local = limits.allow_http and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise _Failure(f"{printable(url)} is not https")


def _continues(response: HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return str(cause) or type(cause).__name__
