"""Protocol Buffers' wire format, as far as an ONNX file needs it: fields in, fields out.

A message is a row of fields. Each begins with a key, number × 8 + kind, and its value follows:
a whole number in groups of seven bits (kind 0), 8 bytes (1), a length and as many bytes (2), or
4 bytes (5). See https://protobuf.dev/programming-guides/encoding. Nothing is copied: what is read
are views of the file, what is written is a list of pieces.
"""

import struct
from collections.abc import Iterator

from convscope.files import Buffer

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
MOST_FIELDS = 100
"""Of one message, where nothing else is said: a file of nothing but fields would take for ever."""
_LONGEST_VARINT = 10  # bytes: 64 bits in groups of seven


class Damaged(ValueError):
    """The bytes are no message."""


def read_fields(
    data: memoryview, most: int = MOST_FIELDS
) -> Iterator[tuple[int, int, int | memoryview]]:
    """The fields of a message: number, kind, and the value: a number from 0 to 2⁶⁴ − 1, or bytes.

    Raises:
        Damaged: a value reaches over the end, is of an unknown kind, or there are more than `most`.
    """
    at, end = 0, len(data)
    while at < end:
        most -= 1
        if most < 0:
            raise Damaged("a part with too many fields")
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = _read_varint(data, at)
        elif kind in (EIGHT, FOUR):
            length = 8 if kind == EIGHT else 4
        else:
            raise Damaged(f"a field of kind {kind}")
        if length > end - at:
            raise Damaged(f"a field of {length:,} bytes where {end - at:,} are left")
        yield number, kind, data[at : at + length]
        at += length


def read_numbers(value: int | memoryview) -> list[int]:
    """The numbers of a repeated field: one, or several packed into bytes.

    Raises:
        Damaged: there are more than MOST_FIELDS, or one is damaged.
    """
    if isinstance(value, int):
        return [value]
    numbers, at = list[int](), 0
    while at < len(value):
        if len(numbers) == MOST_FIELDS:
            raise Damaged("a list of too many numbers")
        number, at = _read_varint(value, at)
        numbers.append(number)
    return numbers


def signed(number: int) -> int:
    """A number from 0 to 2⁶⁴ − 1 as the int64 of the same bits."""
    return number - 2**64 if number >= 2**63 else number


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value >= 2**64:
                raise Damaged("a number of more than 64 bits")
            return value, at + shift + 1
    raise Damaged("a number without an end")


class Message:
    """A message as it is written: `pieces`, of `size` bytes together."""

    def __init__(self) -> None:
        self.pieces: list[Buffer] = []
        self.size = 0

    def number(self, field: int, value: int) -> "Message":
        """A whole number, −2⁶³ to 2⁶³ − 1."""
        return self._add(_varint(field << 3 | VARINT) + _varint(value % 2**64))

    def float32(self, field: int, value: float) -> "Message":
        """A float32."""
        return self._add(_varint(field << 3 | FOUR) + struct.pack("<f", value))

    def bytes(self, field: int, value: "Buffer | str | Message") -> "Message":
        """Bytes, a text, or a message."""
        if isinstance(value, str):
            value = value.encode()
        size = value.size if isinstance(value, Message) else len(value)
        self._add(_varint(field << 3 | BYTES) + _varint(size))
        if isinstance(value, Message):
            self.pieces += value.pieces
        else:
            self.pieces.append(value)
        self.size += size
        return self

    def _add(self, piece: Buffer) -> "Message":
        self.pieces.append(piece)
        self.size += len(piece)
        return self


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
