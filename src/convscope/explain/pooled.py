"""Units of pooling layers: the winner, the shares of a mean, the terms of a norm."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from convscope.explain.receptive import layer_grids
from convscope.explain.tracing import Step
from convscope.explain.unit import (
    MapTerms,
    Mask,
    Provenance,
    Unit,
    Values,
    View,
    linear_terms,
    plus,
    seen,
    short,
    view_of,
)
from convscope.layers.padding import Pad
from convscope.layers.pool_variants import BlurPool, MixedPool, StochasticPool
from convscope.layers.pools import (
    AveragePool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    MinPool,
)
from convscope.layers.windows import Grid
from convscope.shapes import output_size, split_padding

Result = dict[str, Any]
"""The fields of `Provenance` in which kinds of pooling differ."""


def pooling_unit(step: Step, unit: Unit) -> Provenance:
    """One unit of a pooling layer.

    Weights are the shares with which the inputs count: 1 for a winner, 1/n in a mean; the
    gradient is divided alike. In a norm (`lp`) products are |x|^p, and there are no weights.
    """
    explain = next(function for kinds, function in _EXPLAIN if isinstance(step.module, kinds))
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        **explain(step, unit),
    )


def _one_window(step: Step, unit: Unit) -> tuple[Values, Mask, View]:
    """What a unit sees of its map; padding is NaN."""
    index, row, column = unit
    (window,) = layer_grids(step)
    inputs, padded = seen(step.input[index : index + 1], window, row, column)
    return inputs[0], padded, view_of(step.input.shape[1:], window, row, column)


def _extreme(step: Step, unit: Unit) -> Result:
    """Max and min: the first of equal values wins, as in torch."""
    inputs, padded, view = _one_window(step, unit)
    low = isinstance(step.module, MinPool)
    winner = _winner(inputs, padded, low)
    weights = np.zeros_like(inputs)
    weights[winner] = 1.0
    word = "min" if low else "max"
    return {
        "formula": f"{word}({_listed(inputs, padded)}) = {short(inputs[winner])}",
        "sum": float(inputs[winner]),
        "maps": (_weighted(unit[0], inputs, padded, weights),),
        "window": view,
        "winner": winner,
    }


def _winner(inputs: Values, padded: Mask, low: bool = False) -> tuple[int, int]:
    """Its place in the window; as in torch, what is no number wins."""
    values = np.where(padded, np.inf if low else -np.inf, inputs)
    place = int(values.argmin() if low else values.argmax())
    row, column = divmod(place, inputs.shape[1])
    return row, column


def _average(step: Step, unit: Unit) -> Result:
    inputs, padded, view = _one_window(step, unit)
    count = _divisor(step, unit, padded)
    weights = np.full_like(inputs, 1 / count)
    terms = _weighted(unit[0], inputs, padded, weights)
    total = float(np.nansum(inputs))
    return {
        "formula": f"{short(total)} (Σ of {int((~padded).sum())} inputs)/{count} = "
        f"{short(terms.sum)}",
        "sum": terms.sum,
        "maps": (terms,),
        "window": view,
        "terms": (("sum", total), ("count", float(count))),
    }


def _divisor(step: Step, unit: Unit, padded: Mask) -> int:
    """By how many a mean divides: the padding may count, what lies beyond it never does."""
    module = step.module
    own = getattr(module, "divisor_override", None)
    if own:
        return int(own)
    if isinstance(module, AveragePool):
        counts = module.count_padding
    else:
        counts = bool(getattr(module, "count_include_pad", False))
    if not counts:
        return int((~padded).sum())
    (window,) = layer_grids(step)
    amounts = []
    for axis, size, place in zip(window, step.input.shape[1:], unit[1:], strict=True):
        split = split_padding(size, axis)
        places = place * axis.stride - split.before + axis.dilation * np.arange(axis.kernel)
        amounts.append(int((places < size + split.after).sum()))
    return amounts[0] * amounts[1]


def _adaptive(step: Step, unit: Unit) -> Result:
    """The mean of a share of the map; shares differ where the output does not divide it."""
    index, *place = unit
    spans = [
        (at * size // out, -(-(at + 1) * size // out))
        for at, size, out in zip(place, step.input.shape[1:], step.output.shape[1:], strict=True)
    ]
    (top, bottom), (left, right) = spans
    inputs = step.input[index, top:bottom, left:right].double().numpy()
    weights = np.full_like(inputs, 1 / inputs.size)
    terms = _weighted(index, inputs, np.zeros(inputs.shape, dtype=bool), weights)
    total = float(inputs.sum())
    return {
        "formula": f"{short(total)} (Σ of {inputs.size} inputs)/{inputs.size} = {short(terms.sum)}",
        "sum": terms.sum,
        "maps": (terms,),
        "window": View(top, left, bottom - top, right - left),
        "terms": (("sum", total), ("count", float(inputs.size))),
    }


def _norm(step: Step, unit: Unit) -> Result:
    """(Σ |x|^p)^(1/p)."""
    module: Any = step.module
    inputs, padded, view = _one_window(step, unit)
    p = module.p
    products = np.where(padded, 0.0, np.abs(inputs) ** p)
    total = float(products.sum())
    result = total ** (1 / p) if total > 0 else 0.0
    return {
        "formula": f"{short(total)} (Σ of |x|^{short(p)})^(1/{short(p)}) = {short(result)}",
        "sum": result,
        "maps": (MapTerms(unit[0], inputs, padded, None, products, total),),
        "window": view,
        "terms": (("p", float(p)), (f"sum of |x|^{short(p)}", total)),
    }


def _stochastic(step: Step, unit: Unit) -> Result:
    """The mean of the inputs, weighted by their own share of the sum (Zeiler & Fergus 2013)."""
    inputs, padded, view = _one_window(step, unit)
    positive = np.where(padded, 0.0, np.maximum(np.nan_to_num(inputs), 0.0))
    if not positive.any():
        positive = (~padded).astype(float)  # no input is positive: all count alike
    total = float(positive.sum())
    terms = _weighted(unit[0], inputs, padded, positive / total)
    return {
        "formula": f"Σ x·p = {short(terms.sum)}, with p = max(x, 0)/{short(total)}",
        "sum": terms.sum,
        "maps": (terms,),
        "window": view,
        "terms": (("sum of max(x, 0)", total),),
    }


def _mixed(step: Step, unit: Unit) -> Result:
    """a·max + (1 − a)·mean (Lee, Gallagher & Tu 2016)."""
    module: Any = step.module
    inputs, padded, view = _one_window(step, unit)
    share = float(module.mix)
    winner = _winner(inputs, padded)
    count = int((~padded).sum())
    weights = np.full_like(inputs, (1 - share) / count)
    weights[winner] += share
    terms = _weighted(unit[0], inputs, padded, weights)
    largest, mean = float(inputs[winner]), float(np.nansum(inputs)) / count
    return {
        "formula": f"{short(share)}·{short(largest)} (max) + {short(1 - share)}·{short(mean)} "
        f"(mean) = {short(terms.sum)}",
        "sum": terms.sum,
        "maps": (terms,),
        "window": view,
        "winner": winner,
        "terms": (("share of the maximum", share), ("maximum", largest), ("mean", mean)),
    }


def _blurred(step: Step, unit: Unit) -> Result:
    """Binomial weights times the maxima of windows with stride 1 (Zhang 2019).

    Inputs are these maxima; the window is what they see together, and those beyond the edge are
    mirrored.
    """
    module: Any = step.module
    index, row, column = unit
    maximum, blur = layer_grids(step)
    maxima = module.maximum(step.input[None, index : index + 1])[0]
    inputs, padded = seen(maxima, blur, row, column, Pad("same", "reflect"))
    terms = linear_terms(index, inputs[0], padded, module.taps.double().cpu().numpy())
    return {
        "formula": f"Σ of {module.size}·{module.size} maxima × taps = {short(terms.sum)}",
        "sum": terms.sum,
        "maps": (terms,),
        "window": _both_windows(step, maximum, blur, unit),
    }


def _both_windows(step: Step, maximum: Grid, blur: Grid, unit: Unit) -> View:
    """What the maxima under one window of the blur see of the layer's input."""
    sizes = step.input.shape[1:]
    spans = []
    for first, second, size, place in zip(maximum, blur, sizes, unit[1:], strict=True):
        inner = output_size(size, first).size
        start = place * second.stride - split_padding(inner, second).before
        length = second.kernel + first.effective_kernel - 1
        spans.append((start - split_padding(size, first).before, length))
    (top, rows), (left, columns) = spans
    return View(top, left, rows, columns)


