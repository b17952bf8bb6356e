"""Charts as inline SVG strings. Colours come from the page's style sheet through classes.

Every chart is drawn on a canvas about as wide as a telephone, so that its text keeps its size
there and grows on larger screens. Coordinates are in the units of that canvas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convscope.evaluation.markup import count, percent
from convscope.evaluation.results import Calibration
from convscope.text import html_text

WIDTH, HEIGHT = 340, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 40
_TICK_GAP, _PLACES = 26, 16
_MARKED = 40  # up to so many points, each is marked and tells its value


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart.

    Attributes:
        label: its name in the legend.
        points: (x, y), ascending in x.
        tone: `a` or `b`, a colour of the style sheet.
        dashed: drawn as dashes.
        band: (x, low, high): an area behind the line.
    """

    label: str
    points: Sequence[tuple[float, float]]
    tone: str = "a"
    dashed: bool = False
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Scale:
    """A linear map from [low, high] to the canvas, [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """
        >>> Scale(0, 10, 100, 200)(2.5)
        125.0
        """
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at most `low` to at least `high`: steps of 1, 2 or 5 × 10ⁿ.

    >>> ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(3, 3)
    [3.0, 4.0]
    """
    if high <= low:
        high = low + (abs(low) / 4 or 1)
        most = 2
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        step
        for factor in (1, 2, 5, 10, 20, 50)
        if _steps(low, high, step := factor * power) + 1 <= most or factor == 50
    )
    first = math.floor(low / step + 1e-9)
    return [float(f"{(first + i) * step:.12g}") for i in range(_steps(low, high, step) + 1)]


def _steps(low: float, high: float, step: float) -> int:
    return math.ceil(high / step - 1e-9) - math.floor(low / step + 1e-9)


def tick_text(value: float, *, as_percent: bool = False) -> str:
    """
    >>> tick_text(0.975, as_percent=True), tick_text(-0.0004)
    ('97.5%', '−0.0004')
    """
    shown = f"{100 * value:.6g}%" if as_percent else f"{value:.6g}"
    return shown.replace("-", "−")


def _xy(x: float, y: float) -> str:
    return f"{x:.1f},{y:.1f}"


def line_chart(
    label: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_range: tuple[float, float] | None = None,
    as_percent: bool = False,
) -> str:
    """Lines over a common x, with a grid; without points an empty string.

    Args:
        label: says for a screen reader what is drawn.
        series: the lines; empty ones are left out.
        x_label: what x is.
        y_range: of the y axis, fractions where `as_percent`; default: what the data needs.
        as_percent: y values are fractions, shown in percent.
    """
    series = [one for one in series if one.points]
    if not series:
        return ""
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    x_low, x_high = min(xs), max(xs)
    pad = 0.5 if x_low == x_high else 0
    x_scale = Scale(x_low - pad, x_high + pad, LEFT + 4, WIDTH - RIGHT - 4)
    x_ticks = _x_ticks(xs, x_scale)
    y_ticks = ticks(*(y_range or (min(ys), max(ys))), most=6)
    y_scale = Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_grid(x_scale, x_ticks, y_scale, y_ticks, x_label, as_percent=as_percent)]
    parts += [_line(one, x_scale, y_scale, as_percent=as_percent) for one in series]
    return _svg(label, WIDTH, HEIGHT, "".join(parts))


def _x_ticks(xs: Sequence[float], scale: Scale) -> list[float]:
    """The places themselves where they are few and stand apart, else round numbers."""
    places = sorted(set(xs))
    if len(places) > _PLACES:
        return [x for x in ticks(places[0], places[-1]) if places[0] <= x <= places[-1]]
    kept = places[:1]
    for x in places[1:]:
        if scale(x) - scale(kept[-1]) >= _TICK_GAP:
            kept.append(x)
    return kept


def _svg(label: str, width: float, height: float, body: str) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'aria-label="{html_text(label, 1000)}">{body}</svg>'
    )


def _grid(
    x_scale: Scale,
    x_ticks: Sequence[float],
    y_scale: Scale,
    y_ticks: Sequence[float],
    x_label: str,
    *,
    as_percent: bool,
) -> str:
    parts = []
    for tick in y_ticks:
        y = y_scale(tick)
        text = tick_text(tick, as_percent=as_percent)
        parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{y + 3.5:.1f}">{text}</text>')
    base = y_scale.start
    for tick in x_ticks:
        x, text = x_scale(tick), tick_text(tick)
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{base + 15:.1f}">{text}</text>')
    place = f'x="{(x_scale.start + x_scale.end) / 2:.1f}" y="{base + 33:.1f}"'
    parts.append(f'<text class="axis mid" {place}>{html_text(x_label, 50)}</text>')
    return "".join(parts)


