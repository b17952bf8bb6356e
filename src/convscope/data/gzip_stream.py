"""Read gzip data piece by piece, so that a small file cannot fill the memory."""

import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from convscope.errors import InputError
from convscope.text import printable

_CHUNK = 1 << 20
_GZIP = 31  # window bits: a gzip header and checksum around the largest window


class GzipStream:
    """The decompressed bytes of a gzip file (RFC 1952), at most as many as asked for.

    Checksums and lengths are verified at the end of each member; a file that is cut short or
    followed by anything else is refused.

    Raises:
        InputError: the data are damaged or end too early.
    """

    def __init__(self, path: Path) -> None:
        self._shown = printable(path)
        self._file = path.open("rb")
        self._inflate = zlib.decompressobj(_GZIP)
        self._input = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end."""
        pieces: list[bytes] = []
        missing = count
        while missing and (piece := self._read_some(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_some(self, limit: int) -> bytes:
        while True:
            if self._inflate.eof and not self._next_member():
                return b""
            if not self._input:
                self._input = self._file.read(_CHUNK)
            try:
                piece = self._inflate.decompress(self._input, limit)
            except zlib.error as error:
                raise InputError(f"{self._shown} is damaged ({error}): fetch it again") from None
            ended = not self._input and not piece and not self._inflate.eof
            self._input = self._inflate.unconsumed_tail
            if ended:
                raise InputError(f"{self._shown} ends too early: it was cut short, fetch it again")
            if piece:
                return piece

    def _next_member(self) -> bool:
        """Whether another gzip member follows the one that has ended."""
        self._input = self._inflate.unused_data or self._file.read(_CHUNK)
        if self._input:
            self._inflate = zlib.decompressobj(_GZIP)
        return bool(self._input)
