"""The parts of the report on the network's structure and on how to get it again."""

from collections.abc import Mapping, Sequence
from typing import Any

from convscope.evaluation.markup import (
    LONG,
    count,
    details_html,
    duration,
    facts_html,
    finite,
    json_html,
    name_html,
    table_html,
)
from convscope.evaluation.page import Section
from convscope.evaluation.report_input import ReportInput
from convscope.text import html_text


def anatomy_section(report: ReportInput) -> Section | None:
    """The network layer by layer: shapes, receptive fields, parameters, arithmetic."""
    rows: Sequence[Mapping[str, Any]] = report.anatomy.get("layers", ())
    if not rows:
        return None
    lead = (
        "The network, layer by layer. The receptive field is the square of input pixels that one "
        "unit can see; parameters are what training sets; a connection is one input, or the bias, "
        "of one unit; a multiply-add is one step of arithmetic for one image."
    )
    head = ["Layer", "Output", "Receptive field", "Parameters", "Connections", "Multiply-adds"]

    def cells(row: Mapping[str, Any]) -> list[str]:
        words = ", ".join(str(row[key]) for key in ("kind", "activation") if row.get(key))
        return [
            f'{name_html(row.get("name", ""))} <span class="kind">{html_text(words)}</span>',
            _shape_html(row.get("output_shape")),
            _shape_html(row.get("receptive_field")),
            *(count(finite(row.get(key))) for key in _TOTALS),
        ]

    foot = ["Total", "", "", *(count(finite(report.anatomy.get(key))) for key in _TOTALS)]
    table = table_html(
        "Layers from input to output", head, map(cells, rows), foot_html=foot, hide_caption=True
    )
    tables = "".join(_connections(row) for row in rows if row.get("table"))
    return Section("anatomy", "Anatomy", lead, table + _formulas(rows) + tables)


def _formulas(rows: Sequence[Mapping[str, Any]]) -> str:
    """How each number of the anatomy was found."""
    columns = {
        "size": "Size",
        "receptive_field": "Receptive field",
        "parameters": "Parameters",
        "connections": "Connections",
        "multiply_adds": "Multiply-adds",
    }
    lines = [
        [
            name_html(row.get("name", "")),
            *(html_text(row["formulas"].get(key, ""), LONG) for key in columns),
        ]
        for row in rows
        if row.get("formulas")
    ]
    if not lines:
        return ""
    head = ["Layer", *columns.values()]
    table = table_html("Formulas", head, lines, text_columns=set(range(6)), hide_caption=True)
    return details_html("The formulas behind the numbers", table)


def _connections(row: Mapping[str, Any]) -> str:
    """A connection table: which input maps (rows) each output map (columns) sees."""
    table: Sequence[Sequence[int]] = row["table"]
    inputs = 1 + max(max(seen, default=0) for seen in table)
    lines = (
        [str(index), *("●" if index in seen else "" for seen in table)] for index in range(inputs)
    )
    head = ["Map", *map(str, range(len(table)))]
    caption = f"Maps of the layer before (down) that each map of {row.get('name', '')} sees"
    drawn = table_html(caption, head, lines)
    return details_html(f"The connections of {row.get('name', '')}", drawn)


_TOTALS = ("parameters", "connections", "multiply_adds")


def _shape_html(shape: object) -> str:
    """A size as `6 × 28 × 28`; a mapping's `size` is meant."""
    if isinstance(shape, Mapping):
        shape = shape.get("size")
    if isinstance(shape, list | tuple):
        return " × ".join(html_text(part) for part in shape)
    return "–" if shape is None else html_text(shape)


def origin_section(report: ReportInput) -> Section:
    """How to get the same run again: command, recipe, environment, data."""
    lead = (
        "Everything that decides the result. The same command, or the same recipe, with the same "
        "versions on the same machine, gives the same numbers."
    )
    environment = dict(report.environment)
    if report.training_seconds is not None:
        environment = {"training time": duration(report.training_seconds), **environment}
    parts = [
        f'<h3>Command</h3><pre tabindex="0"><code>{html_text(report.command, LONG)}</code></pre>'
        if report.command
        else "",
        f"<h3>Recipe</h3>{details_html('The complete recipe', json_html(report.recipe))}"
        if report.recipe
        else "",
        f"<h3>Data</h3>{facts_html(report.provenance)}" if report.provenance else "",
        f"<h3>Environment</h3>{facts_html(environment)}" if environment else "",
    ]
    return Section("origin", "How to get it again", lead, "".join(parts))
