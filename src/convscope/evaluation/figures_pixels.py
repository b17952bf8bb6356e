"""Pictures of pixels by matplotlib: mistakes, filters, feature maps.

Many small pictures are put into one array and drawn at once: an axes for each would take
seconds.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from convscope.evaluation.pixels import (
    ACTIVATION_COLOURS,
    RGB,
    WEIGHT_COLOURS,
    colour_levels,
    hex_colour,
    largest,
    photo,
    strongest,
)
from convscope.evaluation.report_input import FeatureMaps, ReportInput
from convscope.text import plot_text

_DPI = 120
_MISTAKES, _FILTERS, _MAPS = 24, 64, 16
_COLOUR_FILTERS, _COLOUR_COLUMNS = 96, 16
_BLOCK, _TALL = 2.0, 2.2  # width and height in inches of a layer's block of maps

FloatArray = npt.NDArray[np.float32]


def mosaic(tiles: Sequence[FloatArray], columns: int, *, gap: int) -> FloatArray:
    """Equal tiles, h × w or h × w × 3, in rows of `columns` with `gap` pixels of NaN between.

    >>> one = np.ones((1, 1), np.float32)
    >>> mosaic([one, 2 * one, 3 * one], columns=2, gap=0).tolist()
    [[1.0, 2.0], [3.0, nan]]
    """
    height, width, *channels = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *channels)
    canvas = np.full(shape, np.nan, np.float32)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _enlarged(tiles: npt.NDArray[np.float32]) -> FloatArray:
    """Tiles, n × h × w, whose pixels are repeated, so that a gap is thin beside them."""
    times = max(1, 48 // tiles.shape[2])
    return tiles.repeat(times, axis=1).repeat(times, axis=2)


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure whose coordinates are inches from its upper left corner."""
    figure = Figure(figsize=(width, height), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.autoscale(enable=False)
    return figure, axes


def _box(
    picture: npt.NDArray[np.generic], left: float, top: float, width: float, height: float
) -> tuple[float, float, float, float]:
    """The extent of a picture in a box of the sheet: as large as fits, its shape kept."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    return (left, left + picture.shape[1] * scale, top + picture.shape[0] * scale, top)


def _show_photo(
    axes: Axes, image: npt.NDArray[np.uint8], left: float, top: float, side: float
) -> None:
    picture = np.asarray(photo(image))
    extent = _box(picture, left, top, side, side)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=extent)


def mistakes_figure(report: ReportInput) -> Figure | None:
    """The most confident mistakes, with their true class and what they were taken for."""
    mistakes = report.evaluation.mistakes[:_MISTAKES]
    if not mistakes:
        return None
    columns = min(6, len(mistakes))
    side, step, caption = 1.3, 1.7, 0.34
    tall = side + caption + 0.15
    figure, axes = _sheet(step * columns + 0.3, tall * math.ceil(len(mistakes) / columns) + 0.2)
    pictures = report.mistake_images[: len(mistakes)]
    for index, (mistake, picture) in enumerate(zip(mistakes, pictures, strict=True)):
        left, top = 0.3 + step * (index % columns), 0.2 + tall * (index // columns)
        _show_photo(axes, picture, left, top + caption, side)
        guess = f"{plot_text(mistake.predicted, 16)}  {mistake.probability:.1%}"
        text = f"{plot_text(mistake.true, 12)} taken for\n{guess}"
        axes.text(left, top, text, fontsize=8, va="top", clip_on=True)
    return figure


def filters_figure(report: ReportInput) -> Figure | None:
    """The filters of the first convolution: of RGB in colour, each on its own scale.

    Of other numbers of channels on one scale, channels side by side.
    """
    filters = report.filters
    if filters is None or not filters.size:
        return None
    if filters.shape[1] == 3:
        return _colour_filters(filters[:_COLOUR_FILTERS])
    channels = min(filters.shape[1], 3)
    tiles = [
        mosaic(list(_enlarged(kernel[:channels])), channels, gap=2) for kernel in filters[:_FILTERS]
    ]
    columns = min(len(tiles), 8 if channels == 1 else 4)
    rows = math.ceil(len(tiles) / columns)
    across = 8.0 * columns / (8 if channels == 1 else 4)
    figure = Figure(
        figsize=(across + 1.2, max(1.4, rows * across / columns / channels + 0.3)),
        dpi=_DPI,
        layout="constrained",
    )
    axes = figure.add_subplot()
    axes.set_axis_off()
    limit = largest(filters) or 1.0
    shown = _show_signed(axes, mosaic(tiles, columns, gap=8), limit, WEIGHT_COLOURS)
    bar = figure.colorbar(shown, ax=axes, ticks=[-limit, 0, limit], format="%.3g", pad=0.02)
    bar.outline.set_visible(False)
    return figure


def _colour_filters(filters: FloatArray) -> Figure:
    """Sixteen to a row, each a picture in its own colours around mid grey."""
    times = max(1, 48 // filters.shape[3])
    tiles = [
        (colour_levels(kernel).astype(np.float32) / np.float32(255))
        .repeat(times, axis=0)
        .repeat(times, axis=1)
        for kernel in filters
    ]
    grid = mosaic(tiles, min(len(tiles), _COLOUR_COLUMNS), gap=max(2, tiles[0].shape[1] // 12))
    width = 10.0 * min(len(tiles), _COLOUR_COLUMNS) / _COLOUR_COLUMNS + 0.2
    figure, axes = _sheet(width, (width - 0.2) * grid.shape[0] / grid.shape[1] + 0.2)
    extent = _box(grid, 0.1, 0.1, width - 0.2, figure.get_figheight() - 0.2)
    axes.imshow(np.nan_to_num(grid, nan=1.0), interpolation="nearest", extent=extent)
    return figure


def feature_maps_figure(report: ReportInput) -> Figure | None:
    """The maps of each image, a row for each; data flows from left to right."""
    drawn = report.feature_maps
    if not drawn:
        return None
    blocks = 1 + max(len(maps.layers) for maps in drawn)
    figure, axes = _sheet(_BLOCK * blocks + 0.2, _TALL * len(drawn) + 0.1)
    for row, maps in enumerate(drawn):
        _flow(axes, maps, 0.1 + _TALL * row)
    return figure


def _flow(axes: Axes, maps: FeatureMaps, top: float) -> None:
    side, title = _BLOCK - 0.25, 0.22
    _show_photo(axes, maps.image, 0.2, top + title, side)
    axes.text(0.2, top, f"input: {plot_text(maps.true, 20)}", fontsize=9, va="top", clip_on=True)
    for place, (name, values) in enumerate(maps.layers.items(), 1):
        left, tiles = 0.2 + _BLOCK * place, list(_enlarged(values[strongest(values, _MAPS)]))
        total, height, width = values.shape
        grid = mosaic(tiles, math.ceil(len(tiles) / 4), gap=3)
        extent = _box(grid, left, top + title, side, side)
        _show_signed(axes, grid, largest(values) or 1.0, ACTIVATION_COLOURS, extent)
        text = f"{plot_text(name, 16)}: {total} × {height} × {width}"
        axes.text(left, top, text, fontsize=9, va="top", clip_on=True)


def _show_signed(
    axes: Axes,
    values: FloatArray,
    limit: float,
    colours: tuple[RGB, RGB],
    extent: tuple[float, float, float, float] | None = None,
) -> AxesImage:
    """Draw an array in two colours with white at zero and in the gaps between tiles."""
    stops = [hex_colour(colours[0]), "#ffffff", hex_colour(colours[1])]
    ramp = LinearSegmentedColormap.from_list("signed", stops).with_extremes(bad="white")
    return axes.imshow(
        values, cmap=ramp, vmin=-limit, vmax=limit, interpolation="nearest", extent=extent
    )
