"""Units that are sums of products: convolutions and linear layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from convscope.explain.receptive import layer_grids
from convscope.explain.tracing import Step
from convscope.explain.unit import (
    MapTerms,
    Provenance,
    Unit,
    linear_terms,
    plus,
    seen,
    short,
    view_of,
)
from convscope.layers.convolution import Convolution
from convscope.layers.padding import Pad

MOST, SHOWN = 4096, 200
"""Of a linear unit with more inputs than `MOST`, the `SHOWN` largest products are shown."""


def convolution_unit(step: Step, unit: Unit) -> Provenance:
    """Every input, weight and product of one unit of a convolution, by input map."""
    module: Any = step.module
    (window,) = layer_grids(step)
    o, row, column = unit
    connected = connected_maps(module, o)
    dense = module.dense_weight() if isinstance(module, Convolution) else module.weight
    kernels = dense[o].detach().double().cpu().numpy()
    if isinstance(module, Convolution) and module.table is not None:
        kernels = kernels[connected]
    pad = module.pad if isinstance(module, Convolution) else Pad(mode=module.padding_mode)
    inputs, padded = seen(step.input[connected], window, row, column, pad)
    maps = tuple(
        linear_terms(index, values, padded, kernel)
        for index, values, kernel in zip(connected, inputs, kernels, strict=True)
    )
    bias = bias_of(module, o)
    products = sum(one.sum for one in maps)
    count = f"{len(maps)}·{window.rows.kernel}·{window.columns.kernel} products"
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=_formula(count, products, bias),
        sum=products + (bias or 0.0),
        maps=maps,
        bias=bias,
        window=view_of(step.input.shape[1:], window, row, column),
    )


def connected_maps(module: Convolution | nn.Conv2d, o: int) -> list[int]:
    """The input maps that output map `o` sees."""
    if isinstance(module, Convolution) and module.table is not None:
        return list(module.table[o])
    maps, per_group = module.weight.shape[:2]
    first = o // (maps // module.groups) * per_group
    return list(range(first, first + per_group))


def linear_unit(step: Step, unit: Unit, maps: Sequence[int] | None) -> Provenance:
    """The inputs, weights and products of one linear unit.

    Args:
        step: the layer.
        unit: (index,).
        maps: (count, height, width) of the maps that its inputs are, flattened; else None.
    """
    module: Any = step.module
    inputs = step.input.flatten().double().numpy()
    weights = module.weight[unit[0]].detach().double().cpu().numpy()
    products = inputs * weights
    total = float(products.sum())
    bias = bias_of(module, unit[0])
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=_formula(f"{len(inputs)} products", total, bias),
        sum=total + (bias or 0.0),
        maps=_largest(inputs, weights) if len(inputs) > MOST else _by_map(inputs, weights, maps),
        bias=bias,
    )


def _by_map(inputs: Any, weights: Any, maps: Sequence[int] | None) -> tuple[MapTerms, ...]:
    """All inputs, one entry for each map that they come from, or one row."""
    shape = (-1, *maps[1:]) if maps is not None else (1, 1, len(inputs))
    padded = np.zeros(inputs.reshape(shape).shape[1:], dtype=bool)
    pairs = zip(inputs.reshape(shape), weights.reshape(shape), strict=True)
    return tuple(
        linear_terms(index if maps is not None else -1, x, padded, w)
        for index, (x, w) in enumerate(pairs)
    )


def _largest(inputs: Any, weights: Any) -> tuple[MapTerms, ...]:
    """One row of the inputs with the largest products, the largest first."""
    products = inputs * weights
    order = np.argsort(-np.abs(products), kind="stable")[:SHOWN]
    padded = np.zeros((1, len(order)), dtype=bool)
    rows = (values[order][None] for values in (inputs, weights, products))
    x, w, shown = rows
    indices = tuple(order.tolist())
    return (MapTerms(-1, x, padded, w, shown, float(products.sum()), indices, len(inputs)),)


def bias_of(module: Any, index: int) -> float | None:
    """The bias of one map or unit."""
    return None if module.bias is None else float(module.bias[index])


def _formula(count: str, products: float, bias: float | None) -> str:
    if bias is None:
        return f"Σ of {count} = {short(products)}"
    return f"{short(products)} (Σ of {count}){plus(bias)} (bias) = {short(products + bias)}"