def subsampling_unit(step: Step, unit: Unit) -> Provenance:
    """(sum of the window) × coefficient + bias (LeCun 1998, §II-B)."""
    module: Any = step.module
    inputs, padded, view = _one_window(step, unit)
    coefficient, bias = float(module.weight[unit[0]]), float(module.bias[unit[0]])
    terms = _weighted(unit[0], inputs, padded, np.full_like(inputs, coefficient))
    total = float(np.nansum(inputs))
    result = total * coefficient + bias
    return Provenance(
        layer=step.name,
        kind=step.kind,
        unit=unit,
        value=float(step.output[unit]),
        formula=f"{short(total)} (Σ of {int((~padded).sum())} inputs) × {short(coefficient)}"
        f"{plus(bias)} = {short(result)}",
        sum=result,
        maps=(terms,),
        bias=bias,
        window=view,
        terms=(("sum", total), ("coefficient", coefficient), ("bias", bias)),
    )


def _weighted(index: int, inputs: Values, padded: Mask, weights: Values) -> MapTerms:
    """Inputs times weights, where padding has no value and no weight."""
    return linear_terms(index, inputs, padded, np.where(padded, 0.0, weights))


def _listed(inputs: Values, padded: Mask, most: int = 9) -> str:
    """The inputs of a window for a formula: the padding left out, at most nine."""
    values = [short(value) for value in inputs[~padded].tolist()]
    return ", ".join(values[:most]) + (", …" if len(values) > most else "")


_EXPLAIN: tuple[tuple[tuple[type[nn.Module], ...], Callable[[Step, Unit], Result]], ...] = (
    # The first that matches counts: MinPool is a MaxPool, GlobalMaxPool a GlobalAveragePool.
    ((BlurPool,), _blurred),
    ((MixedPool,), _mixed),
    ((StochasticPool,), _stochastic),
    ((LpPool,), _norm),
    ((MaxPool, GlobalMaxPool, nn.MaxPool2d), _extreme),
    ((nn.AdaptiveAvgPool2d,), _adaptive),
    ((nn.Module,), _average),
)
