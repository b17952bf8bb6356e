"""Where the value of one unit comes from: every input, weight and product of its own layer.

>>> from convscope.models import build
>>> found = provenance(build("lenet5"), torch.ones(1, 32, 32), "c1", (0, 3, 4))
>>> len(found.maps), found.maps[0].products.shape, abs(found.sum - found.value) < 1e-6
(1, (5, 5), True)
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.normalised import (
    activation_unit,
    batch_norm_unit,
    moved_unit,
    rbf_unit,
    response_unit,
)
from convscope.explain.pooled import pooling_unit, subsampling_unit
from convscope.explain.receptive import Field, field_of
from convscope.explain.tracing import Step, find, trace
from convscope.explain.unit import MapTerms as MapTerms
from convscope.explain.unit import Provenance as Provenance
from convscope.explain.unit import Unit
from convscope.explain.unit import View as View
from convscope.explain.weighted import convolution_unit, linear_unit
from convscope.text import printable

_EXPLAIN: dict[str, Callable[[Step, Unit], Provenance]] = {
    "convolution": convolution_unit,
    "pooling": pooling_unit,
    "average": pooling_unit,
    "subsampling": subsampling_unit,
    "norm": batch_norm_unit,
    "lrn": response_unit,
    "activation": activation_unit,
    "rbf": rbf_unit,
    "flatten": moved_unit,
    "other": moved_unit,
}


def provenance(model: nn.Module, image: Tensor, layer: str, unit: Sequence[int]) -> Provenance:
    """Every term of one unit's value. The model runs once; `provenance_of` takes a trace instead.

    Args:
        model: takes N × C × H × W; it is left as it was.
        image: float32, C × H × W, preprocessed.
        layer: its name in the trace.
        unit: (map, row, column), or (index,) in a layer without maps.

    Raises:
        InputError: an image that the model cannot take, an unknown layer, or a unit outside it.
    """
    return provenance_of(trace(model, image), layer, unit)


def provenance_of(steps: Sequence[Step], layer: str, unit: Sequence[int]) -> Provenance:
    """As `provenance`, of a network that has been traced."""
    index = find(steps, layer)
    step = steps[index]
    place = _checked(step, unit)
    # In a network that diverged there may be ∞ − ∞.
    with torch.no_grad(), np.errstate(invalid="ignore", over="ignore"):
        if step.kind == "linear":
            found = linear_unit(step, place, maps_before(steps[:index], step))
        else:
            found = _EXPLAIN[step.kind](step, place)
    return found.with_field(_field(steps, layer, place))


def _checked(step: Step, unit: Sequence[int]) -> Unit:
    shape = tuple(step.output.shape)
    inside = len(unit) == len(shape) and all(
        isinstance(i, int) and 0 <= i < size for i, size in zip(unit, shape, strict=True)
    )
    if not inside:
        names = ("map", "row", "column") if len(shape) == 3 else ("unit",)
        allowed = ", ".join(
            f"{name} 0 to {size - 1}" for name, size in zip(names, shape, strict=False)
        )
        raise InputError(
            f"unit {printable(list(unit))} of layer '{printable(step.name)}'; allowed: {allowed}"
        )
    return tuple(unit)


def maps_before(steps: Sequence[Step], linear: Step) -> tuple[int, ...] | None:
    """The shape of the maps that a linear layer's inputs are, in their order; None without."""
    if linear.input.ndim == 3:
        return None  # a linear layer along the width of maps, which no network here has
    for step in reversed(steps):
        if step.output.ndim == 3:
            same = torch.equal(step.output.flatten(), linear.input)
            return tuple(step.output.shape) if same else None
        if step.kind != "flatten":
            return None
    return None


def _field(steps: Sequence[Step], layer: str, unit: Unit) -> Field | None:
    row, column = unit[1:] if len(unit) == 3 else (0, 0)
    try:
        return field_of(steps, layer, row, column)
    except InputError:  # a network that branches: the unit's own terms are known all the same
        return None
