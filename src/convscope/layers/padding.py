"""Padding: how much on which side, and what fills it.

    valid     1 2 3         no border
    same      . 1 2 3 .     a window of 3 has as many positions as there are elements
    full    . . 1 2 3 . .   a window of 3 is used wherever it touches the input
    explicit                as many as `sides` says

What fills the border, for two elements on each side of `1 2 3 4`:

    zeros        0 0 1 2 3 4 0 0
    constant     v v 1 2 3 4 v v
    reflect      3 2 1 2 3 4 3 2     mirrored at the edge element, which is not repeated
    replicate    1 1 1 2 3 4 4 4
    circular     3 4 1 2 3 4 1 2

>>> import torch
>>> x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
>>> border = Pad("explicit", mode="reflect", sides=(2, 2, 0, 0)).build()
>>> border(x).flatten().int().tolist()
[3, 2, 1, 2, 3, 4, 3, 2]
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from convscope import shapes
from convscope.errors import InputError
from convscope.layers.spec import Spec, check_choice, check_number, check_sides
from convscope.layers.windows import Grid, Padding, Pair, grid
from convscope.text import printable

KINDS = ("valid", "same", "full", "explicit")
MODES = ("zeros", "constant", "reflect", "replicate", "circular")

Sides = int | tuple[int, int, int, int]


@dataclass(frozen=True)
class Pad(Spec, tag="pad"):
    """How the input of a convolution is padded.

    Attributes:
        kind: `valid`, `same` (out = ⌈size/stride⌉, split as TensorFlow and Keras do: the extra
            element of an odd total goes right and to the bottom), `full` or `explicit`.
        mode: `zeros`, `constant` (filled with `value`), `reflect`, `replicate` or `circular`.
        value: what `constant` fills with.
        sides: for `explicit`: one number for all sides or (left, right, top, bottom), the order
            of torch.nn.functional.pad.

    Raises:
        InputError: an unknown kind or mode, `sides` without `explicit`, `value` without
            `constant`, or a number out of range.
    """

    kind: str = "valid"
    mode: str = "zeros"
    value: float = 0.0
    sides: Sides | None = None

    def __post_init__(self) -> None:
        check_choice("padding", self.kind, KINDS)
        check_choice("padding mode", self.mode, MODES)
        check_number("padding value", self.value, -1e9, 1e9)
        if self.value != 0 and self.mode != "constant":
            raise InputError(
                f"padding value {self.value} is given with mode '{self.mode}'; "
                "only mode 'constant' uses it"
            )
        if (self.sides is not None) != (self.kind == "explicit"):
            raise InputError(
                f"padding '{self.kind}' has sides {printable(self.sides)}; 'explicit' needs one "
                "number or (left, right, top, bottom), the others take none"
            )
        if self.sides is not None:
            check_sides("padding sides", self.sides)

    def grid(self, kernel: Pair, stride: Pair = 1, dilation: Pair = 1) -> Grid:
        """The windows of `kernel` over an input padded like this."""
        padding: Padding = self.kind if self.sides is None else self.sides
        return grid(kernel, stride, padding, dilation)

    def build(self, kernel: Pair = 1, stride: Pair = 1, dilation: Pair = 1) -> "Padding2d":
        """The module that pads for a window of `kernel`, `stride` and `dilation`."""
        return Padding2d(self, kernel, stride, dilation)


class Padding2d(nn.Module):
    """Pads N × C × H × W for the window that follows.

    Args:
        pad: how much and with what.
        kernel, stride, dilation: the following window, each one number or (rows, columns).
    """

    def __init__(self, pad: Pad, kernel: Pair = 1, stride: Pair = 1, dilation: Pair = 1) -> None:
        super().__init__()
        self.pad = pad
        self.grid = pad.grid(kernel, stride, dilation)

    def sides(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) that an input of this size is given."""
        return padding_sides(height, width, self.grid)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × C × (top + H + bottom) × (left + W + right).

        Raises:
            InputError: reflect or circular padding larger than the input allows.
        """
        return pad_sides(x, self.sides(x.shape[2], x.shape[3]), self.pad)

    def extra_repr(self) -> str:
        return f"{self.pad.kind}, mode={self.pad.mode}"


@lru_cache(maxsize=1024)
def padding_sides(height: int, width: int, window: Grid) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that `window` asks for."""
    left, right, _ = shapes.split_padding(width, window.columns)
    top, bottom, _ = shapes.split_padding(height, window.rows)
    return left, right, top, bottom


_TORCH_MODES: dict[str, Literal["constant", "reflect", "replicate", "circular"]] = {
    "zeros": "constant",
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "replicate",
    "circular": "circular",
}


def pad_sides(x: Tensor, sides: tuple[int, int, int, int], pad: Pad) -> Tensor:
    """`x` with `sides` (left, right, top, bottom) filled as `pad` says."""
    if not any(sides):
        return x
    mode = _TORCH_MODES[pad.mode]
    if mode == "constant":
        return F.pad(x, sides, value=pad.value)
    check_border(x.shape[-2], x.shape[-1], sides, pad.mode)
    return F.pad(x, sides, mode=mode)


def check_border(height: int, width: int, sides: tuple[int, int, int, int], mode: str) -> None:
    """Raise InputError if `mode` cannot fill `sides` from an input of this size."""
    limit = {"reflect": -1, "circular": 0}.get(mode)
    if limit is None:
        return
    left, right, top, bottom = sides
    for name, size, amount in (
        ("width", width, max(left, right)),
        ("height", height, max(top, bottom)),
    ):
        if amount > size + limit:
            raise InputError(
                f"{mode} padding of {amount} on {name} {size}; allowed: at most {size + limit}; "
                "use a smaller window, a larger input, or mode 'replicate'"
            )


def is_plain(sides: tuple[int, int, int, int], pad: Pad) -> bool:
    """Whether torch's convolution can do this padding itself: zeros, both ends alike."""
    left, right, top, bottom = sides
    zeros = pad.mode == "zeros" or (pad.mode == "constant" and pad.value == 0)
    return zeros and left == right and top == bottom
