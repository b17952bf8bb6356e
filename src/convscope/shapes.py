"""Sizes in whole numbers: what a window does to one axis of an image. No torch.

A window (of a convolution or a pooling) slides along rows and columns independently, so one
axis at a time is enough. Every result carries the formula it came from, with its numbers.

Five inputs, a window of 3 with stride 2 (`padding="valid"`): two positions, nothing left over.

    input    1 2 3 4 5
    windows  [---]
                 [---]

>>> output_size(5, Window(3, stride=2)).formula
'⌊(5 + 0 − 3)/2⌋ + 1 = 2'

With `padding="same"` the borders (`.`) are filled so that out = ⌈size/stride⌉. An odd total
puts its extra element at the end, as TensorFlow and Keras do:

    input    1 2 3 4 .
    windows  [---]
                 [---]

>>> split_padding(4, Window(3, stride=2, padding="same"))[:2]
(0, 1)

`ceil=True` keeps a last window that hangs over the end, if it starts inside the input:

    input    1 2 3 4 5
    windows  [-]
                 [-]
                     [-

>>> output_size(5, Window(2, stride=2, ceil=True)).size, output_size(5, Window(2, stride=2)).size
(3, 2)
>>> discarded(5, Window(2, stride=2)).elements
1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from convscope.errors import InputError, unknown_name
from convscope.text import printable

PADDINGS = ("valid", "same", "full")
LARGEST = 1_000_000
"""No kernel, stride, dilation or padding may be larger: sizes stay ordinary integers."""


class PaddingSplit(NamedTuple):
    """Elements added before and after an axis."""

    before: int
    after: int
    formula: str


class OutputSize(NamedTuple):
    """How many positions a window takes along an axis."""

    size: int
    formula: str


class Discarded(NamedTuple):
    """How many elements at the end of an axis no window reaches."""

    elements: int
    formula: str


class ReceptiveField(NamedTuple):
    """The stretch of input that one unit sees after a chain of windows.

    Attributes:
        size: its length, counting elements in the gaps of dilated windows.
        stride: the distance between the fields of neighbouring units.
        start: the first input element that unit 0 sees; negative inside the padding.
        formula: how size, stride and start follow from the last window of the chain.
    """

    size: int
    stride: int
    start: int
    formula: str


@dataclass(frozen=True)
class Window:
    """A window along one axis.

    Attributes:
        kernel: elements it sees, ≥ 1.
        stride: elements from one position to the next, ≥ 1.
        dilation: distance of neighbouring elements inside the window, ≥ 1.
        padding: `valid` (none), `same` (out = ⌈size/stride⌉), `full` (every overlap counts:
            kernel − 1 on both sides), a number for both sides, or (before, after).
        ceil: keep a last window that hangs over the end, if it starts inside the input or the
            padding before it (torch's rule).

    Raises:
        InputError: a value outside its range.

    >>> Window(3, dilation=2).effective_kernel  # x . x . x
    5
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: str | int | tuple[int, int] = "valid"
    ceil: bool = False

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            _check_whole(name, getattr(self, name), low=1)
        if isinstance(self.padding, str):
            if self.padding not in PADDINGS:
                raise unknown_name("padding", printable(self.padding), PADDINGS)
        else:
            pair = self.padding if isinstance(self.padding, tuple) else (self.padding,) * 2
            if len(pair) != 2:
                raise InputError(
                    f"padding has {len(pair)} numbers; allowed: valid, same, full, one number, "
                    "or two (before, after)"
                )
            for amount in pair:
                _check_whole("padding", amount, low=0)

    @property
    def effective_kernel(self) -> int:
        """Elements from the first to the last that the window sees: dilation·(kernel − 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1


@lru_cache(maxsize=4096)
def split_padding(size: int, window: Window) -> PaddingSplit:
    """The padding before and after an axis of `size` elements.

    `same`: total = max((out − 1)·stride + effective kernel − size, 0) with out = ⌈size/stride⌉,
    and before = ⌊total/2⌋: the left/right split of TensorFlow and Keras.

    Even kernel, stride 1:   1 2 3 4 .   (an odd total: the extra element goes to the end)

    >>> split_padding(4, Window(2, padding="same"))
    PaddingSplit(before=0, after=1, formula='max((4 − 1)·1 + 2 − 4, 0) = 1: 0 before, 1 after')
    >>> split_padding(4, Window(3, padding="full"))  # . . 1 2 3 4 . .
    PaddingSplit(before=2, after=2, formula='3 − 1 = 2 before and after')
    """
    _check_whole("size", size, low=1)
    kernel, padding = window.effective_kernel, window.padding
    if padding == "same":
        out = -(-size // window.stride)
        total = max((out - 1) * window.stride + kernel - size, 0)
        before, after = total // 2, total - total // 2
        formula = (
            f"max(({out} − 1)·{window.stride} + {kernel} − {size}, 0) = {total}: "
            f"{before} before, {after} after"
        )
        return PaddingSplit(before, after, formula)
    if padding == "full":
        return PaddingSplit(kernel - 1, kernel - 1, f"{kernel} − 1 = {kernel - 1} before and after")
    if isinstance(padding, tuple):
        before, after = padding
    else:
        before = after = 0 if isinstance(padding, str) else padding
    return PaddingSplit(before, after, f"{before} before, {after} after")


@lru_cache(maxsize=4096)
def output_size(size: int, window: Window) -> OutputSize:
    """How many positions `window` takes along an axis of `size` elements.

    Floor: ⌊(size + padding − kernel)/stride⌋ + 1. Ceil: ⌈…⌉ + 1, less one if the last window
    would start past the input and the padding before it. `same`: ⌈size/stride⌉.

    Raises:
        InputError: the window does not fit even once.

    >>> output_size(32, Window(5))
    OutputSize(size=28, formula='⌊(32 + 0 − 5)/1⌋ + 1 = 28')
    >>> output_size(7, Window(2, stride=3, ceil=True)).formula
    '⌈(7 + 0 − 2)/3⌉ + 1 = 3'
    >>> output_size(3, Window(1, stride=3, padding=1, ceil=True)).formula
    '⌈(3 + 2 − 1)/3⌉ + 1 = 3, less 1 as the last window would start past the input = 2'
    """
    split = split_padding(size, window)
    kernel, stride = window.effective_kernel, window.stride
    if window.padding == "same":
        out = -(-size // stride)
        return OutputSize(out, f"⌈{size}/{stride}⌉ = {out}")
    padding = split.before + split.after
    room = size + padding - kernel
    if room < 0:
        raise InputError(
            f"a window of {kernel} does not fit into {size + padding} "
            f"({size} and {padding} of padding); give a size of at least {kernel - padding}, "
            "a smaller window, or padding 'same'"
        )
    shown = f"({size} + {padding} − {_kernel_formula(window)})/{stride}"
    if not window.ceil:
        out = room // stride + 1
        return OutputSize(out, f"⌊{shown}⌋ + 1 = {out}")
    out = -(-room // stride) + 1
    formula = f"⌈{shown}⌉ + 1 = {out}"
    if (out - 1) * stride >= size + split.before:
        out -= 1
        formula += f", less 1 as the last window would start past the input = {out}"
    return OutputSize(out, formula)


def discarded(size: int, window: Window) -> Discarded:
    """How many elements at the end of an axis of `size` no window reaches.

    Rows or columns between windows (stride > kernel) are not counted.

    >>> discarded(28, Window(5, stride=2))
    Discarded(elements=1, formula='28 + 0 − ((12 − 1)·2 + 5) = 1')
    """
    split, out = split_padding(size, window), output_size(size, window).size
    reach = (out - 1) * window.stride + window.effective_kernel
    left = size + split.before - reach
    formula = (
        f"{size} + {split.before} − (({out} − 1)·{window.stride} + {window.effective_kernel})"
        f" = {left}"
    )
    return Discarded(max(left, 0), formula if left >= 0 else f"{formula}, so 0")


@lru_cache(maxsize=4096)
def window_counts(size: int, window: Window, *, padding_counts: bool = False) -> tuple[int, ...]:
    """How many elements of the input each position of `window` sees.

    With `padding_counts` the padding is input too, but what a ceil-mode window sees beyond it
    is not (as torch's average pooling divides).

    >>> window_counts(3, Window(3, padding="same"))
    (2, 3, 2)
    >>> window_counts(3, Window(2, stride=2, padding=1, ceil=True), padding_counts=True)
    (2, 2)
    """
    split, out = split_padding(size, window), output_size(size, window).size
    low = -split.before if padding_counts else 0
    high = size + split.after if padding_counts else size
    starts = (position * window.stride - split.before for position in range(out))
    return tuple(
        sum(low <= start + i * window.dilation < high for i in range(window.kernel))
        for start in starts
    )


def receptive_field(windows: Sequence[Window], size: int) -> ReceptiveField:
    """The receptive field of one unit after `windows`, applied in order to `size` elements.

    Each window adds (effective kernel − 1) × the stride so far to the size, and multiplies the
    stride. `size` is needed because the split of `same` padding depends on it.

    Two windows of 3 see 5:

        input        1 2 3 4 5
        first        [-----]       3
        second       [-- + --]     3 + (3 − 1)·1 = 5

    >>> receptive_field([Window(5), Window(2, stride=2), Window(5)], 32)[:3]
    (14, 2, 0)
    >>> receptive_field([Window(5), Window(2, stride=2)], 32).formula
    'size 5 + (2 − 1)·1 = 6, stride 1·2 = 2, start 0 − 0·1 = 0'
    """
    _check_whole("size", size, low=1)
    field = ReceptiveField(1, 1, 0, "size 1, stride 1, start 0")
    for window in windows:
        field = extend_field(field, window, size)
        size = output_size(size, window).size
    return field


def extend_field(field: ReceptiveField, window: Window, size: int) -> ReceptiveField:
    """`field` after one more `window` on `size` units."""
    before, kernel = split_padding(size, window).before, window.effective_kernel
    grown = field.size + (kernel - 1) * field.stride
    stride = field.stride * window.stride
    start = field.start - before * field.stride
    return ReceptiveField(
        grown,
        stride,
        start,
        f"size {field.size} + ({kernel} − 1)·{field.stride} = {grown}, "
        f"stride {field.stride}·{window.stride} = {stride}, "
        f"start {field.start} − {before}·{field.stride} = {start}",
    )


def _kernel_formula(window: Window) -> str:
    if window.dilation == 1:
        return str(window.kernel)
    return f"({window.dilation}·({window.kernel} − 1) + 1)"


def _check_whole(name: str, value: object, *, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= LARGEST:
        raise InputError(
            f"{name} is {printable(repr(value))}; allowed: a whole number from {low} to {LARGEST}"
        )
