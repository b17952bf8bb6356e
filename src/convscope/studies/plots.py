"""Charts of a study as inline SVG: effects with their intervals, arms with every seed.

Colours come from the page's style sheet. Canvases are about as wide as a telephone, like those of
`convscope.evaluation.charts`, so that text keeps its size there.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convscope.evaluation.charts import Scale, tick_text, ticks
from convscope.studies.verdicts import is_share
from convscope.studies.wording import effect_text, measure_text, number, unit, value_text
from convscope.text import html_text

WIDTH, PAD, ROW = 340, 12, 52
_ARM_ROW, _NAMES, _VALUES = 24, 118, 62

Effect = Mapping[str, Any]


def forest_chart(label: str, effects: Sequence[Effect]) -> str:
    """Effects of one claim that share a measure and a kind, each with its 95 % interval.

    The upright line is no effect; the shade around it is too small to matter (the margin).
    Effects without an interval are left out; without any, an empty string.
    """
    shown = [one for one in effects if one["low"] is not None]
    if not shown:
        return ""
    first = shown[0]["comparison"]
    ratio = first.get("kind") == "ratio"
    scaled = 100.0 if is_share(first["measure"]) and not ratio else 1.0
    margin = first.get("margin", 0.0) * scaled

    def place(value: float) -> float:
        return math.log2(value) if ratio else value * scaled

    ends = [place(one[end]) for one in shown for end in ("low", "high")]
    edge = math.log2(1 + margin) if ratio else margin
    marks = ticks(min([*ends, -edge, 0]), max([*ends, edge, 0]), most=6)
    x = Scale(marks[0], marks[-1], PAD + 8, WIDTH - PAD - 8)
    floor = ROW * len(shown) + 6
    parts = []
    if margin:
        parts.append(
            f'<rect class="small" x="{x(-edge):.1f}" y="4" width="{x(edge) - x(-edge):.1f}" '
            f'height="{floor - 4}"/>'
        )
    for mark in marks:
        text = number(float(f"{2**mark:.3g}")) if ratio else tick_text(mark)
        parts.append(f'<path class="grid" d="M{x(mark):.1f},4V{floor}"/>')
        parts.append(f'<text class="tick mid" x="{x(mark):.1f}" y="{floor + 14}">{text}</text>')
    parts.append(f'<path class="zero" d="M{x(0):.1f},4V{floor}"/>')
    for row, one in enumerate(shown):
        parts.append(_interval(one, row, x, place))
    what = measure_text(first["measure"])
    axis = f"ratio of {what}" if ratio else f"difference of {what}" + _in(unit(first["measure"]))
    parts.append(
        f'<text class="axis mid" x="{WIDTH / 2}" y="{floor + 31}">{html_text(axis, 80)}</text>'
    )
    return _svg(label, floor + 38, "".join(parts))


def _in(unit_text: str) -> str:
    return f", {unit_text}" if unit_text else ""


def _interval(one: Effect, row: int, x: Scale, place: Any) -> str:
    comparison = one["comparison"]
    y = ROW * row + 42
    against = comparison.get("reference") or comparison.get("other", "").replace("_", " ")
    if not against:
        against = value_text(comparison["constant"], comparison["measure"])
    name = comparison.get("condition") or f"{comparison['arm']} − {against}"
    tone = {"supported": "supported", "contradicted": "contradicted"}.get(
        one["verdict"], "not-supported"
    )
    shown = effect_text(one)
    low, middle, high = (x(place(one[key])) for key in ("low", "effect", "high"))
    return (
        f'<text class="label" x="{PAD}" y="{y - 27}">{html_text(name, 60)}</text>'
        f'<text class="value" x="{PAD}" y="{y - 12}">{html_text(shown)}</text>'
        f'<g class="{tone} mark"><path class="whisker" d="M{low:.1f},{y}H{high:.1f}"/>'
        f'<circle class="dot" cx="{middle:.1f}" cy="{y}" r="4"/>'
        f"<title>{html_text(name)}: {html_text(shown)}</title></g>"
    )


def arm_chart(label: str, measure: str, document: Mapping[str, Any]) -> str:
    """Every arm's mean with its interval, and each seed as a pale dot behind it."""
    scaled = 100.0 if is_share(measure) else 1.0
    arms = [arm for arm in document["arms"] if measure in arm["measures"]]
    seeds = {
        arm["name"]: [
            row["measures"][measure] * scaled
            for row in document["rows"]
            if row["arm"] == arm["name"] and measure in row["measures"]
        ]
        for arm in arms
    }
    if not arms:
        return ""
    ends = [value for values in seeds.values() for value in values]
    for arm in arms:
        one = arm["measures"][measure]
        if one.get("low") is not None and one["n"] > 2:
            ends += _ends(one, measure)
    marks = ticks(min(ends), max(ends), most=5)
    x = Scale(marks[0], marks[-1], _NAMES + 8, WIDTH - _VALUES - 8)
    floor = _ARM_ROW * len(arms) + 8
    parts = []
    for mark in marks:
        parts.append(f'<path class="grid" d="M{x(mark):.1f},4V{floor}"/>')
        parts.append(
            f'<text class="tick mid" x="{x(mark):.1f}" y="{floor + 14}">{number(mark)}</text>'
        )
    for row, arm in enumerate(arms):
        y = _ARM_ROW * row + 18
        one = arm["measures"][measure]
        name = html_text(arm["name"], 22)
        parts.append(f'<text class="label end" x="{_NAMES - 4}" y="{y + 4}">{name}</text>')
        shown = html_text(value_text(one["mean"], measure))
        parts.append(f'<text class="value end" x="{WIDTH - 2}" y="{y + 4}">{shown}</text>')
        marked = "".join(
            f'<circle class="seed" cx="{x(value):.1f}" cy="{y}" r="3"/>'
            for value in seeds[arm["name"]]
        )
        whisker = ""
        if one.get("low") is not None and one["n"] > 2:
            low, high = map(x, _ends(one, measure))
            whisker = f'<path class="whisker" d="M{low:.1f},{y}H{high:.1f}"/>'
        parts.append(
            f'<g class="a mark">{marked}{whisker}'
            f'<circle class="dot" cx="{x(one["mean"] * scaled):.1f}" cy="{y}" r="4"/>'
            f"<title>{html_text(arm['name'])}: {shown}, n = {one['n']}</title></g>"
        )
    name = measure_text(measure) + (", %" if scaled > 1 else _in(unit(measure)))
    middle = (x.start + x.end) / 2
    parts.append(
        f'<text class="axis mid" x="{middle:.0f}" y="{floor + 31}">{html_text(name, 60)}</text>'
    )
    return _svg(label, floor + 38, "".join(parts))


def _ends(one: Mapping[str, Any], measure: str) -> tuple[float, float]:
    """Of an arm's interval; one of an accuracy does not leave 0 to 100 %."""
    low, high = one["low"], one["high"]
    if not is_share(measure):
        return low, high
    if measure.endswith(("accuracy", "consistency")):
        low, high = max(low, 0.0), min(high, 1.0)
    return 100 * low, 100 * high


def _svg(label: str, height: float, body: str) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {height:g}" '
        f'aria-label="{html_text(label, 1000)}">{body}</svg>'
    )
