"""The facts of each layer, as the page shows them: sizes, costs, formulas, what it is."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from convscope import shapes
from convscope.errors import InputError
from convscope.explain.receptive import field_of
from convscope.explain.tracing import Step
from convscope.lab.about import about, spec, title
from convscope.layers.facts import facts_of, is_known
from convscope.layers.windows import Grid
from convscope.shapes import Window


def describe_layers(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What `GET /api/runs/{id}` says of each layer of a trace, in the order of computation."""
    seen: set[nn.Module] = set()
    found = []
    for step in steps:
        before, after = tuple(step.input.shape), tuple(step.output.shape)
        facts = facts_of(step.module, before, after)
        words, source = about(step.module)
        own = step.module.parameters(recurse=is_known(step.module))
        found.append(
            {
                "name": step.name,
                "kind": step.kind,
                "title": title(step.module, before, after),
                "shape": list(after),
                "input_shape": list(before),
                "parameters": 0 if step.module in seen else sum(p.numel() for p in own),
                "connections": facts.connections,
                "multiply_adds": facts.multiply_adds or 0,
                "receptive": _receptive(steps, step.name),
                "formula": "; ".join(_formulas(step, facts.grids, facts.formulas)),
                "spec": spec(step.module),
                "about": words,
                "source": source,
            }
        )
        seen.add(step.module)
    return found


def _formulas(step: Step, grids: Sequence[Grid] | None, formulas: dict[str, str]) -> list[str]:
    """How the numbers of a layer come about, with the numbers filled in."""
    shown = []
    if grids and step.input.ndim == 3:
        height, width = step.input.shape[1:]
        for grid in grids:
            rows, columns = _size_formula(height, grid.rows), _size_formula(width, grid.columns)
            same = rows == columns
            shown.append(f"size {rows}" if same else f"rows {rows}, columns {columns}")
            height, width = grid.output(height, width)
    words = {"parameters": "parameters", "multiply_adds": "multiply-adds"}
    return shown + [f"{words[key]} {formulas[key]}" for key in words if key in formulas]


def _size_formula(size: int, window: Window) -> str:
    return shapes.output_size(size, window).formula


def _receptive(steps: Sequence[Step], name: str) -> dict[str, Any] | None:
    try:
        field = field_of(steps, name, 0, 0)
    except InputError:  # a network that branches
        return None
    return {
        "size": list(field.size),
        "jump": list(field.jump),
        "start": [field.top, field.left],
    }
