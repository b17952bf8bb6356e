"""Padding and pooling windows as ONNX operators.

ONNX' own pooling pads by less than the window and has no dilation of means; what it cannot do is
padded before, or summed by a convolution with ones, map by map.
"""

import math

import numpy as np

from convscope.exporting.builder import Builder
from convscope.exporting.tracing import Value
from convscope.layers.padding import Pad
from convscope.layers.windows import Grid, exact_sides
from convscope.onnx_file.graph import Array
from convscope.shapes import window_counts

Sides = tuple[int, int, int, int]
"""Left, right, top, bottom."""


def border(b: Builder, x: Value, sides: Sides, how: Pad) -> tuple[str, tuple[int, ...]]:
    """What a convolution sees, and the zeros (top, left, bottom, right) it adds itself."""
    left, right, top, bottom = sides
    if how.mode == "zeros" or (how.mode == "constant" and how.value == 0):
        return x.name, (top, left, bottom, right)
    if not any(sides):
        return x.name, (0, 0, 0, 0)
    if how.mode == "circular":
        return _circular(b, x, sides), (0, 0, 0, 0)
    mode = {"replicate": "edge"}.get(how.mode, how.mode)
    return pad(b, x, sides, mode=mode, value=how.value), (0, 0, 0, 0)


def pad(b: Builder, x: Value, sides: Sides, *, mode: str = "constant", value: float = 0) -> str:
    """`x` with a border; negative sides cut."""
    left, right, top, bottom = sides
    numbers = b.whole(0, 0, top, left, 0, 0, bottom, right)
    extra = [b.constant(float(value), "fill")] if mode == "constant" else []
    return b.add("Pad", x.name, numbers, *extra, mode=mode)


def _circular(b: Builder, x: Value, sides: Sides) -> str:
    left, right, top, bottom = sides
    name, (_, height, width) = x.name, x.shape
    for axis, size, before, after in ((2, height, top, bottom), (3, width, left, right)):
        parts = [name]
        if before:
            parts.insert(0, cut(b, name, axis, size - before, size))
        if after:
            parts.append(cut(b, name, axis, 0, after))
        name = b.add("Concat", *parts, axis=axis) if len(parts) > 1 else name
    return name


def cut(b: Builder, name: str, axis: int, start: int, end: int) -> str:
    """Elements `start` to `end` along an axis."""
    return b.add("Slice", name, b.whole(start), b.whole(end), b.whole(axis))


def maximum(b: Builder, x: Value, window: Grid) -> str:
    """The largest value of each window; the padding is −∞."""
    rows, columns = window
    left, right, top, bottom = exact_sides(*x.shape[1:], window)
    right, bottom = max(right, 0), max(bottom, 0)  # what no window sees need not be cut
    name, pads = x.name, (top, left, bottom, right)
    if max(top, bottom) >= rows.kernel or max(left, right) >= columns.kernel:
        name = pad(b, x, (left, right, top, bottom), value=-math.inf)
        pads = (0, 0, 0, 0)
    return b.add(
        "MaxPool",
        name,
        kernel_shape=(rows.kernel, columns.kernel),
        strides=(rows.stride, columns.stride),
        dilations=(rows.dilation, columns.dilation),
        pads=pads,
    )


def sums(b: Builder, x: Value, window: Grid) -> str:
    """The sum of each window, padding as zeros."""
    return each_map(b, x, window, np.ones((x.shape[0], 1, 1, 1), np.float32))


def each_map(b: Builder, x: Value, window: Grid, weight: Array, *bias: str) -> str:
    """The sum of each window times its map's weight (maps × 1 × 1 × 1) + bias."""
    rows, columns = window
    left, right, top, bottom = exact_sides(*x.shape[1:], window)
    kernel = (rows.kernel, columns.kernel)
    return b.add(
        "Conv",
        x.name,
        b.constant(np.tile(weight, (1, 1, *kernel)), "window"),
        *bias,
        kernel_shape=kernel,
        strides=(rows.stride, columns.stride),
        dilations=(rows.dilation, columns.dilation),
        pads=(top, left, max(bottom, 0), max(right, 0)),
        group=x.shape[0],
    )


def means(b: Builder, x: Value, window: Grid, *, padding_counts: bool) -> str:
    """The mean of each window, over its elements and perhaps its padding."""
    rows, columns = window
    left, right, top, bottom = exact_sides(*x.shape[1:], window)
    pads = (top, left, max(bottom, 0), max(right, 0))
    small = max(top, bottom) < rows.kernel and max(left, right) < columns.kernel
    if rows.dilation == columns.dilation == 1 and small and (not padding_counts or not any(pads)):
        return b.add(
            "AveragePool",
            x.name,
            kernel_shape=(rows.kernel, columns.kernel),
            strides=(rows.stride, columns.stride),
            pads=pads,
            count_include_pad=0,
        )
    _, height, width = x.shape
    down = window_counts(height, rows, padding_counts=padding_counts)
    across = window_counts(width, columns, padding_counts=padding_counts)
    counts = np.outer(down, across).astype(np.float32)
    return b.add("Div", sums(b, x, window), b.constant(counts, "counts"))
