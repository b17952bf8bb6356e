"""The benches: pooling and padding on a small grid of numbers, by the project's own layers.

All in float64. Grids have at most 64 × 64 numbers, so nothing here takes long.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope import shapes
from convscope.errors import InputError
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool
from convscope.layers.pools import AveragePool, MaxPool, MinPool, PoolModule, Subsampling
from convscope.layers.spec import check_number, check_whole
from convscope.layers.windows import Grid, exact_sides, unfold_windows
from convscope.text import printable

MOST, LARGEST = 64, 1e9
"""Rows and columns of a grid, and the largest magnitude of a number in it."""
MOST_PADDED, MOST_SEEN = 2**16, 2**22
"""Numbers of a grid with its border, and of all windows together."""

_EXTRA = ("ceil", "dilation", "count_padding", "p", "mix", "blur")


def pool_bench(request: Mapping[str, Any]) -> dict[str, Any]:
    """One pooling of one grid, and everything that explains it.

    Args:
        request: `values`, `kind`, `size`, `stride`, `padding` and what else `Pool` takes; for
            `subsampling` also `coefficient` and `bias`.

    Returns:
        JSON: `output`; `winners`, for each output the (row, column) of the input that it is, or
        None; `gradient` of the sum of all outputs by the values; `padded`, the values with their
        border, NaN where it holds no number; `formula`, `discarded`, `code`, `shape`.

    Raises:
        InputError: values, kind or numbers that cannot be used.
    """
    values = read_grid(request.get("values"), "values")
    spec = _pool(request)
    layer = spec.build(1).double().eval()
    _set_subsampling(layer, request)
    grids = layer.grids(*values.shape) if isinstance(layer, PoolModule) else ()
    _check_size(values, grids)
    values.requires_grad_(True)
    output: Tensor = layer(values[None, None])[0, 0]
    (gradient,) = torch.autograd.grad(output.sum(), values)
    found: dict[str, Any] = {
        "output": output.tolist(),
        "shape": list(output.shape),
        "gradient": gradient.tolist(),
        "winners": _winners(layer, values.detach(), output.detach()),
        "code": _code(spec),
    }
    return found | _sizes(values, grids) | {"padded": _padded(layer, values.detach(), grids)}


def _pool(request: Mapping[str, Any]) -> Pool:
    settings = {"kind": request.get("kind", "max")}
    for theirs, ours in (("size", "kernel"), ("stride", "stride"), ("padding", "padding")):
        if request.get(theirs) is not None:
            settings[ours] = _tuple(request[theirs])
    settings |= {name: _tuple(request[name]) for name in _EXTRA if request.get(name) is not None}
    if settings["kind"] in ("global-average", "global-max", "none"):
        settings = {"kind": settings["kind"]}
    return Pool(**settings)


def _check_size(values: Tensor, grids: Sequence[Grid]) -> None:
    """Raise InputError where a small grid would become a large one."""
    height, width = values.shape
    for grid in grids:
        left, right, top, bottom = exact_sides(height, width, grid)
        padded = (height + max(0, top + bottom)) * (width + max(0, left + right))
        height, width = grid.output(height, width)
        if padded > MOST_PADDED or height * width * grid.area > MOST_SEEN:
            raise InputError("the windows are too large for the bench: give a smaller size")


def _set_subsampling(layer: nn.Module, request: Mapping[str, Any]) -> None:
    if not isinstance(layer, Subsampling):
        return
    for name, parameter in (("coefficient", layer.weight), ("bias", layer.bias)):
        if request.get(name) is not None:
            check_number(name, request[name], -LARGEST, LARGEST)
            nn.init.constant_(parameter, request[name])


def _winners(layer: nn.Module, values: Tensor, output: Tensor) -> list[list[list[int] | None]]:
    """For each output of max or min pooling where it came from: the first, row by row."""
    rows, columns = output.shape
    if not getattr(layer, "keeps_order", False) or not isinstance(layer, PoolModule):
        return [[None] * columns for _ in range(rows)]
    grid = layer.grids(*values.shape)[0]
    places = torch.arange(values.numel(), dtype=torch.float64).view(values.shape)
    fill = math.inf if isinstance(layer, MinPool) else -math.inf
    seen = unfold_windows(values[None, None], grid, fill)[0, 0]
    where = unfold_windows(places[None, None], grid, -1.0)[0, 0]
    best = seen.argmin(-1) if isinstance(layer, MinPool) else seen.argmax(-1)
    chosen = where.gather(-1, best[..., None])[..., 0].long().tolist()
    width = values.shape[1]
    return [[[place // width, place % width] for place in row] for row in chosen]


def _padded(layer: nn.Module, values: Tensor, grids: Sequence[Grid]) -> list[list[float]] | None:
    """The grid as the first windows see it; None without a border."""
    if not grids:
        return None
    height, width = values.shape
    left, right, top, bottom = (max(0, side) for side in exact_sides(height, width, grids[0]))
    if not (left or right or top or bottom):
        return None
    empty = isinstance(layer, MaxPool) or (
        isinstance(layer, AveragePool) and not layer.count_padding
    )
    padded: list[list[float]] = F.pad(
        values, (left, right, top, bottom), value=math.nan if empty else 0.0
    ).tolist()
    return padded


def pad_bench(request: Mapping[str, Any]) -> dict[str, Any]:
    """One padding of one grid, and the convolution with one kernel over it.

    Args:
        request: `values`, `border` (valid, same, full, explicit), `sides` (for explicit), `mode`,
            `kernel` (a grid; 3 × 3 with a single 1 if there is none), `stride`.

    Returns:
        JSON: `padded`, `is_border` (where it was added), `output`, `shape`, `formula`,
        `discarded`, `code`.

    Raises:
        InputError: values, kernel or numbers that cannot be used.
    """
    values = read_grid(request.get("values"), "values")
    kernel = read_grid(request.get("kernel") or _IDENTITY, "kernel")
    pad = _pad(request)
    window, stride = (kernel.shape[0], kernel.shape[1]), _tuple(request.get("stride") or 1)
    for number in stride if isinstance(stride, tuple) else (stride,):
        check_whole("stride", number, 1, MOST)
    grid = pad.grid(window, stride)
    rows, columns = grid.output(*values.shape)
    padding = pad.build(window, stride)
    padded = padding(values[None, None])
    left, _, top, _ = padding.sides(*values.shape)
    border = torch.ones(padded.shape[2:], dtype=torch.bool)
    border[top : top + values.shape[0], left : left + values.shape[1]] = False
    steps = (grid.rows.stride, grid.columns.stride)
    output = F.conv2d(padded, kernel[None, None], stride=steps)[0, 0]
    assert output.shape == (rows, columns)
    return {
        "padded": padded[0, 0].tolist(),
        "is_border": border.tolist(),
        "output": output.tolist(),
        "shape": list(output.shape),
        "code": f"Convolution(1, 1, {window}, stride={stride}, pad={_code(pad)})",
    } | _sizes(values, (grid,))


_IDENTITY = [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def _pad(request: Mapping[str, Any]) -> Pad:
    border = request.get("border", "valid")
    sides = _tuple(request.get("sides", 0)) if border == "explicit" else None
    for number in sides if isinstance(sides, tuple) else (sides or 0,):
        check_whole("padding sides", number, 0, MOST)
    return Pad(border, mode=request.get("mode") or "zeros", sides=sides)


def _sizes(values: Tensor, grids: Sequence[Grid]) -> dict[str, Any]:
    """The formula of the size, and how many rows and columns at the end no window reaches."""
    if not grids:
        return {"formula": "", "discarded": {"rows": 0, "columns": 0, "formula": ""}}
    height, width = values.shape
    formulas = []
    for grid in grids:
        both = shapes.output_size(height, grid.rows), shapes.output_size(width, grid.columns)
        formulas.append(_both(both[0].formula, both[1].formula))
        height, width = both[0].size, both[1].size
    lost = [
        shapes.discarded(size, window) for size, window in zip(values.shape, grids[0], strict=True)
    ]
    discarded = {
        "rows": lost[0].elements,
        "columns": lost[1].elements,
        "formula": _both(lost[0].formula, lost[1].formula),
    }
    return {"formula": "; ".join(formulas), "discarded": discarded}


def _both(rows: str, columns: str) -> str:
    return rows if rows == columns else f"rows {rows}, columns {columns}"


def _code(spec: Pool | Pad) -> str:
    """The line of Python that makes the spec: what differs from its defaults."""
    first, *others = fields(spec)
    words = [repr(getattr(spec, first.name))]
    for field in others:
        value = getattr(spec, field.name)
        if value != field.default:
            words.append(f"{field.name}={value!r}")
    return f"{type(spec).__name__}({', '.join(words)})"


def read_grid(value: object, what: str) -> Tensor:
    """A rectangle of finite numbers as a float64 tensor, at most 64 × 64.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        raise InputError(
            f"{what} is {printable(repr(value), 60)}; allowed: rows of numbers, such as [[1, 2]]"
        )
    if len(value) > MOST or any(not isinstance(row, list) or len(row) > MOST for row in value):
        raise InputError(f"{what} has more than {MOST} rows or columns; give a smaller grid")
    if any(len(row) != len(value[0]) for row in value):
        raise InputError(f"{what} has rows of different lengths; give each row as many numbers")
    for row in value:
        for number in row:
            check_number(f"a number of {what}", number, -LARGEST, LARGEST)
    return torch.tensor(value, dtype=torch.float64)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
