"""Write files whole or not at all, and read them with a limit.

A reader sees the old file or the new one, never a part: the bytes go to a temporary file beside
it, reach the disk (fsync), and take the name in one step (rename); then the directory's entry
reaches the disk too. This is the only way files are written here.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from convscope.errors import InputError
from convscope.text import printable

_STALE_SECONDS = 3600.0  # no write takes an hour: older temporary files are left by a kill
_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_DIRECTORY_FSYNC = {errno.EINVAL, errno.ENOTSUP}  # some file systems have none


Buffer = bytes | memoryview


def write_atomically(path: Path, data: bytes | Iterable[Buffer]) -> None:
    """Write `data` to `path`, all or nothing, durably: after a crash it is the old file or this.

    Several pieces are written one after the other, so that a large file need not be in memory.

    Raises:
        InputError: the disk is full, or the place cannot be written to. The old file is as
            it was and no temporary file is left.
    """
    if not path.name:
        raise InputError(f"'{printable(path)}' names no file: give a file name")
    if not _is_replaceable(path):
        raise InputError(f"{printable(path)} is a device or a pipe: give a plain file")
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write(temporary, (data,) if isinstance(data, bytes) else data)
        move_into_place(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path) -> None:
    """Give the complete file `temporary` the name `path` in the same directory, durably."""
    os.replace(temporary, path)
    _sync_directory(path.parent)


def cannot_write(path: Path, error: OSError) -> InputError:
    """The error for a file that could not be written: what to do about it."""
    shown = printable(path)
    if error.errno in _NO_SPACE:
        return InputError(
            f"no space left on the disk for {shown}: free some and run again (a training run "
            "continues with --resume); the file before it is intact"
        )
    return InputError(
        f"cannot write {shown}: {error.strerror or error}: give another place, or the right to "
        "write there"
    )


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit`; pipes and devices are refused, links followed.

    Raises:
        InputError: the file is missing, no plain file, too large, or cannot be read.
    """
    check_readable(path, limit)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from None
    return data


def check_readable(path: Path, limit: int) -> int:
    """The size in bytes of a plain file of at most `limit` bytes.

    Raises:
        InputError: the file is missing, no plain file, or too large.
    """
    shown = printable(path)
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {shown}: {printable(reason)}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"{shown} is no plain file: give a plain file")
    if facts.st_size > limit:
        raise InputError(f"{shown} has {facts.st_size:,} bytes; allowed are at most {limit:,}")
    return facts.st_size


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Whether `path` is `folder` or lies in it, links followed; a loop of links leads nowhere."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def own_directory(path: Path) -> Path:
    """`path` as a directory, made where there is none; of its own: a link could lead anywhere.

    Raises:
        InputError: it is a link or a file, or cannot be made.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"{printable(path)} is no directory: remove it and try again")
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from None
    return path


def _is_replaceable(path: Path) -> bool:
    """Whether there is nothing, a file, or what `os.replace` refuses anyway."""
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return True
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)


def _write(path: Path, pieces: Iterable[Buffer]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)  # less the user's umask, like any new file
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    if os.name == "nt":  # Windows has no fsync of a directory
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_FSYNC:
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder` and below, of any age.

    For whoever knows that nobody else is writing there.
    """
    for left in folder.rglob(f".*.{'[0-9a-f]' * 8}.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` that a killed process left long ago."""
    oldest = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError):
        for entry in os.scandir(path.parent):
            ours = entry.name.startswith(f".{path.name}.") and entry.name.endswith(".tmp")
            if ours and entry.stat(follow_symlinks=False).st_mtime < oldest:
                os.unlink(entry.path)
