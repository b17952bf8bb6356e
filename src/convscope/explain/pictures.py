"""The pictures of an explanation, drawn by matplotlib.

Only its object-oriented interface is used: no global figure or backend is touched. They are drawn
inside `plain_style()`. Importing matplotlib takes a second, so import this module only to draw.
"""

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from convscope.text import plot_text

FloatArray = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_DPI = 130
_INK, _GREY, _BLUE, _EMPTY = "#1c2127", "#5a626c", "#1f62c2", "#f1f3f6"
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#0b4aa2", "#8fb7ea", "#fafafa", "#f2a66d", "#a13a00"]
)
_POSITIVE = LinearSegmentedColormap.from_list(
    "positive", ["#0d1526", "#1f62c2", "#6db1d8", "#f7f2c8"]
)
_HEAT = LinearSegmentedColormap.from_list("heat", ["#fafafa", "#f7c59f", "#d9641e", "#7a1f00"])
_BLOCK, _GAP, _CAPTION, _MARGIN = 2.3, 0.3, 0.42, 0.3
"""Inches: a picture's side, between pictures, the two lines above one, the sheet's border."""
_ACROSS = 5
"""Pictures in a row, at most."""
_SHOWN = 16
"""Maps of a layer, at most: the strongest."""


def plain_style() -> AbstractContextManager[None]:
    """matplotlib's default style, whatever a `matplotlibrc` says here or in the user's home."""
    style: AbstractContextManager[None] = matplotlib.style.context("default")
    return style


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in scripts that the font lacks: matplotlib draws a box for such a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def maps_figure(
    image: FloatArray, layers: Mapping[str, FloatArray], guesses: Mapping[str, float]
) -> Figure:
    """The way of an image: its input, the strongest maps of every layer, the likeliest classes.

    Args:
        image: C × H × W, what the network sees.
        layers: the maps of each layer, maps × height × width.
        guesses: probabilities of classes, the likeliest first.
    """
    sheet = _Sheet(len(layers) + 2)
    axes = sheet.block("input", _by(image.shape))
    _photo(axes, image)
    for name, maps in layers.items():
        order = np.argsort(-np.abs(maps).mean(axis=(1, 2)), kind="stable")[:_SHOWN]
        count = "" if len(order) == len(maps) else f", the {len(order)} strongest"
        axes = sheet.block(name, f"{_by(maps.shape)}{count}")
        _values(axes, mosaic(maps[np.sort(order)]))
    _bars(sheet.block("prediction", "probability", inset=0.75), guesses)
    return sheet.figure