def _line(one: Series, x_scale: Scale, y_scale: Scale, *, as_percent: bool) -> str:
    parts = []
    if one.band:
        upper = [_xy(x_scale(x), y_scale(high)) for x, _, high in one.band]
        lower = [_xy(x_scale(x), y_scale(low)) for x, low, _ in reversed(one.band)]
        parts.append(f'<path class="band {one.tone}" d="M{"L".join(upper + lower)}Z"/>')
    places = [(x_scale(x), y_scale(y)) for x, y in one.points]
    dash = " dash" if one.dashed else ""
    parts.append(
        f'<path class="line {one.tone}{dash}" d="M{"L".join(_xy(x, y) for x, y in places)}"/>'
    )
    if len(places) <= _MARKED:
        for (x, y), (at, value) in zip(places, one.points, strict=True):
            shown = percent(value, 2) if as_percent else f"{value:.4g}"
            title = html_text(f"{one.label} at {tick_text(at)}: {shown}")
            place = f'cx="{x:.1f}" cy="{y:.1f}"'
            parts.append(
                f'<g class="mark {one.tone}"><circle class="dot" {place} r="2.2"/>'
                f'<circle class="touch" {place} r="8"/><title>{title}</title></g>'
            )
    return "".join(parts)


def legend_html(series: Sequence[Series]) -> str:
    """The lines' names with a sample of each; nothing to explain where there is one line."""
    items = []
    for one in series:
        if one.points:
            dash = " dash" if one.dashed else ""
            items.append(
                '<li><svg class="key" viewBox="0 0 22 10" aria-hidden="true">'
                f'<path class="line {one.tone}{dash}" d="M1,5H21"/></svg>'
                f"{html_text(one.label)}</li>"
            )
    return f'<ul class="legend">{"".join(items)}</ul>' if len(items) > 1 else ""


def reliability_chart(calibration: Calibration) -> str:
    """Accuracy against stated confidence in each bin, above a histogram of the images.

    A well calibrated network has its points on the diagonal; below it, it is too sure.
    """
    side, gap, bars, width = 270, 14, 46, LEFT + 270 + RIGHT
    x = Scale(0, 1, LEFT, LEFT + side)
    y = Scale(0, 1, TOP + side, TOP)
    floor = TOP + side + gap + bars
    parts = []
    for fifth in range(6):
        share = fifth / 5
        text = tick_text(share, as_percent=True)
        parts.append(f'<path class="grid" d="M{LEFT},{y(share):.1f}H{LEFT + side}"/>')
        parts.append(
            f'<text class="tick end" x="{LEFT - 7}" y="{y(share) + 3.5:.1f}">{text}</text>'
        )
        parts.append(f'<text class="tick mid" x="{x(share):.1f}" y="{floor + 15}">{text}</text>')
    parts.append(f'<path class="ideal" d="M{_xy(x(0), y(0))}L{_xy(x(1), y(1))}"/>')
    most = max((one.count for one in calibration.bins), default=0)
    for one in calibration.bins:
        if one.confidence is None or one.accuracy is None:
            continue
        left, wide = x(one.lower) + 0.5, x(one.upper) - x(one.lower) - 1
        tall = max(1.0, bars * one.count / most)
        cx, cy = x(one.confidence), y(one.accuracy)
        title = html_text(
            f"{count(one.count)} images called with {percent(one.lower, 0)} to "
            f"{percent(one.upper, 0)} confidence: {percent(one.confidence)} sure on average, "
            f"{percent(one.accuracy)} right"
        )
        parts.append(
            f'<g class="mark a"><path class="gap" d="M{cx:.1f},{y(one.confidence):.1f}V{cy:.1f}"/>'
            f'<rect class="count" x="{left:.1f}" y="{floor - tall:.1f}" width="{wide:.1f}" '
            f'height="{tall:.1f}"/><circle class="dot" cx="{cx:.1f}" cy="{cy:.1f}" r="4"/>'
            f"<title>{title}</title></g>"
        )
    parts.append(f'<path class="base" d="M{LEFT},{floor}H{LEFT + side}"/>')
    parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{floor - 2}">images</text>')
    parts.append(
        f'<text class="axis mid" x="{LEFT + side / 2}" y="{floor + 33}">stated confidence</text>'
        f'<text class="axis start" x="{LEFT + 8}" y="{TOP + 14}">share that is right</text>'
    )
    label = (
        f"Reliability diagram: expected calibration error {percent(calibration.ece, 2)}; "
        "the table below holds its numbers"
    )
    return _svg(label, width, floor + BOTTOM, "".join(parts))
