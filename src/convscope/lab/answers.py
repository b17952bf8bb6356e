"""What the lab answers besides JSON: numbers in binary."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.web.answers import json_bytes


class Frame:
    """A binary answer: a JSON header, then float32 values, both as the page reads them at once.

    uint32 n, n bytes of JSON, zeros up to a multiple of 4, float32 values; all little-endian.

    >>> frame = Frame()
    >>> frame.add(np.array([1.5, 2.5])), frame.add(np.array([3.5]))
    (0, 2)
    >>> body = frame.to_bytes({"a": 1})
    >>> body[:4], body[4:11], len(body)
    (b'\\x07\\x00\\x00\\x00', b'{"a":1}', 24)
    """

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.float32]] = []
        self._length = 0

    def add(self, values: npt.NDArray[Any]) -> int:
        """Append values, row-major; at which position of the float array they begin."""
        start = self._length
        part = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
        self._parts.append(part)
        self._length += part.size
        return start

    def to_bytes(self, header: Mapping[str, Any]) -> bytes:
        """The whole answer."""
        text = json_bytes(header)
        padding = b"\0" * (-len(text) % 4)
        return b"".join(
            [struct.pack("<I", len(text)), text, padding, *(p.data for p in self._parts)]
        )


def one_tensor(name: str, values: npt.NDArray[Any], **more: Any) -> bytes:
    """The binary answer that holds a single tensor."""
    frame = Frame()
    entry = {"name": name, "shape": list(values.shape), "offset": frame.add(values)}
    return frame.to_bytes({"tensors": [entry | limits(values)], **more})


def limits(values: npt.NDArray[Any]) -> dict[str, float | None]:
    """The smallest and the largest value; None where there are none."""
    if not values.size:
        return {"min": None, "max": None}
    return {"min": float(values.min()), "max": float(values.max())}
