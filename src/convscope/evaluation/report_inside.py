"""The parts of the report that look inside the network and tell how to get it again."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
from convscope.evaluation.pixels import (
    ACTIVATION_COLOURS,
    RGB,
    WEIGHT_COLOURS,
    data_uri,
    hex_colour,
    largest,
    photo,
    signed,
)
from convscope.evaluation.report_input import FeatureMaps, ReportInput
from convscope.evaluation.report_sections import Section
from convscope.text import html_text

MOST_FILTERS, MOST_MAPS = 64, 16
"""Of larger layers the first filters and the strongest maps are shown."""

_ROWS = 4  # of maps below each other


def filters_section(report: ReportInput) -> Section | None:
    """The weights of the first convolution as small pictures, on one common scale."""
    filters = report.filters
    if filters is None or not filters.size:
        return None
    limit, (total, channels, height, width) = largest(filters), filters.shape
    lead = (
        "The patterns the first layer looks for: it answers strongly where the pixels under a "
        "filter are bright at positive and dark at negative weights. Zero has the page's colour."
    )
    marks = {1: ("",), 3: ("red", "green", "blue")}.get(channels, ("channel 0", "1", "2"))
    items = []
    for index, kernel in enumerate(filters[:MOST_FILTERS]):
        planes = ""
        for mark, plane in zip(marks, kernel, strict=False):
            text = _plane_text(index, plane, mark, limit)
            uri = data_uri(signed(plane, limit, WEIGHT_COLOURS))
            planes += f'<img class="pixels" src="{uri}" alt="{text}" title="{text}">'
        items.append(
            f'<li><span class="planes">{planes}</span><span class="note">{index}</span></li>'
        )
    body = (
        f"{_legend(-limit, limit, WEIGHT_COLOURS)}"
        f'<ul class="filters of{min(channels, 3)}">{"".join(items)}</ul>'
        f'<p class="note">{_shown(min(total, MOST_FILTERS), total, "filters")} of '
        f"{height} × {width} weights"
        f"{_channel_note(channels)}; all share one scale.</p>"
    )
    return Section("filters", "First-layer filters", lead, body)


def _plane_text(index: int, plane: npt.NDArray[np.float32], mark: str, limit: float) -> str:
    where = f"Filter {index}, {mark}" if mark else f"Filter {index}"
    return f"{where}: weights from {_span(plane, limit)}"


def _channel_note(channels: int) -> str:
    if channels == 1:
        return ""
    if channels == 3:
        return ", for red, green and blue from left to right"
    return f", the first {min(3, channels)} of {channels} channels from left to right"


def _shown(shown: int, total: int, what: str) -> str:
    return f"{total} {what}" if shown == total else f"The first {shown} of {total} {what}"


def _legend(low: float, high: float, colours: tuple[RGB, RGB]) -> str:
    """Minimum, zero and maximum under a strip of the colours between them."""
    size = max(abs(low), abs(high))
    values = np.linspace(low, high, 63, dtype=np.float32)[None, :]
    uri = data_uri(signed(values, size, colours))
    ends = "".join(f"<span>{_value(end, size)}</span>" for end in (low, 0.0, high))
    return (
        f'<p class="scale"><img src="{uri}" alt="Colours from the smallest to the largest value">'
        f'<span class="ends">{ends}</span></p>'
    )


def _span(values: npt.NDArray[np.float32], limit: float) -> str:
    return f"{_value(float(values.min()), limit)} to {_value(float(values.max()), limit)}"


def _value(value: float, limit: float) -> str:
    """The value with three digits of `limit`, the largest beside it.

    >>> _value(0.00002, 4.7312), _value(-0.98765, 1.0), _value(123.4, 4000.0)
    ('0', '−0.99', '120')
    """
    digits = 2 - math.floor(math.log10(limit)) if limit > 0 else 0
    return f"{round(value, digits) + 0.0:.6g}".replace("-", "−")


def feature_maps_section(report: ReportInput) -> Section | None:
    """What each layer makes of a few images: data flows from left to right."""
    if not report.feature_maps:
        return None
    lead = (
        "What the layers make of an image, from left to right: early maps mark edges and strokes "
        "where they lie, later ones are coarser and stand for parts. Zero has the colour of the "
        "page; "
        f"{_swatch(ACTIVATION_COLOURS[1])} is positive, {_swatch(ACTIVATION_COLOURS[0])} negative."
    )
    flows = "".join(map(_flow, report.feature_maps))
    note = '<p class="note">Each layer of each image has its own scale, written below its name.</p>'
    return Section("feature-maps", "Feature maps", lead, flows + note)


def _swatch(colour: RGB) -> str:
    name = "orange" if colour == ACTIVATION_COLOURS[1] else "blue"
    return (
        '<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">'
        f'<rect width="10" height="10" rx="2" fill="{hex_colour(colour)}"/></svg>{name}'
    )


def _flow(maps: FeatureMaps) -> str:
    channels, height, width = maps.image.shape
    label = html_text(f"Feature maps of an image of class {maps.true}")
    source = f'src="{data_uri(photo(maps.image))}" alt="{html_text(f"Input of class {maps.true}")}"'
    picture = (
        f'<div class="layer"><h4>input</h4><p class="note">{channels} × {height} × {width}<br>'
        f'class {name_html(maps.true, 24)}</p><img class="pixels source" {source}></div>'
    )
    layers = "".join(_layer(name, values) for name, values in maps.layers.items())
    return (
        f'<h3>Class {name_html(maps.true)}</h3><div class="scroll flow" role="region" tabindex="0" '
        f'aria-label="{label}">{picture}{layers}</div>'
    )


def _layer(name: str, values: npt.NDArray[np.float32]) -> str:
    total, height, width = values.shape
    limit = largest(values)
    order = np.arange(total)
    if total > MOST_MAPS:
        strength = np.abs(np.nan_to_num(values)).mean(axis=(1, 2))
        order = np.sort(np.argsort(-strength, kind="stable")[:MOST_MAPS])
    pictures = []
    for index in order:
        plane = values[index]
        text = html_text(f"{name}, map {index}: {_span(plane, limit)}")
        uri = data_uri(signed(plane, limit, ACTIVATION_COLOURS))
        pictures.append(f'<img class="pixels" src="{uri}" alt="{text}" title="{text}">')
    strongest = f"<br>{len(order)} strongest" if len(order) < total else ""
    columns = math.ceil(len(order) / _ROWS)
    return (
        f'<div class="layer"><h4>{name_html(name, 24)}</h4><p class="note">'
        f"{total} × {height} × {width}<br>{_span(values, limit)}{strongest}</p>"
        f'<div class="maps columns{columns}">{"".join(pictures)}</div></div>'
    )


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
        "Everything that decides the result. The same command, with the same versions on the "
        "same machine, gives the same numbers."
    )
    command = html_text(report.command, LONG)
    environment = dict(report.environment)
    if report.training_seconds is not None:
        environment = {"training time": duration(report.training_seconds), **environment}
    parts = [
        f'<h3>Command</h3><pre tabindex="0"><code>{command}</code></pre>',
        f"<h3>Recipe</h3>{details_html('The complete recipe', json_html(report.recipe))}"
        if report.recipe
        else "",
        f"<h3>Data</h3>{facts_html(report.provenance)}" if report.provenance else "",
        f"<h3>Environment</h3>{facts_html(environment)}" if environment else "",
    ]
    return Section("origin", "How to get it again", lead, "".join(parts))
