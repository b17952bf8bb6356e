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

RGB = tuple[int, int, int]

ACTIVATION_COLOURS: tuple[RGB, RGB] = ((46, 120, 200), (232, 119, 20))
"""Negative, positive."""

WEIGHT_COLOURS: tuple[RGB, RGB] = ((140, 86, 190), (38, 145, 82))

_STEPS = 31  # shades on each side of zero: 63 palette entries keep each picture small


def hex_colour(colour: RGB) -> str:
    """
    >>> hex_colour((255, 0, 16))
    '#ff0010'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def data_uri(image: Image.Image) -> str:
    """The picture as a `data:` URI in PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


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


def largest(values: npt.NDArray[np.float32]) -> float:
    """The largest absolute value that is finite; 0 where there is none."""
    sizes = np.abs(values[np.isfinite(values)])
    return float(sizes.max()) if sizes.size else 0.0
