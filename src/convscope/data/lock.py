"""Locks between processes, so that two of them do not do the same work at once."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from convscope.errors import InputError
from convscope.text import printable


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the system frees it when its holder dies."""
    with path.open("ab") as file:
        while not _try_lock(file):
            time.sleep(0.1)
        yield


@contextlib.contextmanager
def sole_user(folder: Path, busy: str) -> Iterator[None]:
    """Be the only process inside `folder`, which nothing is written into for that.

    Windows, and file systems without locks, let everybody in.

    Raises:
        InputError: with `busy`, where another process is inside; or there is no such folder.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot open {printable(folder)}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(busy) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock, at this moment."""
    with path.open("ab") as file:
        return _try_lock(file)  # closing frees it again


def _try_lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if isinstance(error, BlockingIOError | PermissionError):
            return False
        raise
    return True
