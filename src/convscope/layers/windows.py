"""Windows over N × C × H × W tensors: one `shapes.Window` a direction, and what pools share."""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope import shapes
from convscope.errors import InputError
from convscope.shapes import Window

Pair = int | tuple[int, int]
"""One number for both directions, or (rows, columns)."""
Padding = str | int | tuple[int, int, int, int]
"""`valid`, `same`, `full`, one number for all sides, or (left, right, top, bottom)."""


class Grid(NamedTuple):
    """A two-dimensional window: one along the rows (height), one along the columns (width)."""

    rows: Window
    columns: Window

    @property
    def area(self) -> int:
        """Elements the window sees."""
        return self.rows.kernel * self.columns.kernel

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what comes out."""
        rows = shapes.output_size(height, self.rows).size
        return rows, shapes.output_size(width, self.columns).size


def grid(
    kernel: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil: bool = False,
) -> Grid:
    """The two windows of a layer; `stride` None means windows side by side (stride = kernel)."""
    kernels, dilations = pair(kernel), pair(dilation)
    strides = kernels if stride is None else pair(stride)
    if isinstance(padding, tuple):
        left, right, top, bottom = padding
        rows, columns = (top, bottom), (left, right)
        return Grid(
            Window(kernels[0], strides[0], dilations[0], rows, ceil),
            Window(kernels[1], strides[1], dilations[1], columns, ceil),
        )
    return Grid(
        Window(kernels[0], strides[0], dilations[0], padding, ceil),
        Window(kernels[1], strides[1], dilations[1], padding, ceil),
    )


def pair(value: Pair) -> tuple[int, int]:
    """(rows, columns) from one number or two."""
    return value if isinstance(value, tuple) else (value, value)


@lru_cache(maxsize=1024)
def exact_sides(height: int, width: int, window: Grid) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) so that exactly the positions of `window` fit, none left over.

    A negative number cuts elements that no position sees.
    """
    sides = []
    for size, axis in ((width, window.columns), (height, window.rows)):
        before = shapes.split_padding(size, axis).before
        out = shapes.output_size(size, axis).size
        sides += [before, (out - 1) * axis.stride + axis.effective_kernel - size - before]
    left, right, top, bottom = sides
    return left, right, top, bottom


@lru_cache(maxsize=1024)
def native_padding(height: int, width: int, window: Grid) -> tuple[int, int] | None:
    """(rows, columns) of padding if torch's own pooling can do it alone, else None.

    Torch pads both ends alike, by at most half the window.
    """
    amounts = []
    for size, axis in ((height, window.rows), (width, window.columns)):
        before, after, _ = shapes.split_padding(size, axis)
        if before != after or before > axis.kernel // 2:
            return None
        amounts.append(before)
    return amounts[0], amounts[1]


@lru_cache(maxsize=1024)
def check_windows(height: int, width: int, window: Grid) -> None:
    """Raise InputError if some position of `window` sees nothing but padding."""
    for name, size, axis in (("height", height, window.rows), ("width", width, window.columns)):
        if 0 in shapes.window_counts(size, axis):
            raise InputError(
                f"a pooling window of {axis.kernel} (dilation {axis.dilation}) over {name} {size} "
                f"sees nothing but padding; give less padding than {axis.effective_kernel}, "
                "less dilation, or a larger input"
            )


def sum_windows(x: Tensor, window: Grid) -> Tensor:
    """The sum over every window, padding as zeros: N × C × H × W to N × C × H' × W'."""
    height, width = x.shape[-2:]
    rows, columns = window
    padding = native_padding(height, width, window)
    if rows.dilation == columns.dilation == 1:
        kernel, stride = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
        if padding is not None:
            return F.avg_pool2d(x, kernel, stride, padding, rows.ceil, divisor_override=1)
        x = F.pad(x, exact_sides(height, width, window))
        return F.avg_pool2d(x, kernel, stride, divisor_override=1)
    x = F.pad(x, exact_sides(height, width, window))
    channels = x.shape[1]
    ones = torch.ones((channels, 1, rows.kernel, columns.kernel), dtype=x.dtype, device=x.device)
    return F.conv2d(
        x,
        ones,
        stride=(rows.stride, columns.stride),
        dilation=(rows.dilation, columns.dilation),
        groups=channels,
    )


def count_windows(x: Tensor, window: Grid, *, padding_counts: bool) -> Tensor:
    """How many elements of `x` each window sees: H' × W' in the type of `x`."""
    height, width = x.shape[-2:]
    rows = shapes.window_counts(height, window.rows, padding_counts=padding_counts)
    columns = shapes.window_counts(width, window.columns, padding_counts=padding_counts)
    return torch.outer(
        torch.tensor(rows, dtype=x.dtype, device=x.device),
        torch.tensor(columns, dtype=x.dtype, device=x.device),
    )


def unfold_windows(x: Tensor, window: Grid, fill: float) -> Tensor:
    """Every window's elements last: N × C × H × W to N × C × H' × W' × (kernel area).

    The padding holds `fill`.
    """
    height, width = x.shape[-2:]
    rows, columns = window
    x = F.pad(x, exact_sides(height, width, window), value=fill)
    x = x.unfold(2, rows.effective_kernel, rows.stride)
    x = x.unfold(3, columns.effective_kernel, columns.stride)
    return x[..., :: rows.dilation, :: columns.dilation].flatten(-2)
