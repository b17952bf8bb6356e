"""JSON from files that a stranger may have made: size, depth and numbers are limited."""

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from convscope.errors import InputError
from convscope.text import printable

MAX_BYTES = 64 * 1024 * 1024
# Not every system has these; where one is absent, the check after opening still holds.
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_regular_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most `max_bytes`; links, pipes and devices are refused.

    Raises:
        InputError: the file is missing, no regular file, too large, or cannot be read.
    """
    shown = printable(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINKS)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise InputError(f"{shown} is no regular file: give a plain file")
            if facts.st_size > max_bytes:
                raise InputError(
                    f"{shown} has {facts.st_size:,} bytes; allowed are at most {max_bytes:,}"
                )
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise InputError(f"{shown} is missing: is this a complete run directory?") from None
    except OSError as error:
        if path.is_symlink():
            raise InputError(f"{shown} is a link: put the file itself there") from None
        raise InputError(f"{shown} cannot be read: {error.strerror}") from None


def parse_json(data: bytes, shown: str) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no key twice, no depth that exhausts the stack.

    Raises:
        InputError: saying what is wrong with `shown`.
    """
    try:
        return json.loads(
            data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{shown} is damaged: {printable(reason, 120)}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def to_json_bytes(document: object) -> bytes:
    """`document` as indented UTF-8 JSON, the same bytes each time."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"
