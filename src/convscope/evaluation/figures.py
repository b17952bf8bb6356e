"""The pictures of a report as PNG files, drawn by matplotlib.

Only its object-oriented interface is used: no global figure or backend is touched. The style is its
default, whatever a `matplotlibrc` in the user's home or in the current directory says.
Importing matplotlib takes about a second, so import this module only to write pictures.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convscope.evaluation.chart_confusion import NAMED, NUMBERED, drawn_part, worst_rate
from convscope.evaluation.figures_pixels import (
    feature_maps_figure,
    filters_figure,
    mistakes_figure,
)
from convscope.evaluation.markup import finite
from convscope.evaluation.report_input import ReportInput
from convscope.files import write_atomically
from convscope.text import plot_text

_DPI = 120
_BLUE, _ORANGE, _GREY = "#1f62c2", "#b85300", "#5a626c"


def write_figures(report: ReportInput, directory: Path) -> list[Path]:
    """Write the pictures for which the report has numbers to `directory`.

    Of `training.png`, `confusion.png`, `calibration.png`, `robustness.png`, `mistakes.png`,
    `filters.png`, `feature-maps.png` those are left out whose subject is empty.

    Returns:
        The files written.

    Raises:
        InputError: the directory cannot be written to.
    """
    drawings: dict[str, Callable[[ReportInput], Figure | None]] = {
        "training": _training,
        "confusion": _confusion,
        "calibration": _calibration,
        "robustness": _robustness,
        "mistakes": mistakes_figure,
        "filters": filters_figure,
        "feature-maps": feature_maps_figure,
    }
    paths = []
    with matplotlib.style.context("default"):
        for name, draw in drawings.items():
            figure = draw(report)
            if figure is not None:
                path = directory / f"{name}.png"
                write_atomically(path, _png(figure))
                paths.append(path)
    return paths


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=_DPI)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in scripts that the font lacks: matplotlib draws a box for such a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _clean(axes: Axes, title: str, x_label: str, *, grid: bool = True) -> None:
    axes.set_title(plot_text(title, 60), loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(plot_text(x_label, 60), color=_GREY)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelcolor=_GREY)
    if grid:
        axes.grid(axis="y", color="#e2e5ea")
        axes.set_axisbelow(True)


def _training(report: ReportInput) -> Figure | None:
    if not report.history:
        return None
    figure = _figure(11, 3.4)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.9, bottom=0.16, wspace=0.2)
    epochs = [finite(row.get("epoch")) or 0.0 for row in report.history]
    panels = (
        ("Loss", {"training": "loss", "validation": "validation_loss"}),
        ("Accuracy", {"training": "train_accuracy", "validation": "validation_accuracy"}),
        ("Learning rate", {"learning rate": "learning_rate"}),
    )
    for place, (title, columns) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 3, place)
        drawn = 0
        for (label, key), colour in zip(columns.items(), (_BLUE, _ORANGE), strict=False):
            # matplotlib leaves a gap where a value is NaN.
            values = [finite(row.get(key)) for row in report.history]
            if any(value is not None for value in values):
                ys = [np.nan if value is None else value for value in values]
                axes.plot(epochs, ys, color=colour, marker="o", markersize=3, label=label)
                drawn += 1
        _clean(axes, title, "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if title == "Accuracy":
            axes.yaxis.set_major_formatter("{x:.0%}")
        if drawn > 1:
            axes.legend(frameon=False, labelcolor=_GREY)
    return figure


def _ramp(*colours: str) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("ramp", colours)


def _confusion(report: ReportInput) -> Figure | None:
    classes, confusion, images = drawn_part(report.evaluation)
    if not classes:
        return None
    counts = np.array(confusion, dtype=np.float64)
    k = len(counts)
    totals = np.array(images, dtype=np.float64)[:, None]
    rates = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    diagonal = np.eye(k, dtype=bool)
    size = float(np.clip(2.5 + 0.42 * k, 4.5, 10))
    figure = _figure(size, size)
    figure.set_layout_engine("constrained")  # names of the classes may be long
    axes = figure.add_subplot()
    worst = worst_rate(confusion, images) or 1.0
    right = _ramp("#f3f5f9", "#d5e0ee")
    wrong = _ramp("#fde6cb", "#f09a45", "#7d2d04")
    axes.imshow(np.ma.masked_where(~diagonal | (counts == 0), rates), cmap=right, vmin=0, vmax=1)
    axes.imshow(np.ma.masked_where(diagonal | (counts == 0), rates), cmap=wrong, vmin=0, vmax=worst)
    every = 1 if k <= NAMED else -(-k // 20)
    places = list(range(0, k, every))
    names = [plot_text(classes[i], 14) for i in places]
    tilted = max(map(len, names)) > 2
    axes.set_xticks(places, names, rotation=90 if tilted else 0)
    axes.set_yticks(places, names)
    axes.tick_params(length=0, labelcolor=_GREY, labelsize=9 if k <= NUMBERED else 7)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.set_xlabel("predicted", color=_GREY)
    axes.set_ylabel("true", color=_GREY)
    axes.spines[:].set_color("#e2e5ea")
    if k <= NUMBERED:
        for i, j in np.argwhere(counts > 0):
            dark = i != j and rates[i, j] > 0.6 * worst
            colour = "white" if dark else "#16191d"
            axes.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", color=colour)
    return figure


def _calibration(report: ReportInput) -> Figure:
    bins = [one for one in report.evaluation.calibration.bins if one.count]
    figure = _figure(5, 6)
    figure.subplots_adjust(left=0.15, right=0.96, top=0.94, bottom=0.1)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    upper.plot([0, 1], [0, 1], linestyle=(0, (3, 3)), color=_GREY, linewidth=1)
    confidence = [one.confidence or 0.0 for one in bins]
    accuracy = [one.accuracy or 0.0 for one in bins]
    upper.vlines(confidence, confidence, accuracy, color=_BLUE, alpha=0.45)
    upper.plot(confidence, accuracy, "o", color=_BLUE)
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("share that is right", color=_GREY)
    upper.yaxis.set_major_formatter("{x:.0%}")
    _clean(upper, f"Calibration error {report.evaluation.calibration.ece:.2%}", "")
    middles = [(one.lower + one.upper) / 2 for one in bins]
    widths = [0.92 * (one.upper - one.lower) for one in bins]
    lower.bar(middles, [one.count for one in bins], widths, color=_BLUE, alpha=0.45)
    lower.set_ylabel("images", color=_GREY)
    lower.xaxis.set_major_formatter("{x:.0%}")
    _clean(lower, "", "stated confidence", grid=False)
    return figure


def _robustness(report: ReportInput) -> Figure | None:
    curves = [curve for curve in report.evaluation.robustness if curve.points]
    if not curves:
        return None
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = _figure(5.2 * columns, 3.4 * rows)
    figure.subplots_adjust(
        left=0.13 / columns,
        right=1 - 0.03 / columns,
        top=1 - 0.1 / rows,
        bottom=0.17 / rows,
        hspace=0.4,
    )
    for place, curve in enumerate(curves, 1):
        axes = figure.add_subplot(rows, columns, place)
        x = [point.x for point in curve.points]
        low, high = zip(*(point.interval for point in curve.points), strict=True)
        axes.fill_between(x, low, high, color=_BLUE, alpha=0.16, linewidth=0)
        accuracy = [point.accuracy for point in curve.points]
        agreement = [point.agreement for point in curve.points]
        axes.plot(x, accuracy, color=_BLUE, marker="o", markersize=3, label="accuracy")
        axes.plot(x, agreement, color=_ORANGE, linestyle="--", label="same answer")
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter("{x:.0%}")
        _clean(axes, curve.label, curve.unit)
        if place == 1:
            axes.legend(frameon=False, labelcolor=_GREY)
    return figure
