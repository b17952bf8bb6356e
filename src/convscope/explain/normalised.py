"""Units of layers with terms of their own: normalisations, activations, RBF outputs."""

import math
from typing import Any

import numpy as np
from torch import nn

from convscope.explain.receptive import layer_grids
from convscope.explain.tracing import Step
from convscope.explain.unit import (
    MapTerms,
    Provenance,
    Unit,
    Values,
    View,
    applied,
    plus,
    seen,
    short,
    view_of,
)
from convscope.layers.activation import Activate
from convscope.layers.normalization import WithinMapNorm


def activation_unit(step: Step, unit: Unit) -> Provenance:
    """A function of one input."""
    module = step.module
    x = float(step.input[unit])
    name = module.activation.kind if isinstance(module, Activate) else type(module).__name__
    result = applied(module, x)
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=f"{_written(name, x)} = {short(result)}",
        sum=result,
        terms=(("input", x),),
    )


def _written(name: str, x: float) -> str:
    if name == "scaled-tanh":
        return f"1.7159·tanh(2/3·{short(x)})"
    if name.lower() == "relu":
        return f"max(0, {short(x)})"
    return f"{name}({short(x)})"


def batch_norm_unit(step: Step, unit: Unit) -> Provenance:
    """(x − mean)/√(variance + ε) × scale + shift, by the running statistics (Ioffe & Szegedy)."""
    module: Any = step.module
    o = unit[0]
    x = float(step.input[unit])
    mean, variance, eps = float(module.running_mean[o]), float(module.running_var[o]), module.eps
    scale = 1.0 if module.weight is None else float(module.weight[o])
    shift = 0.0 if module.bias is None else float(module.bias[o])
    result = (x - mean) / math.sqrt(variance + eps) * scale + shift
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=f"({short(x)}{plus(-mean)})/√({short(variance)} + {short(eps)}) × {short(scale)}"
        f"{plus(shift)} = {short(result)}",
        sum=result,
        bias=shift,
        terms=(
            ("input", x),
            ("mean", mean),
            ("variance", variance),
            ("epsilon", eps),
            ("scale", scale),
            ("shift", shift),
        ),
    )


def response_unit(step: Step, unit: Unit) -> Provenance:
    """a/(k + α·Σ a²)^β, the sum over neighbouring maps, or over a square of the same map."""
    module: Any = step.module
    a = float(step.input[unit])
    maps: tuple[MapTerms, ...] = ()
    named: tuple[tuple[str, float], ...] = ()
    view: View | None = None
    squares: Values
    if isinstance(module, WithinMapNorm):
        (window,) = layer_grids(step)
        _, row, column = unit
        inputs, padded = seen(step.input[unit[0] : unit[0] + 1], window, row, column)
        squares = np.where(padded, 0.0, inputs[0] ** 2)
        maps = (MapTerms(unit[0], inputs[0], padded, None, squares, float(squares.sum())),)
        view, summed = view_of(step.input.shape[1:], window, row, column), window.area
    else:
        near = _neighbours(module, unit[0], len(step.input))
        squares = step.input[near, unit[1], unit[2]].double().numpy() ** 2
        summed = module.size
        named = tuple((f"a² of map {i}", s) for i, s in zip(near, squares.tolist(), strict=True))
    alpha = module.alpha / summed if getattr(module, "divide", True) else module.alpha
    total = float(squares.sum())
    base = module.k + alpha * total
    result = a * base**-module.beta
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=f"{short(a)}/({short(module.k)} + {short(alpha)}·{short(total)})^"
        f"{short(module.beta)} = {short(result)}",
        sum=result,
        maps=maps,
        window=view,
        terms=(
            ("input", a),
            *named,
            ("sum of squares", total),
            ("k", float(module.k)),
            ("alpha", float(alpha)),
            ("beta", float(module.beta)),
            ("denominator", base**module.beta),
        ),
    )


def _neighbours(module: Any, index: int, maps: int) -> list[int]:
    """The maps that are summed for map `index`: those of its own group."""
    size = maps // getattr(module, "groups", 1)
    first = index // size * size
    low, high = index - module.size // 2, index + (module.size - 1) // 2
    return list(range(max(low, first), min(high, first + size - 1) + 1))


def rbf_unit(step: Step, unit: Unit) -> Provenance:
    """−Σ (x − code)², the negated penalty (LeCun 1998, §II-B)."""
    module: Any = step.module
    x = step.input.double().numpy()
    code = module.codes[unit[0]].double().cpu().numpy()
    products = -((x - code) ** 2)
    penalty = -float(products.sum())
    padded = np.zeros((1, len(x)), dtype=bool)
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=f"−Σ of {len(x)} (x − code)² = {short(-penalty)}",
        sum=-penalty,
        maps=(MapTerms(-1, x[None], padded, code[None], products[None], -penalty),),
        terms=(("penalty", penalty),),
    )


def moved_unit(step: Step, unit: Unit) -> Provenance:
    """A layer that only moves values (flatten), or whose sum is not known here."""
    value = float(step.output[unit])
    if isinstance(step.module, nn.Flatten):
        source = np.unravel_index(unit[0], tuple(step.input.shape))
        formula = f"input {', '.join(str(int(i)) for i in source)} = {short(value)}"
    else:
        formula = f"{type(step.module).__name__} = {short(value)}"
    return Provenance(step.name, step.kind, unit, value, formula, value)
