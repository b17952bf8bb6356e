"""The parts of the report that look inside the network: its first filters, its feature maps."""

import math

import numpy as np
import numpy.typing as npt

from convscope.evaluation.markup import name_html
from convscope.evaluation.page import Section
from convscope.evaluation.pixels import (
    ACTIVATION_COLOURS,
    RGB,
    WEIGHT_COLOURS,
    colour_filter,
    data_uri,
    hex_colour,
    largest,
    photo_html,
    signed,
    strongest,
)
from convscope.evaluation.report_input import FeatureMaps, ReportInput
from convscope.text import html_text

MOST_FILTERS, MOST_MAPS = 96, 16
"""Of larger layers the first filters and the strongest maps are shown."""

_ROWS = 4  # of maps below each other


def filters_section(report: ReportInput) -> Section | None:
    """The weights of the first convolution as small pictures."""
    filters = report.filters
    if filters is None or not filters.size:
        return None
    body = _colour_filters(filters) if filters.shape[1] == 3 else _grey_filters(filters)
    return Section("filters", "First-layer filters", body[0], body[1])


def _colour_filters(filters: npt.NDArray[np.float32]) -> tuple[str, str]:
    """Lead and body for RGB: each filter is one picture in its own colours, on its own scale."""
    lead = (
        "The patterns the first layer looks for: a filter answers strongly where the picture is "
        "like it, in form and in colour. Mid grey is weight zero; a trained network has edges of "
        "every direction, blobs of colour and stripes, an untrained one noise."
    )
    total, _, height, width = filters.shape
    items = []
    for index, kernel in enumerate(filters[:MOST_FILTERS]):
        text = f"Filter {index}: weights from {_span(kernel, largest(kernel))}"
        uri = data_uri(colour_filter(kernel))
        items.append(f'<li><img class="pixels" src="{uri}" alt="{text}" title="{text}"></li>')
    shown = _shown(min(total, MOST_FILTERS), total, "filters")
    return lead, (
        f'<ul class="filters colour">{"".join(items)}</ul>'
        f'<p class="note">{shown} of {height} × {width} weights for red, green and blue; each has '
        "its own scale: the largest weight reaches full or no light.</p>"
    )


def _grey_filters(filters: npt.NDArray[np.float32]) -> tuple[str, str]:
    """Lead and body for other channels than RGB: planes side by side, on one common scale."""
    limit, (total, channels, height, width) = largest(filters), filters.shape
    lead = (
        "The patterns the first layer looks for: it answers strongly where the pixels under a "
        "filter are bright at positive and dark at negative weights. Zero has the page's colour."
    )
    marks = ("",) if channels == 1 else ("channel 0", "channel 1", "channel 2")
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
    return lead, body


def _plane_text(index: int, plane: npt.NDArray[np.float32], mark: str, limit: float) -> str:
    where = f"Filter {index}, {mark}" if mark else f"Filter {index}"
    return f"{where}: weights from {_span(plane, limit)}"


def _channel_note(channels: int) -> str:
    if channels == 1:
        return ""
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
    source = photo_html(maps.image, f"Input of class {maps.true}", "source")
    picture = (
        f'<div class="layer"><h4>input</h4><p class="note">{channels} × {height} × {width}<br>'
        f"class {name_html(maps.true, 24)}</p>{source}</div>"
    )
    layers = "".join(_layer(name, values) for name, values in maps.layers.items())
    return (
        f'<h3>Class {name_html(maps.true)}</h3><div class="scroll flow" role="region" tabindex="0" '
        f'aria-label="{label}">{picture}{layers}</div>'
    )


def _layer(name: str, values: npt.NDArray[np.float32]) -> str:
    total, height, width = values.shape
    limit = largest(values)
    order = strongest(values, MOST_MAPS)
    pictures = []
    for index in order:
        plane = values[index]
        text = html_text(f"{name}, map {index}: {_span(plane, limit)}")
        uri = data_uri(signed(plane, limit, ACTIVATION_COLOURS))
        pictures.append(f'<img class="pixels" src="{uri}" alt="{text}" title="{text}">')
    fewer = f"<br>{len(order)} strongest" if len(order) < total else ""
    columns = math.ceil(len(order) / _ROWS)
    return (
        f'<div class="layer"><h4>{name_html(name, 24)}</h4><p class="note">'
        f"{total} × {height} × {width}<br>{_span(values, limit)}{fewer}</p>"
        f'<div class="maps columns{columns}">{"".join(pictures)}</div></div>'
    )
