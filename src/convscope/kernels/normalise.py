"""uint8 images to a network's input, batch-last, in one pass; the work is done in `normalise.c`."""

import ctypes
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from convscope.kernels.batch_last import empty, pitch
from convscope.kernels.calls import address, call


class _Normalise(ctypes.Structure):
    """`struct normalise` of normalise.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("images", "rows", "to", "table")),
        *((name, ctypes.c_int64) for name in ("all", "n", "channels", "height", "width")),
        *((name, ctypes.c_int64) for name in ("left", "right", "top", "bottom", "pitch", "fill")),
    ]


def normalise(
    images: Tensor,
    scale: Any,
    shift: Any,
    padding: tuple[int, int, int, int],
    fill: int,
    rows: Tensor | None = None,
) -> Tensor:
    """Each pixel × scale + shift of its channel, with a border, bit for bit as in two operations.

    Args:
        images: uint8, N × C × H × W.
        scale, shift: float32 arrays, C.
        padding: pixels of border: left, right, top, bottom. fill: their grey level.
        rows: int64: which images, in which order; all by default.

    Returns:
        float32, rows × C × (top + H + bottom) × (left + W + right), batch-last.
    """
    every, channels, height, width = images.shape
    n = every if rows is None else len(rows)
    left, right, top, bottom = padding
    images, rows = images.contiguous(), None if rows is None else rows.contiguous()
    table = _table(tuple(scale.tolist()), tuple(shift.tolist()))
    result = empty((n, channels, top + height + bottom, left + width + right))
    job = _Normalise(
        images=address(images),
        rows=address(rows),
        to=address(result),
        table=address(table),
        all=every,
        n=n,
        channels=channels,
        height=height,
        width=width,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        pitch=pitch(n),
        fill=fill,
    )
    call("normalise", job)
    return result


@lru_cache(maxsize=16)
def _table(scale: tuple[float, ...], shift: tuple[float, ...]) -> Tensor:
    """The results for all grey levels: channels × 256."""
    scales, shifts = (
        torch.tensor(value, dtype=torch.float32).view(-1, 1) for value in (scale, shift)
    )
    levels = torch.arange(256, dtype=torch.float32)
    return levels.repeat(len(scale), 1).mul_(scales).add_(shifts)