def attributions_figure(
    image: FloatArray, found: Mapping[str, FloatArray], class_name: str
) -> Figure:
    """What speaks for a class, pixel by pixel, by every method.

    Args:
        image: C × H × W, what the network sees.
        found: by method, C × H × W or H × W.
        class_name: whose score is explained.
    """
    sheet = _Sheet(len(found) + 1)
    _photo(sheet.block("input", f"what speaks for {class_name}?"), image)
    for method, values in found.items():
        signed = bool(values.min() < 0)
        if values.ndim == 3:
            values = values.sum(axis=0) if signed else values.max(axis=0)
        axes = sheet.block(method, "orange for, blue against" if signed else "the darker, the more")
        axes.imshow(_pale(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        high = float(np.quantile(np.abs(values), 0.995)) or 1.0  # few pixels may stand far out
        share = np.clip(values / high, -1, 1)
        colours = _SIGNED((share + 1) / 2) if signed else _HEAT(share)
        colours[..., 3] = np.sqrt(np.abs(share))
        axes.imshow(colours, interpolation="nearest")
    return sheet.figure


def neighbours_figure(
    image: FloatArray, guess: str, pictures: Sequence[Pixels], captions: Sequence[tuple[str, str]]
) -> Figure:
    """The image, and beside it those of training that the network finds most alike.

    Args:
        image: C × H × W, what the network sees. guess: its class, as predicted.
        pictures: uint8, C × H × W. captions: class and distance of each.
    """
    sheet = _Sheet(len(pictures) + 1)
    _photo(sheet.block("input", f"taken for {guess}"), image)
    for picture, (title, text) in zip(pictures, captions, strict=True):
        _photo(sheet.block(title, text), picture.astype(np.float32))
    return sheet.figure


class _Sheet:
    """A figure of equal blocks in rows, each with two lines above it."""

    def __init__(self, blocks: int) -> None:
        self._rows = math.ceil(blocks / _ACROSS)
        self._columns = math.ceil(blocks / self._rows)
        self._width = 2 * _MARGIN + self._columns * (_BLOCK + _GAP) - _GAP
        self._height = 2 * _MARGIN + self._rows * (_BLOCK + _CAPTION + _GAP) - _GAP
        self.figure = Figure(figsize=(self._width, self._height), dpi=_DPI, facecolor="white")
        self._next = 0

    def block(self, title: str, text: str, inset: float = 0.0) -> Axes:
        """The next block's axes, `inset` inches from its left."""
        row, column = divmod(self._next, self._columns)
        self._next += 1
        left = _MARGIN + column * (_BLOCK + _GAP)
        top = self._height - _MARGIN - row * (_BLOCK + _CAPTION + _GAP)
        x, y = left / self._width, top / self._height
        line = _CAPTION / 2 / self._height
        for shown, below, size, weight, colour in (
            (title, 0.0, 9.5, "bold", _INK),
            (text, 0.9 * line, 8.0, "normal", _GREY),
        ):
            self.figure.text(
                x, y - below, plot_text(shown), fontsize=size, weight=weight, color=colour, va="top"
            )
        bottom = top - _CAPTION - _BLOCK
        box = (left + inset, bottom, _BLOCK - inset, _BLOCK)
        across, up = self._width, self._height
        axes = self.figure.add_axes((box[0] / across, box[1] / up, box[2] / across, box[3] / up))
        axes.set_axis_off()
        axes.set_anchor("NW")
        return axes


def _photo(axes: Axes, image: npt.NDArray[Any]) -> None:
    """An image, its darkest value black and its brightest white."""
    scaled = _scaled(image)
    picture = scaled.transpose(1, 2, 0) if len(scaled) == 3 else scaled[0]
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _scaled(image: npt.NDArray[Any]) -> FloatArray:
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / (high - low or 1.0), dtype=np.float32)


def _pale(image: FloatArray) -> FloatArray:
    """An image as a light ground for colours: what differs from its middle grey is darker."""
    grey = _scaled(image).mean(axis=0)
    ink = np.abs(grey - np.median(grey))
    return np.asarray(1 - 0.3 * ink / (ink.max() or 1.0), dtype=np.float32)


def _values(axes: Axes, canvas: FloatArray) -> None:
    """Maps on one scale: with neutral at zero where there are negative values."""
    low, high = float(np.nanmin(canvas)), float(np.nanmax(canvas))
    signed = low < 0
    bound = max(-low, high) or 1.0
    colours = (_SIGNED if signed else _POSITIVE).with_extremes(bad=_EMPTY)
    axes.imshow(
        canvas, cmap=colours, vmin=-bound if signed else 0, vmax=bound, interpolation="nearest"
    )
    scale = f"{low:.3g} to {high:.3g}"
    axes.text(0, -0.02, scale, transform=axes.transAxes, fontsize=6.5, color=_GREY, va="top")


def _bars(axes: Axes, guesses: Mapping[str, float]) -> None:
    axes.set_axis_on()
    names, values = list(guesses), list(guesses.values())
    axes.barh(range(len(names)), values, color=_BLUE, height=0.62)
    axes.set_yticks(range(len(names)), [plot_text(name, 12) for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=_INK)
    for place, value in enumerate(values):
        axes.text(value + 0.03, place, f"{value:.1%}", fontsize=8, color=_GREY, va="center")


def mosaic(maps: FloatArray) -> FloatArray:
    """Maps, n × h × w, in rows of about √n, with a thin gap of NaN between.

    >>> mosaic(np.ones((4, 60, 60), np.float32)).shape
    (121, 121)
    """
    times = max(1, 48 // maps.shape[2])  # pixels are repeated, so that the gap is thin
    maps = maps.repeat(times, axis=1).repeat(times, axis=2)
    count, height, width = maps.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    gap = max(1, width // 16) if times > 1 else 1
    canvas = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, np.float32
    )
    for index, one in enumerate(maps):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = one
    return canvas


def _by(shape: Sequence[int]) -> str:
    return f"{shape[0]} @ {shape[1]} × {shape[2]}"
