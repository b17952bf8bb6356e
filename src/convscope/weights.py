"""Weights in safetensors files, read only after their header was checked against a model.

The format (https://github.com/huggingface/safetensors): eight bytes, the little-endian length of
a JSON header; the header, which gives each tensor's dtype, shape and byte range; the bytes.
Nothing in it can run code. What could hurt is memory: so names, shapes, dtypes and ranges are
checked against the expected architecture before anything is allocated.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from convscope.documents import open_regular_file, parse_json
from convscope.errors import InputError
from convscope.files import write_atomically
from convscope.text import printable

NOTE = "convscope"
MAX_HEADER = 16 * 1024 * 1024
MAX_DIMENSIONS = 16  # the product of a million of them would take minutes to work out
_DTYPES = {
    torch.float64: ("F64", 8),
    torch.float32: ("F32", 4),
    torch.bfloat16: ("BF16", 2),
    torch.int64: ("I64", 8),
    torch.bool: ("BOOL", 1),
}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], note: str = "") -> None:
    """Write `tensors`, and a text with them, to `path`: all or nothing, durably.

    The tensors go to the file one by one: the library's own writer would hold them all in memory
    a second time, hundreds of megabytes for AlexNet. The same tensors give the same bytes.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # aligned
    header: dict[str, Any] = {"__metadata__": {NOTE: note}} if note else {}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind, _ = _DTYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors with spaces
    write_atomically(path, _pieces(text, [tensors[name] for name in names]))


def _pieces(header: bytes, tensors: Iterable[torch.Tensor]) -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(8, "little") + header
    for tensor in tensors:
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        yield memoryview(plain.view(torch.uint8).numpy().data)


def read_tensors(path: Path, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of `path`, which must be exactly those of `expected`.

    Args:
        path: a safetensors file.
        expected: name → tensor of the wanted shape and dtype; meta tensors do.

    Raises:
        InputError: the file is missing, damaged, or holds other tensors than expected.
    """
    header = read_header(path)
    header.pop("__metadata__", None)
    shown = printable(path)
    missing, extra = expected.keys() - header.keys(), header.keys() - expected.keys()
    if missing or extra:
        parts = [f"lacks {_names(missing)}"] * bool(missing) + [f"has {_names(extra)}"] * bool(
            extra
        )
        raise InputError(
            f"{shown} does not fit the model: it {' and '.join(parts)}. "
            "Were run.json and the weights written by the same run?"
        )
    for name, tensor in expected.items():
        found = (header[name]["dtype"], header[name]["shape"])
        wanted = (_DTYPES[tensor.dtype][0], list(tensor.shape))
        if found != wanted:
            raise InputError(
                f"{shown} does not fit the model: '{printable(name)}' is {printable(found)}, "
                f"but the model has {wanted}"
            )
    return _load(path)


def read_note(path: Path) -> str:
    """The text that `write_tensors` wrote with the tensors; empty where there is none."""
    metadata = read_header(path).get("__metadata__", {})
    note = metadata.get(NOTE, "") if isinstance(metadata, dict) else None
    if not isinstance(note, str):
        raise InputError(f"{printable(path)} is damaged: its metadata are not texts")
    return note


def read_header(path: Path) -> dict[str, Any]:
    """The checked header: known dtypes, sane shapes, byte ranges that tile the file exactly.

    Raises:
        InputError: the file is missing, no regular file, or its header lies.
    """
    shown = printable(path)
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(MAX_HEADER, size - 8):
            raise InputError(
                f"{shown} is damaged: its header claims {length:,} bytes "
                f"in a file of {size:,} bytes"
            )
        header = parse_json(file.read(length), shown)
    if not isinstance(header, dict):
        raise InputError(f"{shown} is damaged: its header is no table of tensors")
    _check_ranges(header, size - 8 - length, shown)
    return header


def _check_ranges(header: Mapping[str, Any], size: int, shown: str) -> None:
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = 0
    try:
        for name, entry in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
            end = _check_range(name, entry, end, shown)
    except InputError:
        raise
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{shown} is damaged: its header describes no tensors") from None
    if end != size:
        raise InputError(f"{shown} is damaged: its tensors need {end:,} bytes, it has {size:,}")


def _check_range(name: str, entry: Mapping[str, Any], start: int, shown: str) -> int:
    """Where the bytes of a tensor end, which must begin at `start` and be as many as it needs."""
    widths = dict(_DTYPES.values())
    dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in widths:
        raise InputError(
            f"{shown} cannot be used: '{printable(name)}' has type {printable(dtype, 40)}; "
            f"allowed are {', '.join(widths)}"
        )
    sane = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
    whole = sane and all(type(n) is int and 0 <= n < 2**40 for n in (*shape, first, last))
    if not whole or first != start or last - first != math.prod(shape) * widths[dtype]:
        raise InputError(
            f"{shown} is damaged: '{printable(name)}' has shape {printable(shape)} and bytes "
            f"{printable(first, 40)} to {printable(last, 40)}, which do not agree"
        )
    return int(last)


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{printable(path)} cannot be read: {printable(error)}") from None


def _names(names: set[str]) -> str:
    first = sorted(printable(name, 60) for name in names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
