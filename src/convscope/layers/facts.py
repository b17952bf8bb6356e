"""What each kind of layer costs: connections and multiply-adds, with their formulas."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.normalization import LocalResponseNorm, WithinMapNorm
from convscope.layers.padding import Padding2d
from convscope.layers.pool_variants import BlurPool
from convscope.layers.pools import PoolModule, Subsampling
from convscope.layers.rbf import RBF
from convscope.layers.windows import Grid, grid

Shape = tuple[int, ...]

SILENT = (nn.Identity, nn.Flatten)
"""Modules without a row: they compute nothing."""
ELEMENTWISE = (
    Activate,
    nn.Tanh,
    nn.Sigmoid,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Softmax,
    nn.LogSoftmax,
)
"""Modules that stand in the row of the layer before them."""


@dataclass(frozen=True)
class Facts:
    """What a layer does to shapes and what it costs for one image.

    Attributes:
        kind: in words.
        grids: its windows in order, empty if it has none, None for a kind not known here.
        sees_everything: every unit sees the whole input.
        connections, multiply_adds: None for a kind not known here.
        formulas: for `parameters`, `connections` and `multiply_adds`.
    """

    kind: str
    grids: tuple[Grid, ...] | None = None
    sees_everything: bool = False
    connections: int | None = None
    multiply_adds: int | None = None
    formulas: dict[str, str] = field(default_factory=dict)


def is_known(module: nn.Module) -> bool:
    """Whether the cost of this kind of module is known here."""
    return isinstance(module, (*_KNOWN, *SILENT, *ELEMENTWISE))


def facts_of(module: nn.Module, before: Shape, after: Shape) -> Facts:
    """The facts of a layer that turns `before` into `after`, shapes without the batch."""
    for kind, function in _KNOWN.items():
        if isinstance(module, kind):
            return function(module, before, after)
    return Facts(type(module).__name__)


def _convolution(module: Convolution | nn.Conv2d, _before: Shape, after: Shape) -> Facts:
    maps, height, width = after
    kernel, weights = module.weight.shape[-2:], module.weight.numel()
    biases = 0 if module.bias is None else maps
    total = weights + biases
    bias = "" if module.bias is None else " + 1"
    if isinstance(module, Convolution) and module.table is not None:
        links = len(module.weight)
        parameters = f"{links}·{kernel[0]}·{kernel[1]} + {biases} = {total}"
    else:
        fan_in = f"{module.weight.shape[1]}·{kernel[0]}·{kernel[1]}"
        parameters = f"{maps}·({fan_in}{bias}) = {total}"
    groups = module.groups
    return Facts(
        "convolution" if groups == 1 else f"convolution in {groups} groups",
        (module.grid if isinstance(module, Convolution) else _conv2d_grid(module),),
        connections=height * width * total,
        multiply_adds=height * width * weights,
        formulas={
            "parameters": parameters,
            "connections": f"{height}·{width}·{total} = {height * width * total}",
            "multiply_adds": f"{height}·{width}·{weights} = {height * width * weights}",
        },
    )


def _conv2d_grid(module: nn.Conv2d) -> Grid:
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    padding: Any = module.padding
    if not isinstance(padding, str):
        padding = (padding[1], padding[1], padding[0], padding[0])
    return grid(_two(kernel), _two(stride), padding, _two(dilation))


def _two(value: Any) -> tuple[int, int]:
    return (value[0], value[1]) if isinstance(value, tuple) else (value, value)


def _linear(module: nn.Linear, _before: Shape, _after: Shape) -> Facts:
    inputs, units = module.in_features, module.out_features
    bias = "" if module.bias is None else " + 1"
    total = units * (inputs + (module.bias is not None))
    formula = f"{units}·({inputs}{bias}) = {total}"
    return Facts(
        "linear",
        (),
        sees_everything=True,
        connections=total,
        multiply_adds=units * inputs,
        formulas={
            "parameters": formula,
            "connections": formula,
            "multiply_adds": f"{units}·{inputs} = {units * inputs}",
        },
    )


def _rbf(module: RBF, _before: Shape, _after: Shape) -> Facts:
    classes, features = module.codes.shape
    formula = f"{classes}·{features} = {classes * features}"
    return Facts(
        "RBF",
        (),
        sees_everything=True,
        connections=classes * features,
        multiply_adds=classes * features,
        formulas={
            "parameters": "0, the codes are fixed",
            "connections": formula,
            "multiply_adds": formula,
        },
    )


def _subsampling(module: Subsampling, _before: Shape, after: Shape) -> Facts:
    maps, height, width = after
    units, area = math.prod(after), module.window.area
    shown = f"{maps}·{height}·{width}"
    return Facts(
        "subsampling",
        (module.window,),
        connections=units * (area + 1),
        multiply_adds=units,
        formulas={
            "parameters": f"{maps}·2 = {maps * 2}",
            "connections": f"{shown}·({area} + 1) = {units * (area + 1)}",
            "multiply_adds": f"{shown} = {units}, each sum is multiplied once",
        },
    )


def _blur(module: BlurPool, before: Shape, after: Shape) -> Facts:
    maps, height, width = after
    grids = module.grids(before[1], before[2])
    rows, columns = grids[0].output(before[1], before[2])
    area, taps = grids[0].area, grids[1].area
    blurred = maps * height * width * taps
    total = maps * rows * columns * area + blurred
    return Facts(
        "blur pooling",
        grids,
        connections=total,
        multiply_adds=blurred,
        formulas={
            "connections": (
                f"{maps}·{rows}·{columns}·{area} + {maps}·{height}·{width}·{taps} = {total}"
            ),
            "multiply_adds": f"{maps}·{height}·{width}·{taps} = {blurred}",
        },
    )


def _pool(module: PoolModule, before: Shape, after: Shape) -> Facts:
    words = type(module).__name__.removesuffix("Pool").replace("Global", "global ")
    return _unweighted(f"{words.lower()} pooling", module.grids(before[1], before[2])[0], after)


def _torch_pool(module: nn.MaxPool2d | nn.AvgPool2d, _before: Shape, after: Shape) -> Facts:
    kind = "max pooling" if isinstance(module, nn.MaxPool2d) else "average pooling"
    dilation = module.dilation if isinstance(module, nn.MaxPool2d) else 1
    rows, columns = _two(module.padding)
    window = grid(
        _two(module.kernel_size),
        _two(module.stride),
        (columns, columns, rows, rows),
        _two(dilation),
        module.ceil_mode,
    )
    return _unweighted(kind, window, after)


def _adaptive(_module: nn.AdaptiveAvgPool2d, before: Shape, after: Shape) -> Facts:
    """Windows are alike where the output divides the input; else the field is unknown."""
    maps, height, width = after
    rows = _shares(before[1], height)
    columns = _shares(before[2], width)
    alike = before[1] % height == 0 and before[2] % width == 0
    total = maps * sum(rows) * sum(columns)
    return Facts(
        "adaptive average pooling",
        (grid((rows[0], columns[0])),) if alike else None,
        connections=total,
        multiply_adds=0,
        formulas={"connections": f"{maps}·{sum(rows)}·{sum(columns)} = {total}"},
    )


def _shares(size: int, out: int) -> list[int]:
    """How many of `size` elements each of `out` adaptive windows sees, as torch divides them."""
    return [-(-(i + 1) * size // out) - i * size // out for i in range(out)]


def _unweighted(kind: str, window: Grid, after: Shape) -> Facts:
    maps, height, width = after
    total = math.prod(after) * window.area
    return Facts(
        kind,
        (window,),
        connections=total,
        multiply_adds=0,
        formulas={"connections": f"{maps}·{height}·{width}·{window.area} = {total}"},
    )


def _local_response(
    module: LocalResponseNorm | nn.LocalResponseNorm, _before: Shape, after: Shape
) -> Facts:
    units = math.prod(after)
    return Facts(
        "local response normalisation",
        (),
        connections=0,
        multiply_adds=units * module.size,
        formulas={"multiply_adds": f"{units}·{module.size} = {units * module.size}"},
    )


def _within_map(module: WithinMapNorm, _before: Shape, after: Shape) -> Facts:
    units, area = math.prod(after), module.window.area
    return Facts(
        "normalisation within maps",
        (module.window,),
        connections=0,
        multiply_adds=units * area,
        formulas={"multiply_adds": f"{units}·{area} = {units * area}"},
    )


def _batch_norm(module: nn.BatchNorm2d | nn.BatchNorm1d, _before: Shape, after: Shape) -> Facts:
    units, maps = math.prod(after), module.num_features
    formulas = {
        "multiply_adds": f"{'·'.join(map(str, after))} = {units}, a scale and a shift for each"
    }
    if module.affine:
        formulas["parameters"] = f"{maps}·2 = {2 * maps}"
    return Facts("batch normalisation", (), connections=0, multiply_adds=units, formulas=formulas)


def _padding(module: Padding2d, before: Shape, _after: Shape) -> Facts:
    left, right, top, bottom = module.sides(before[1], before[2])
    return Facts(
        "padding",
        (grid(1, 1, (left, right, top, bottom)),),
        connections=0,
        multiply_adds=0,
    )


def _dropout(_module: nn.Module, _before: Shape, _after: Shape) -> Facts:
    return Facts("dropout", (), connections=0, multiply_adds=0)


_KNOWN: dict[type[nn.Module], Callable[[Any, Shape, Shape], Facts]] = {
    # The first type that matches counts, so special kinds come before general ones.
    Convolution: _convolution,
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    RBF: _rbf,
    Subsampling: _subsampling,
    BlurPool: _blur,
    PoolModule: _pool,
    nn.MaxPool2d: _torch_pool,
    nn.AvgPool2d: _torch_pool,
    nn.AdaptiveAvgPool2d: _adaptive,
    LocalResponseNorm: _local_response,
    nn.LocalResponseNorm: _local_response,
    WithinMapNorm: _within_map,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    Padding2d: _padding,
    nn.Dropout: _dropout,
    nn.Dropout2d: _dropout,
}
