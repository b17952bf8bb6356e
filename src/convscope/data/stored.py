"""Images in a file, read row by row as they are asked for.

Read with `pread`, not memory-mapped: a mapped file that someone shortens ends the process with
SIGBUS instead of an error, and mapped pages count as the process's memory, so that a data set
larger than the memory looks like a leak. The system keeps what was read lately either way.
"""

import math
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from convscope.errors import InputError
from convscope.text import printable

Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

_BLOCK = 16 * 2**20  # bytes read at a time where all images are gone through
_MOST_BYTES, _MOST_PARTS = 2**30, 1024  # of one read: Linux takes no more of either


class Descriptor:
    """A file of its own, open for reading as long as anyone refers to this.

    It loses nothing when the file loses its name meanwhile.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.number = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.number)
        self._lock = threading.Lock()

    def read_into(self, places: list[memoryview], offset: int) -> int:
        """Fill places one after the other, at most all; how many bytes that were."""
        if hasattr(os, "preadv"):
            return os.preadv(self.number, places, offset)
        with self._lock:  # Windows has one position a file
            os.lseek(self.number, offset, os.SEEK_SET)
            data = os.read(self.number, len(places[0]))
        places[0][: len(data)] = data
        return len(data)


class StoredImages:
    """uint8 images, N × C × H × W, in a file; used as an array of them is.

    Indexed by an int, a slice, or an array of int64 or bool, it reads these images into a fresh
    array. Iteration reads them in blocks. Several threads may read at once.

    Attributes:
        path: of the file.
        shape: N, C, H, W.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        file: Descriptor,
        path: Path,
        shape: tuple[int, int, int],
        rows: Rows,
    ) -> None:
        """
        Args:
            file: rows of C · H · W bytes, and nothing else.
            path: of the file.
            shape: C, H, W.
            rows: the number of each image's row in the file.
        """
        self._file, self._rows = file, rows
        self.path = path
        self.shape = (len(rows), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> Pixels:
        """One image C × H × W for an int, else as many as asked for, N × C × H × W.

        Raises:
            InputError: the file is shorter than it was, or cannot be read.
            IndexError: there is no such image.
        """
        rows = self._rows[index]
        return self._read(rows) if isinstance(rows, np.ndarray) else self._read(rows[None])[0]

    def __iter__(self) -> Iterator[Pixels]:
        for block in blocks(self):
            yield from block

    def __array__(self, *_: object, **__: object) -> Pixels:
        raise TypeError("these images lie in a file because they are many: read them in parts")

    def subset(self, indices: Rows | slice) -> "StoredImages":
        """The images at `indices`, in that order, of the same file; nothing is read or copied."""
        _, *shape = self.shape
        return StoredImages(
            self._file, self.path, (shape[0], shape[1], shape[2]), self._rows[indices]
        )

    def _read(self, rows: Rows) -> Pixels:
        """The images of these rows of the file; neighbours there are read at once."""
        if rows.ndim != 1:
            raise IndexError("stored images are indexed by an int, a slice or an array of one axis")
        images = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        if not len(rows):
            return images
        stride = images[0].nbytes
        memory = images.reshape(-1).data
        order = np.argsort(rows, kind="stable")
        most = max(1, min(_MOST_PARTS, _MOST_BYTES // stride))
        for run in np.split(order, np.flatnonzero(np.diff(rows[order]) != 1) + 1):
            for start in range(0, len(run), most):
                part = run[start : start + most].tolist()
                places = [memory[row * stride : (row + 1) * stride] for row in part]
                self._fill(places, int(rows[part[0]]) * stride)
        return images

    def _fill(self, places: list[memoryview], offset: int) -> None:
        while places:
            try:
                count = self._file.read_into(places, offset)
            except OSError as error:
                raise self._unreadable(error.strerror or str(error)) from None
            if not count:
                raise self._unreadable("it is shorter than it was")
            offset += count
            while places and count >= len(places[0]):
                count -= len(places.pop(0))
            if count:
                places[0] = places[0][count:]

    def _unreadable(self, reason: str) -> InputError:
        return InputError(
            f"the decoded images in {printable(self.path)} cannot be read: {printable(reason)}: "
            "delete the file and run again; it is made anew"
        )


Images = Pixels | StoredImages
"""uint8, N × C × H × W: in memory, or in a file and read where they are indexed."""


def select(images: Images, indices: Rows | slice) -> Images:
    """The images at `indices`: of stored ones where they lie, else as NumPy gives them."""
    return images[indices] if isinstance(images, np.ndarray) else images.subset(indices)


def blocks(images: Images) -> Iterator[Pixels]:
    """All images in order, some at a time, N × C × H × W: a few megabytes of memory."""
    _, channels, height, width = images.shape
    step = max(1, _BLOCK // (channels * height * width))
    for start in range(0, len(images), step):
        yield images[start : start + step]
