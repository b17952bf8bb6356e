"""Which pixels a unit sees.

A window that sees units `first` to `last` of its output sees `first·stride − padding` to
`last·stride − padding + kernel − 1` of its input; from the unit back to the image this gives its
receptive field. Zeros and constants around a map are no pixels: there the field sticks out of the
image. Mirrored, repeated or circular padding are: the field then reaches to where they came from.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from convscope import shapes
from convscope.errors import InputError
from convscope.explain.tracing import Step, find, trace
from convscope.layers.convolution import Convolution
from convscope.layers.facts import facts_of
from convscope.layers.padding import Padding2d
from convscope.layers.pool_variants import BlurPool
from convscope.layers.windows import Grid
from convscope.shapes import Window
from convscope.text import printable

Span = tuple[int, int]
"""First and last element along an axis, both included."""

_ONE_BY_ONE = ("activation", "norm")
"""Kinds whose units see, of a map, only their own place."""


@dataclass(frozen=True)
class Field:
    """The receptive field of one unit, in pixels of the network's input.

    Attributes:
        top, left: its first row and column; negative where it sticks out of the image.
        height, width: how many rows and columns it spans, those outside the image counted.
        size: (rows, columns) that the windows span by themselves: `height` and `width`, but for
            padding that is made of pixels (circular above all), which lets a unit see further.
        jump: (rows, columns) from the field of a unit to that of its neighbour; (0, 0) where
            every unit sees everything.
    """

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    jump: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """The same as a dictionary of numbers and lists."""
        return asdict(self) | {"size": list(self.size), "jump": list(self.jump)}


def receptive_field(model: nn.Module, layer: str, row: int, column: int) -> Field:
    """The pixels that the unit of `layer` at `row` and `column` of any map depends on.

    For layers without maps row and column are not used: every unit sees everything. The model
    runs once on zeros; `field_of` takes a trace instead.

    Raises:
        InputError: an unknown layer, a place outside its maps, a model that does not say what
            it takes, or a network that branches.

    >>> from convscope.models import build
    >>> receptive_field(build("lenet5"), "c3", 0, 1)
    Field(top=0, left=2, height=14, width=14, size=(14, 14), jump=(2, 2))
    """
    shape = getattr(model, "input_shape", None)
    if shape is None:
        raise InputError(
            f"{printable(type(model).__name__)} does not say what it takes; trace an image and "
            "use field_of"
        )
    return field_of(trace(model, torch.zeros(shape)), layer, row, column)


def field_of(steps: Sequence[Step], layer: str, row: int, column: int) -> Field:
    """As `receptive_field`, of a network that has been traced."""
    last = find(steps, layer)
    place = (row, column)
    output = steps[last].output
    if output.ndim == 3:
        for name, index, size in zip(("row", "column"), place, output.shape[1:], strict=True):
            if not 0 <= index < size:
                raise InputError(f"{name} {index} of {printable(layer)}; allowed: 0 to {size - 1}")
    check_chain(steps[: last + 1])
    axes = [_axis_field(steps[: last + 1], axis, place[axis]) for axis in (0, 1)]
    (top, height, rows, down), (left, width, columns, right) = axes
    return Field(top, left, height, width, (rows, columns), (down, right))


def _axis_field(steps: Sequence[Step], axis: int, place: int) -> tuple[int, int, int, int]:
    """(first, length, length by windows alone, jump) along rows (0) or columns (1)."""
    jump = 1
    reached: Span | None = (place, place)  # None: everything
    plain: Span | None = (place, place)
    for step in reversed(steps):
        if step.input.ndim != 3 or step.output.ndim != 3:
            reached, plain, jump = None, None, 0
            continue
        if reached is None or plain is None:
            reached = plain = (0, step.output.shape[axis + 1] - 1)
        size = step.input.shape[axis + 1]
        for window, length, mode in reversed(_windows(step, axis)):
            if window is None:  # adaptive: the shares differ from unit to unit
                reached, plain = (_shares(span, size, length) for span in (reached, plain))
                jump *= size // length if size % length == 0 else 0
                continue
            reached = _filled(_back(reached, window, length), length, mode)
            plain = _back(plain, window, length)
            jump *= window.stride
    if reached is None or plain is None:  # there are no maps anywhere
        raise InputError("the network works on no maps, so its units have no receptive field")
    return reached[0], reached[1] - reached[0] + 1, plain[1] - plain[0] + 1, jump


def _windows(step: Step, axis: int) -> list[tuple[Window | None, int, str]]:
    """The windows of a layer along an axis, in order: each with its input's length and padding."""
    if step.kind in _ONE_BY_ONE:
        return []
    if step.kind == "other" and not isinstance(step.module, Padding2d):
        raise InputError(
            f"the receptive field behind layer '{printable(step.name)}' "
            f"({printable(type(step.module).__name__)}) is not known"
        )
    if step.kind == "average":
        return [(None, step.output.shape[axis + 1], "zeros")]
    grids = layer_grids(step)
    size = step.input.shape[axis + 1]
    found: list[tuple[Window | None, int, str]] = []
    for index, grid in enumerate(grids):
        found.append((grid[axis], size, _mode(step.module, index)))
        size = shapes.output_size(size, grid[axis]).size
    return found


def layer_grids(step: Step) -> tuple[Grid, ...]:
    """The windows that a layer applied, in order; none for layers without windows."""
    grids = facts_of(step.module, tuple(step.input.shape), tuple(step.output.shape)).grids
    return grids or ()


def _mode(module: nn.Module, index: int) -> str:
    """What fills the padding of a layer's window number `index`."""
    if isinstance(module, Convolution | Padding2d):
        return module.pad.mode
    if isinstance(module, nn.Conv2d):
        return module.padding_mode
    return "reflect" if isinstance(module, BlurPool) and index == 1 else "zeros"


def _back(span: Span, window: Window, size: int) -> Span:
    """What `window` sees of its input's `size` elements for the outputs of `span`."""
    before = shapes.split_padding(size, window).before
    first, last = (place * window.stride - before for place in span)
    return first, last + window.effective_kernel - 1


def _shares(span: Span, size: int, out: int) -> Span:
    """The same for `out` adaptive windows, as torch divides `size` elements."""
    return span[0] * size // out, -(-(span[1] + 1) * size // out) - 1


def _filled(span: Span, size: int, mode: str) -> Span:
    """`span`, widened to the elements from which the padding that it sees was made."""
    first, last = span
    inside = {max(0, min(first, size - 1)), max(0, min(last, size - 1))}
    if mode == "circular" and (first < 0 or last >= size):
        inside = {0, size - 1}
    if mode == "reflect":
        inside |= {min(-first, size - 1)} if first < 0 else set()
        inside |= {max(2 * (size - 1) - last, 0)} if last >= size else set()
    if mode in ("zeros", "constant"):
        inside = set()
    return min(first, *inside, last), max(last, *inside, first)


def check_chain(steps: Sequence[Step]) -> None:
    """Raise InputError where a layer's input is not what the layer before gave."""
    for one, other in pairwise(steps):
        if one.output.data_ptr() == other.input.data_ptr():
            continue
        given, taken = one.output.flatten().nan_to_num(), other.input.flatten().nan_to_num()
        if not torch.equal(given, taken):
            raise InputError(
                f"layer '{printable(other.name)}' does not follow '{printable(one.name)}' alone: "
                "receptive fields are known for networks that are one chain"
            )
