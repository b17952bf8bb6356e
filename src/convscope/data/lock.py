"""A lock between processes, so that two of them do not download the same file at once."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the system frees it when its holder dies."""
    with path.open("ab") as file:
        while not _try_lock(file):
            time.sleep(0.1)
        yield


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
