"""Where decoded images go one by one: into memory, or into a file of the cache."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from convscope.data.stored import Descriptor, StoredImages
from convscope.files import cannot_write

Pixels = npt.NDArray[np.uint8]
Shape = tuple[int, int, int]

_SYNCED = (
    256 * 2**20
)  # bytes after which the disk begins to write, so that the end waits for little


class Rows(Protocol):
    """Images of one shape, C × H × W, in the order in which they come."""

    shape: Shape

    def append(self, pixels: Pixels) -> None:
        """Keep one more; a single grey channel fills three."""

    def __iter__(self) -> Iterator[Pixels]:
        """Those kept so far."""

    def close(self) -> None:
        """Give back what was taken, but for what is in use."""


class MemoryRows:
    """Rows of an array that has room for all; untouched memory costs nothing."""

    def __init__(self, count: int, shape: Shape) -> None:
        self.shape = shape
        self._images = np.empty((count, *shape), dtype=np.uint8)
        self._count = 0

    def append(self, pixels: Pixels) -> None:
        self._images[self._count] = pixels
        self._count += 1

    def __iter__(self) -> Iterator[Pixels]:
        return iter(self.images())

    def images(self) -> Pixels:
        """What was kept, without copying."""
        return self._images[: self._count]

    def close(self) -> None:
        """Nothing to give back: what nobody refers to goes by itself."""


class FileRows:
    """Rows of a temporary file, which vanishes unless it is given a name."""

    def __init__(self, directory: Path, key: str, shape: Shape) -> None:
        """
        Raises:
            InputError: the directory cannot be written to, or the disk is full.
        """
        self.shape = shape
        self.path = directory / f".{key}.{secrets.token_hex(4)}.tmp"
        self._count = self._unsynced = 0
        self._syncer = ThreadPoolExecutor(1)
        self._sync: Future[None] | None = None
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with self._explained():
            self._file: BinaryIO = os.fdopen(os.open(self.path, flags, 0o666), "w+b", 2**20)

    def append(self, pixels: Pixels) -> None:
        whole = np.ascontiguousarray(np.broadcast_to(pixels, self.shape))
        with self._explained():
            self._file.write(whole.data)
            self._unsynced += whole.nbytes
            if self._unsynced > _SYNCED and (self._sync is None or self._sync.done()):
                self._begin_sync()
        self._count += 1

    def _begin_sync(self) -> None:
        """Write to the disk beside the decoding, so that the end waits for little."""
        if self._sync:
            self._sync.result()  # a system tells of a failed write once
        self._file.flush()
        self._unsynced = 0
        self._sync = self._syncer.submit(os.fsync, self._file.fileno())

    def __iter__(self) -> Iterator[Pixels]:
        with self._explained():
            self._file.flush()
        yield from StoredImages(
            Descriptor(self._file), self.path, self.shape, np.arange(self._count)
        )

    def finish(self) -> int:
        """Bring all rows to the disk; how many there are."""
        with self._explained():
            self._file.flush()
            if self._sync:
                self._sync.result()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._count

    def close(self) -> None:
        self._syncer.shutdown()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path.parent, error) from None
