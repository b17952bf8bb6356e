"""The directory of decoded images: what lies in it, how much it may hold, how it is emptied.

images/<key>.json      what was asked for, and which pixels answer it
images/<key>.pixels    uint8, N × C × H × W, nothing else
images/.<key>.….tmp    pixels that are being written; hidden, removed once their writer is gone
images/.….lock         empty; held by whoever writes
"""

import contextlib
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.data.cache_document import KEY, pixels_named
from convscope.data.download import cache_directory
from convscope.data.lock import is_free, locked
from convscope.errors import InputError
from convscope.files import cannot_write
from convscope.text import printable

LIMIT_GB = 200.0
RESERVE = 2 * 10**9
"""Bytes of the disk that are left free."""

_OURS = re.compile(rf"({KEY})\.(json|pixels)")
_TEMPORARY = re.compile(rf"\.({KEY})(\.json)?\.[0-9a-f]{{8}}\.tmp")


@dataclass(frozen=True, kw_only=True)
class CacheInfo:
    """What the cache of decoded images holds.

    Attributes:
        directory: where it is.
        files: path and bytes of each data set's pixels, the one used last first.
        bytes: of all files.
        limit: bytes allowed ($CONVSCOPE_CACHE_GB).
    """

    directory: Path
    files: tuple[tuple[Path, int], ...]
    bytes: int
    limit: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        files = [{"path": str(path), "bytes": size} for path, size in self.files]
        facts = {"directory": str(self.directory), "bytes": self.bytes, "limit": self.limit}
        return facts | {"files": files}


def image_directory() -> Path:
    """Where decoded images are kept: `images` in the cache directory of downloads."""
    return cache_directory() / "images"


def cache_info() -> CacheInfo:
    """What the cache of decoded images holds; its directory may not exist yet."""
    directory = image_directory()
    found = sorted(_files(directory, ".pixels"), key=lambda entry: -entry[2])
    return CacheInfo(
        directory=directory,
        files=tuple((path, size) for path, size, _ in found),
        bytes=sum(size for _, size, _ in _files(directory, "")),
        limit=_limit(),
    )


def clear_cache() -> int:
    """Remove all decoded images; how many bytes that were. Downloads are not touched.

    Images that someone is decoding at the time stay.

    Raises:
        InputError: they cannot be removed.
    """
    directory = image_directory()
    if not directory.is_dir():
        return 0
    before = cache_info().bytes
    try:
        with locked(directory / ".lock"):
            for path, _, _ in _files(directory, ".pixels"):
                path.unlink(missing_ok=True)
            _sweep(directory)
    except OSError as error:
        raise cannot_write(directory, error) from None
    return before - cache_info().bytes


def make_room(directory: Path, needed: int, what: str) -> None:
    """Remove what killed writers left, and then what was not used for longest, as far as needed.

    Args:
        directory: of the cache.
        needed: bytes to be written.
        what: they are, for the message.

    Raises:
        InputError: there is not enough room; nothing that is in use was removed for it.
    """
    shown, limit = f"{what} take {needed / 1e9:.2f} GB", _limit()
    with locked(directory / ".lock"):
        _sweep(directory)
        oldest = sorted(_files(directory, ".pixels"), key=lambda entry: entry[2])
        used = sum(size for _, size, _ in _files(directory, ""))
        present = sum(size for _, size, _ in oldest)
        free = shutil.disk_usage(directory).free - RESERVE
        if needed > limit - used + present:
            raise InputError(
                f"{shown} in the cache {printable(directory)}, which may hold {limit / 1e9:.2f} "
                "GB: set CONVSCOPE_CACHE_GB higher, or give a smaller size or fewer images"
            )
        if needed > free + present:
            raise InputError(
                f"{shown} in the cache {printable(directory)}, where {(free + present) / 1e9:.2f} "
                f"GB can be used ({RESERVE / 1e9:g} GB stay free): free some, set CONVSCOPE_CACHE "
                "to a directory on a larger disk, or give a smaller size or fewer images"
            )
        for path, size, _ in oldest:
            if needed <= min(limit - used, free):
                break
            path.unlink(missing_ok=True)
            used, free = used - size, free + size
        _sweep(directory)


def _limit() -> int:
    text = os.environ.get("CONVSCOPE_CACHE_GB") or str(LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise InputError(
            f"CONVSCOPE_CACHE_GB is '{printable(text)}'; allowed is a number of gigabytes from 0"
        )
    return int(limit * 1e9)


def _files(directory: Path, ending: str) -> list[tuple[Path, int, float]]:
    """Path, bytes and time of the last use of our regular files; others are left alone."""
    found = []
    with contextlib.suppress(OSError):
        for entry in _entries(directory):
            ours = _OURS.fullmatch(entry.name) or _TEMPORARY.fullmatch(entry.name)
            if ours and entry.name.endswith(ending) and not entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):  # gone meanwhile
                    facts = entry.stat(follow_symlinks=False)
                    found.append((Path(entry.path), facts.st_size, facts.st_mtime))
    return found


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        yield from entries


def _sweep(directory: Path) -> None:
    """Remove pixels no document names, documents without pixels, what killed writers left."""
    names = {path.name for path, _, _ in _files(directory, "")}
    documents = {name: pixels_named(directory / name) for name in names if name.endswith(".json")}
    kept = {f"{pixels}.pixels" for pixels in documents.values()} & names
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        # Documents are written by whoever holds the directory's lock, which is us.
        dead = match and (match[2] or is_free(directory / f".{match[1]}.lock"))
        lost = name.endswith(".pixels") and name not in kept
        empty = name in documents and f"{documents[name]}.pixels" not in kept
        if dead or lost or empty:
            (directory / name).unlink(missing_ok=True)
