"""What the explanation of one unit is made of: plain values, ready for JSON."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.explain.receptive import Field
from convscope.layers.padding import Pad, pad_sides, padding_sides
from convscope.layers.windows import Grid
from convscope.shapes import split_padding

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Unit = tuple[int, ...]
"""(map, row, column), or (index,) in a layer without maps."""


@dataclass(frozen=True)
class View:
    """Where a unit's window lies on its layer's own input; it may stick out.

    Attributes:
        top, left: its first row and column; negative inside the padding.
        rows, columns: how many it spans, the gaps of a dilated window counted.
        dilation: (rows, columns) from one element of the window to the next.
    """

    top: int
    left: int
    rows: int
    columns: int
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class MapTerms:
    """What one input map gives to a unit. All arrays have the shape of the window.

    Attributes:
        map: index of the input map; −1 where inputs come from no map.
        inputs: the values; NaN is padding without a value, as in max pooling.
        padded: which of them are padding.
        weights: None where the layer has none.
        products: what each input gives to the sum.
        sum: of all products, those not shown counted.
        indices: for linear layers of which only the largest products are shown: their inputs.
        of: how many products there are, where not all are shown.
    """

    map: int
    inputs: Values
    padded: Mask
    weights: Values | None
    products: Values
    sum: float
    indices: tuple[int, ...] | None = None
    of: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Lists and numbers; what is no finite number becomes None."""
        data: dict[str, Any] = {
            "map": self.map,
            "inputs": _lists(self.inputs),
            "padded": self.padded.tolist(),
            "weights": None if self.weights is None else _lists(self.weights),
            "products": _lists(self.products),
            "sum": number(self.sum),
        }
        if self.indices is not None:
            data |= {"indices": list(self.indices), "shown": len(self.indices), "of": self.of}
        return data


@dataclass(frozen=True)
class Provenance:
    """Where the value of one unit comes from, in its own layer.

    Attributes:
        layer, kind: the layer's name, and its kind as in `tracing.Step`.
        unit: (map, row, column) or (index,).
        value: what torch computed.
        formula: the sum in short, with its numbers.
        field: the pixels of the network's input that it depends on; None where unknown.
        window: the part of the layer's own input that it sees; None for layers without windows.
        maps: the terms of each input map it sees.
        bias: what is added to the products; None for layers without.
        sum: the value computed anew from these terms, in float64.
        winner: (row, column) within the window, for max and min pooling.
        terms: a layer's own quantities, in order: (name, value).
    """

    layer: str
    kind: str
    unit: Unit
    value: float
    formula: str
    sum: float
    maps: tuple[MapTerms, ...] = ()
    bias: float | None = None
    window: View | None = None
    winner: tuple[int, int] | None = None
    terms: tuple[tuple[str, float], ...] = ()
    field: Field | None = None

    def with_field(self, field: Field | None) -> "Provenance":
        """The same with its receptive field."""
        return replace(self, field=field)

    def to_json(self) -> dict[str, Any]:
        """Dictionaries, lists, texts and numbers; what is no finite number becomes None."""
        field, window = self.field, self.window
        rectangle = ("top", "left", "height", "width")
        spans = ("top", "left", "rows", "columns")
        return {
            "layer": self.layer,
            "kind": self.kind,
            "unit": list(self.unit),
            "value": number(self.value),
            "formula": self.formula,
            "field": None if field is None else {key: getattr(field, key) for key in rectangle},
            "window": None
            if window is None
            else {key: getattr(window, key) for key in spans} | {"dilation": list(window.dilation)},
            "maps": [one.to_json() for one in self.maps],
            "bias": None if self.bias is None else number(self.bias),
            "sum": number(self.sum),
            "winner": None if self.winner is None else list(self.winner),
            "terms": [{"name": name, "value": number(value)} for name, value in self.terms],
        }


def view_of(size: Sequence[int], window: Grid, row: int, column: int) -> View:
    """Where the window at `row` and `column` lies on maps of `size` (height, width)."""
    height, width = size
    rows, columns = window
    return View(
        row * rows.stride - split_padding(height, rows).before,
        column * columns.stride - split_padding(width, columns).before,
        rows.effective_kernel,
        columns.effective_kernel,
        (rows.dilation, columns.dilation),
    )


def seen(
    x: Tensor, window: Grid, row: int, column: int, pad: Pad | None = None
) -> tuple[Values, Mask]:
    """The elements of each map of `x` in one window, and which of them are padding.

    Args:
        x: maps × height × width.
        window: the windows.
        row, column: the window's place among them.
        pad: what fills the border; None leaves it empty (NaN), as what lies beyond it is.

    Returns:
        float64, maps × kernel rows × kernel columns, and the same for all maps without them.
    """
    height, width = x.shape[1:]
    view = view_of((height, width), window, row, column)
    steps = zip(window, view.dilation, (view.top, view.left), (height, width), strict=True)
    rows, columns = (_outside(first, axis.kernel, step, n) for axis, step, first, n in steps)
    x = x.double()
    if pad is not None:
        left, right, top, bottom = padding_sides(height, width, window)
        x = pad_sides(x[None], (left, right, top, bottom), pad)[0]
        view = replace(view, top=view.top + top, left=view.left + left)
    x = F.pad(x, _beyond(view, x.shape[1], x.shape[2]), value=math.nan)
    top, left = max(view.top, 0), max(view.left, 0)
    down, across = view.dilation
    part = x[:, top : top + view.rows : down, left : left + view.columns : across]
    return part.numpy().copy(), rows[:, None] | columns[None, :]


def _beyond(view: View, height: int, width: int) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) by which a window sticks out of maps of this size."""
    right, bottom = view.left + view.columns - width, view.top + view.rows - height
    return max(-view.left, 0), max(right, 0), max(-view.top, 0), max(bottom, 0)


def _outside(first: int, count: int, step: int, size: int) -> Mask:
    places = first + step * np.arange(count)
    outside: Mask = (places < 0) | (places >= size)
    return outside


def linear_terms(index: int, inputs: Values, padded: Mask, weights: Values) -> MapTerms:
    """One map's inputs times its weights; padding without a value gives nothing."""
    products = np.where(np.isnan(inputs) & padded, 0.0, inputs * weights)
    return MapTerms(index, inputs, padded, weights, products, float(products.sum()))


def short(value: float) -> str:
    """A number for a formula: four digits that count.

    >>> short(0.123456), short(-3.0), short(1e-7)
    ('0.1235', '−3', '1e−07')
    """
    return f"{value:.4g}".replace("-", "−")


def plus(value: float) -> str:
    """A number as the next term of a sum: ` + 2` or ` − 2`."""
    return f" − {short(-value)}" if value < 0 else f" + {short(value)}"


def number(value: float) -> float | None:
    """`value`, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None


def _lists(values: Values) -> list[list[float | None]]:
    return [[number(value) for value in row] for row in values.tolist()]


def applied(function: Callable[[Tensor], Tensor], value: float) -> float:
    """A function of tensors, of one number, in float64."""
    return float(function(torch.tensor([value], dtype=torch.float64)))
