"""Charts: geometry computed by hand, and shades."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_inputs import make_report

from convscope.evaluation.chart_confusion import (
    confusion_chart,
    drawn_part,
    error_shade,
    worst_rate,
)
from convscope.evaluation.charts import (
    Series,
    legend_html,
    line_chart,
    reliability_chart,
    ticks,
)
from convscope.evaluation.metrics import evaluate_predictions
from convscope.evaluation.results import Calibration, CalibrationBin


def find(svg: str, tag: str, css: str) -> list[ElementTree.Element]:
    """Elements of a chart by tag and class; parsing proves it well-formed."""
    root = ElementTree.fromstring(svg)
    return [one for one in root.iter(tag) if css in (one.get("class") or "").split()]


@given(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.floats(1e-6, 1e6, allow_nan=False),
    st.integers(3, 10),
)
def test_ticks_enclose_the_range_in_equal_round_steps(low: float, span: float, most: int) -> None:
    high = low + span
    if high - low < 1e-9 * abs(low):
        return  # closer than the ticks' twelve digits
    found = ticks(low, high, most)
    step = found[1] - found[0]
    assert 2 <= len(found) <= most
    assert found[0] <= low + 1e-8 * step + 1e-9 * abs(low)
    assert found[-1] >= high - 1e-8 * step - 1e-9 * abs(high)
    assert re.match(r"[125]\.?0*e", f"{step:.5e}")
    assert found == pytest.approx([found[0] + i * step for i in range(len(found))], rel=1e-9)


def test_ticks_by_hand() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(0.913, 0.987) == [0.9, 0.92, 0.94, 0.96, 0.98, 1]
    assert ticks(-60, 60) == [-100, -50, 0, 50, 100]
    assert ticks(0, 0) == [0, 1]


def test_line_chart_places_points_by_hand() -> None:
    # The plot runs from x = 46 + 4 to 340 − 10 − 4 and from y = 220 − 40 up to 10.
    series = Series(
        label="s", points=[(0, 0.0), (5, 0.5), (10, 1.0)], band=[(0, 0, 0.5), (10, 0.5, 1)]
    )
    svg = line_chart("what", [series], x_label="epoch", y_range=(0, 1), as_percent=True)
    (line,) = find(svg, "path", "line")
    assert line.get("d") == "M50.0,180.0L188.0,95.0L326.0,10.0"
    (band,) = find(svg, "path", "band")
    assert band.get("d") == "M50.0,95.0L326.0,10.0L326.0,95.0L50.0,180.0Z"
    titles = [one.text for one in ElementTree.fromstring(svg).iter("title")]
    assert titles == ["s at 0: 0.00\xa0%", "s at 5: 50.00\xa0%", "s at 10: 100.00\xa0%"]
    texts = [one.text for one in find(svg, "text", "tick")]
    assert texts == ["0%", "20%", "40%", "60%", "80%", "100%", "0", "5", "10"]


def test_a_single_point_stands_in_the_middle() -> None:
    svg = line_chart("what", [Series(label="s", points=[(1, 3.0)])], x_label="epoch")
    (dot,) = find(svg, "circle", "dot")
    assert dot.get("cx") == "188.0"
    assert line_chart("what", [Series(label="s", points=[])], x_label="epoch") == ""


def test_crowded_x_labels_are_thinned_out() -> None:
    points = [(float(x), 0.5) for x in range(-60, 61, 10)]
    svg = line_chart("what", [Series(label="s", points=points)], x_label="degrees", y_range=(0, 1))
    texts = [one.text for one in find(svg, "text", "mid")]
    assert texts == ["−60", "−40", "−20", "0", "20", "40", "60", "degrees"]


def test_legend_names_only_what_is_drawn() -> None:
    drawn = [Series(label="<a>", points=[(0, 0)]), Series(label="b", points=[(0, 0)], dashed=True)]
    assert legend_html(drawn).count("<li>") == 2
    assert "&lt;a&gt;" in legend_html(drawn)
    assert legend_html([drawn[0], Series(label="empty", points=[])]) == ""


def test_reliability_chart_by_hand() -> None:
    # The square's side is 270, its corner at (46, 10); the histogram's floor at 340, 46 high.
    empty = CalibrationBin(lower=0, upper=0.5, count=0, confidence=None, accuracy=None)
    half = CalibrationBin(lower=0.5, upper=0.75, count=10, confidence=0.7, accuracy=0.5)
    full = CalibrationBin(lower=0.75, upper=1, count=40, confidence=0.9, accuracy=1.0)
    svg = reliability_chart(Calibration(ece=0.12, bins=(empty, half, full)))
    dots = [(one.get("cx"), one.get("cy")) for one in find(svg, "circle", "dot")]
    assert dots == [("235.0", "145.0"), ("289.0", "10.0")]
    gaps = [one.get("d") for one in find(svg, "path", "gap")]
    assert gaps == ["M235.0,91.0V145.0", "M289.0,37.0V10.0"]
    bars = [(one.get("y"), one.get("height")) for one in find(svg, "rect", "count")]
    assert bars == [("328.5", "11.5"), ("294.0", "46.0")]
    assert "10 images called with 50\xa0% to 75\xa0% confidence" in svg


def test_confusion_chart_by_hand() -> None:
    # Rates off the diagonal: 2/10 and 1/20; the largest is 0.2, so shades 6 and ⌈6·0.05/0.2⌉ = 2.
    svg = confusion_chart(["a", "b", "c"], [[8, 2, 0], [1, 19, 0], [0, 0, 0]])
    cells = [one.get("class") for one in find(svg, "g", "cell")]
    assert cells == ["cell right4", "cell wrong6", "cell wrong2", "cell right4"]
    rects = [one for group in find(svg, "g", "cell") for one in group.iter("rect")]
    left, top = 1 * 6.3 + 10 + 16, 18 + 20  # one letter; upright column names
    places = [(float(one.get("x") or 0), float(one.get("y") or 0)) for one in rects]
    step = 400 / 3
    expected = [(0, 0), (1, 0), (0, 1), (1, 1)]
    for place, (column, row) in zip(places, expected, strict=True):
        assert place == pytest.approx(
            (left + column * step + 0.5, top + row * step + 0.5), abs=0.06
        )
    numbers = [text.text for group in find(svg, "g", "cell") for text in group.iter("text")]
    assert numbers == ["8", "2", "1", "19"]
    assert "true a, predicted b: 2 of 10 (20.0\xa0%)" in svg
    assert worst_rate([[8, 2, 0], [1, 19, 0], [0, 0, 0]]) == 0.2


@pytest.mark.parametrize(
    ("classes", "numbers", "tips"), [(20, True, True), (40, False, True), (41, False, False)]
)
def test_confusion_chart_thins_out_with_the_classes(
    classes: int, numbers: bool, tips: bool
) -> None:
    names = [f"class {i}" for i in range(classes)]
    svg = confusion_chart(names, make_report(names, n=2000).evaluation.confusion)
    cells = find(svg, "g", "cell")
    assert any(True for cell in cells for _ in cell.iter("text")) == numbers
    assert any(True for cell in cells for _ in cell.iter("title")) == tips


def test_large_confusion_chart_draws_every_cell_once() -> None:
    names = [f"class {i}" for i in range(50)]
    confusion = make_report(names, n=3000).evaluation.confusion
    svg = confusion_chart(names, confusion)
    squares = sum(path.get("d", "").count("M") for path in ElementTree.fromstring(svg).iter("path"))
    assert squares == sum(cell > 0 for row in confusion for cell in row)


@given(st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_error_shades_are_in_range_and_grow(one: float, other: float) -> None:
    worst = max(one, other)
    shades = [error_shade(rate, worst) for rate in sorted((one, other))]
    assert 1 <= shades[0] <= shades[1] == 6


def test_part_of_a_large_matrix_keeps_the_whole_classes_totals() -> None:
    """Class 3 loses 2 of 8 to class 7, and 1 to class 9, which is left out."""
    k = 130
    labels = np.repeat(np.arange(k), 8)
    predictions = labels.copy()
    predictions[24:26], predictions[26] = 7, 9
    logs = np.full((len(labels), k), -50.0)
    logs[np.arange(len(labels)), predictions] = 0.0
    names = [f"c{i}" for i in range(k)]
    result = evaluate_predictions(logs, labels, names, dataset="d", split="test")
    assert drawn_part(result) == (
        ["c3", "c7", "c9"],
        [[5, 2, 1], [0, 8, 0], [0, 0, 8]],
        [8, 8, 8],
    )
    only = replace(result, confused_pairs=result.confused_pairs[:1])
    classes, cells, totals = drawn_part(only)
    assert (classes, cells, totals) == (["c3", "c7"], [[5, 2], [0, 8]], [8, 8])
    assert worst_rate(cells, totals) == 2 / 8
    chart = confusion_chart(classes, cells, totals)
    assert "true c3, predicted c7: 2 of 8 (25.0\xa0%)" in chart
    assert "Confusion matrix of 2 chosen classes: 13 of 16 images on the diagonal" in chart
    right = replace(result, confused_pairs=())
    assert drawn_part(right) == ([], [], [])
