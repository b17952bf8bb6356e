"""Arrays as PNG pictures inside the page, and the colours that stand for numbers.

Values with a sign are drawn in two colours whose opacity is the size of the value, so that
zero is exactly the page itself, in light and in dark. Weights and activations have a pair of
colours each; both pairs stay apart for colour-blind readers (blue and orange, purple and green).
"""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from convscope.text import html_text

RGB = tuple[int, int, int]

ACTIVATION_COLOURS: tuple[RGB, RGB] = ((46, 120, 200), (232, 119, 20))
"""Negative, positive."""

WEIGHT_COLOURS: tuple[RGB, RGB] = ((140, 86, 190), (38, 145, 82))

_COARSE, _LARGEST, _QUALITY = 64, 192, 85
"""Up to 64 pixels a side an image is shown pixel by pixel; larger ones as a JPEG of at most 192."""

_STEPS = 31  # shades on each side of zero: 63 palette entries keep each picture small


def hex_colour(colour: RGB) -> str:
    """
    >>> hex_colour((255, 0, 16))
    '#ff0010'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def data_uri(image: Image.Image, kind: str = "png") -> str:
    """The picture as a `data:` URI in PNG or JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=_QUALITY)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def photo_html(image: npt.NDArray[np.uint8], alt: str, classes: str = "") -> str:
    """An `img` of a uint8 image, C × H × W: small ones exactly, with every pixel a square.

    A photograph is scaled down to about twice the size it has on the page: forty mistakes at 227
    pixels a side would weigh six megabytes.
    """
    picture = photo(image)
    if max(picture.size) <= _COARSE:
        kind, uri = "pixels", data_uri(picture)
    else:
        picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BILINEAR)
        kind, uri = "smooth", data_uri(picture, "jpeg")
    return f'<img class="{f"{kind} {classes}".strip()}" src="{uri}" alt="{html_text(alt)}">'


def colour_levels(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """A filter for RGB, 3 × h × w, as a picture, h × w × 3: 128 is zero, 1 and 255 the largest.

    >>> kernel = np.array([[[-2.0]], [[0.0]], [[1.0]]], np.float32)
    >>> colour_levels(kernel).tolist()
    [[[1, 128, 192]]]
    """
    limit = largest(kernel) or 1.0
    scaled = np.clip(np.nan_to_num(kernel / limit), -1, 1)
    levels: npt.NDArray[np.uint8] = (np.rint(127 * scaled) + 128).astype(np.uint8)
    return np.moveaxis(levels, 0, -1).copy()


def colour_filter(kernel: npt.NDArray[np.float32]) -> Image.Image:
    """The picture of a filter for RGB, 3 × h × w, on its own scale around mid grey."""
    return Image.fromarray(colour_levels(kernel))


def photo(image: npt.NDArray[np.uint8]) -> Image.Image:
    """The picture of a uint8 image, C × H × W with C 1 (grey) or 3 (RGB)."""
    return Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, -1).copy())


def signed_levels(values: npt.NDArray[np.float32], limit: float) -> npt.NDArray[np.uint8]:
    """`values` from −limit to limit as shades 0 to 62; 31 is zero. Not a number counts as zero.

    >>> signed_levels(np.array([-2.0, -1.0, 0.0, 0.5, 1.0], np.float32), 1.0).tolist()
    [0, 0, 31, 47, 62]
    """
    if not limit > 0:
        return np.full(values.shape, _STEPS, np.uint8)
    scaled = np.clip(np.nan_to_num(values / limit), -1, 1) * _STEPS
    levels: npt.NDArray[np.uint8] = (np.rint(scaled) + _STEPS).astype(np.uint8)
    return levels


def signed(values: npt.NDArray[np.float32], limit: float, colours: tuple[RGB, RGB]) -> Image.Image:
    """The picture of a float array, h × w: transparent at 0, opaque at ±`limit`."""
    image = Image.fromarray(signed_levels(values, limit), "P")
    palette = bytearray()
    for step in range(-_STEPS, _STEPS + 1):
        colour = colours[0] if step < 0 else colours[1]
        palette += bytes((*colour, round(255 * abs(step) / _STEPS)))
    image.putpalette(bytes(palette), "RGBA")
    return image


def strongest(maps: npt.NDArray[np.float32], most: int) -> npt.NDArray[np.int64]:
    """Positions of the `most` maps, maps × h × w, with the largest mean absolute value, in order.

    >>> strongest(np.array([[[1.0]], [[-3.0]], [[2.0]]], np.float32), 2).tolist()
    [1, 2]
    """
    strength = np.abs(np.nan_to_num(maps)).mean(axis=(1, 2))
    return np.sort(np.argsort(-strength, kind="stable")[:most])


def largest(values: npt.NDArray[np.float32]) -> float:
    """The largest absolute value that is finite; 0 where there is none."""
    sizes = np.abs(values[np.isfinite(values)])
    return float(sizes.max()) if sizes.size else 0.0
