"""A cache of decoded images on disk, for class folders that are decoded slowly or are large.

What is kept is known by the files it came from (their names, sizes and times, or an archive's
checksums) and by what was asked for, so a changed file or another size is another entry. The
pixels take their name when they are complete and on the disk; a document of a few lines,
written last, says which request they answer.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL

from convscope.data.cache_document import FORMAT, Document, read_document
from convscope.data.cache_space import image_directory, make_room
from convscope.data.lock import locked
from convscope.data.rows import FileRows, Shape
from convscope.data.stored import Descriptor, Images, StoredImages
from convscope.data.target import Target
from convscope.documents import open_regular_file, to_json_bytes
from convscope.errors import InputError
from convscope.files import cannot_write, move_into_place, write_atomically
from convscope.text import printable

CacheMode = Literal["auto", "always", "never"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """The images of a listing, and what decoding them found.

    Attributes:
        images: of all splits, in the order of the listing, less those skipped.
        skipped: name → reason, of those that cannot be decoded.
        sha256: of each split's names and files.
        reused: whether the images were in the cache already.
        rebuilt: why what was in the cache could not be used, if so.
    """

    images: Images
    skipped: Mapping[str, str]
    sha256: Mapping[str, str]
    reused: bool = False
    rebuilt: str = ""


class StoredMeanwhile(Exception):
    """Another process decoded the same images while we waited for it."""

    def __init__(self, found: Decoded) -> None:
        super().__init__()
        self.found = found


class ImageCache:
    """The place in the cache of one request: these files, decoded in this way.

    Attributes:
        rebuilt: why what is there cannot be used; set by `find`.
    """

    def __init__(
        self,
        name: str,
        splits: Iterable[str],
        names: Sequence[str],
        stamps: Iterable[str],
        target: Target,
    ) -> None:
        """
        Args:
            name: what the data is called.
            splits: their names.
            names: of the files, in the order in which their images are kept.
            stamps: of each of `names`, what a changed file has another of.
            target: how they are decoded.
        """
        self.rebuilt = ""
        self._name, self._splits, self._names, self._target = name, set(splits), names, target
        self._directory = image_directory()
        self._lock = ExitStack()
        self._is_locked = False
        listing = hashlib.sha256()
        for file, stamp in zip(names, stamps, strict=True):
            listing.update(f"{file}\0{stamp}\0".encode("utf-8", "surrogateescape"))
        self._listing = listing.hexdigest()
        self._key = self._key_of(target)

    def find(self) -> Decoded | None:
        """The images, if they are there and whole."""
        try:
            document = self._read(self._key)
            return self._open(document, reused=True) if document else None
        except InputError as error:
            self.rebuilt = str(error)
            return None

    def rows(self, shape: Shape) -> FileRows:
        """Room for all images of this shape, for this process alone until `close`.

        Raises:
            StoredMeanwhile: another process was faster.
            InputError: there is no room, or no right to write.
        """
        count, directory = len(self._names), self._directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if not self._is_locked:
                self._lock.enter_context(locked(directory / f".{self._key}.lock"))
                self._is_locked = True
                if found := self.find():
                    raise StoredMeanwhile(found)
            what = f"{count} images of {shape[1]} × {shape[2]} pixels"
            make_room(directory, count * math.prod(shape), what)
        except OSError as error:
            raise cannot_write(directory, error) from None
        return FileRows(directory, self._key, shape)

    def keep(
        self, rows: FileRows, skipped: Mapping[str, str], sha256: Mapping[str, str]
    ) -> Decoded:
        """Give complete rows their name: the answer to this request, and to that for their shape.

        So a later call that asks for just this size and these channels finds them too.
        """
        count, (channels, height, width) = rows.finish(), rows.shape
        exact = self._key_of(Target((height, width), channels, self._target.aspect))
        numbers = {name: number for number, name in enumerate(self._names)}
        document = Document(
            key=self._key,
            name=printable(self._name),
            pixels=exact,
            shape=(count, *rows.shape),
            skipped=tuple((numbers[name], reason) for name, reason in skipped.items()),
            sha256=dict(sha256),
        )
        try:
            with locked(self._directory / ".lock"):
                move_into_place(rows.path, self._directory / f"{exact}.pixels")
                for key in {self._key, exact}:
                    answer = document.model_copy(update={"key": key}).model_dump(mode="json")
                    write_atomically(self._directory / f"{key}.json", to_json_bytes(answer))
        except OSError as error:
            raise cannot_write(self._directory, error) from None
        return self._open(document, reused=False)

    def close(self) -> None:
        """Let other processes write."""
        self._lock.close()

    def _read(self, key: str) -> Document | None:
        """The document of a request whose pixels are there."""
        path = self._directory / f"{key}.json"
        if not os.path.lexists(path):
            return None
        document = read_document(path)
        count, names = document.shape[0], len(self._names)
        numbers = {number for number, _ in document.skipped}
        if count + len(numbers) != names or max(numbers, default=0) >= names:
            raise InputError(f"{printable(path)} is damaged: {names} images are not accounted for")
        if set(document.sha256) != self._splits:
            raise InputError(f"{printable(path)} is damaged: its splits are others")
        return document if os.path.lexists(self._pixels(document)) else None

    def _open(self, document: Document, *, reused: bool) -> Decoded:
        path = self._pixels(document)
        count, *shape = document.shape
        with open_regular_file(path) as file:
            expected, size = math.prod(document.shape), os.fstat(file.fileno()).st_size
            if size != expected:
                raise InputError(f"{printable(path)} has {size:,} bytes instead of {expected:,}")
            images = StoredImages(
                Descriptor(file), path, (shape[0], shape[1], shape[2]), np.arange(count)
            )
        with suppress(OSError):  # the time of its last use; a cache that is only read has none
            os.utime(path)
        return Decoded(
            images=images,
            skipped={self._names[number]: reason for number, reason in document.skipped},
            sha256=document.sha256,
            reused=reused,
            rebuilt="" if reused else self.rebuilt,
        )

    def _pixels(self, document: Document) -> Path:
        return self._directory / f"{document.pixels}.pixels"

    def _key_of(self, target: Target) -> str:
        facts = [FORMAT, PIL.__version__, self._listing, *vars(target).values()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
