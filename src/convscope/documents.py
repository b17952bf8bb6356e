"""JSON from files that a stranger may have made: size, depth and numbers are limited."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from convscope.errors import InputError
from convscope.text import printable

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100  # far below Python's own limit: whatever was read can be shown and written again
_MAX_DIGITS = 20  # as many as 2⁶⁴ has
# Not every system has these; where one is absent, the check after opening still holds.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_regular_file(path: Path) -> BinaryIO:
    """A regular file, open for reading; links, pipes and devices are refused.

    Raises:
        InputError: the file is missing, no regular file, or cannot be opened.
    """
    shown = printable(path)
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise InputError(f"{shown} is missing: is this a complete run directory?") from None
    except OSError as error:
        if path.is_symlink():
            raise InputError(f"{shown} is a link: put the file itself there") from None
        raise InputError(f"{shown} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{shown} is no regular file: give a plain file")
    return os.fdopen(descriptor, "rb")


def read_regular_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most `max_bytes`.

    Raises:
        InputError: the file is missing, no regular file, too large, or cannot be read.
    """
    shown = printable(path)
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise InputError(f"{shown} has {size:,} bytes; allowed are at most {max_bytes:,}")
        try:
            return file.read(size)
        except OSError as error:
            raise InputError(f"{shown} cannot be read: {error.strerror}") from None


def parse_json(data: bytes, shown: str) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no key twice, at most `MAX_DEPTH` levels, and no
    number too large for a float64 or for 20 digits.

    Raises:
        InputError: saying what is wrong with `shown`.
    """
    try:
        document = json.loads(
            data.decode("utf-8"),
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_decimal,
            object_pairs_hook=_unique,
        )
        _check_depth(document)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{shown} is damaged: {printable(reason, 120)}") from None
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _decimal(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is too large a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise RecursionError


def to_json_bytes(document: object) -> bytes:
    """`document` as indented UTF-8 JSON, the same bytes each time."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"
