"""Which pixels of a picture are kept, and how many they become. Pillow images and sizes."""

from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Aspect = Literal["stretch", "cover"]
"""How a picture of other proportions becomes a size; see `preprocess.conform`."""

_LARGEST_PASS = 256_000_000  # pixels between the two directions of Pillow's resizing


def centre(size: tuple[int, int], window: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the central `window` of a picture; the odd pixel is below and right.

    >>> centre((5, 8), (2, 8))
    (slice(1, 3, None), slice(0, 8, None))
    """
    top, left = ((whole - part) // 2 for whole, part in zip(size, window, strict=True))
    return slice(top, top + window[0]), slice(left, left + window[1])


def conform_image(
    image: Image.Image, channels: int | None, size: tuple[int, int] | None, aspect: Aspect
) -> npt.NDArray[np.uint8]:
    """As `preprocess.conform`, of a Pillow image of mode L or RGB: uint8 C × H × W."""
    if channels == 1 and image.mode == "RGB":
        image = image.convert("L")
    if size is not None and (image.height, image.width) != size:
        image = _resized(image, size, aspect)
    pixels = np.atleast_3d(np.asarray(image))
    if channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)  # after resizing: a third of the work, same pixels
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _resized(image: Image.Image, size: tuple[int, int], aspect: Aspect) -> Image.Image:
    height, width = size
    left, top, right, bottom = 0.0, 0.0, float(image.width), float(image.height)
    if aspect == "cover":
        left, top, right, bottom = _covering(image.size, (width, height))
    bilinear = Image.Resampling.BILINEAR
    if image.height * width > _LARGEST_PASS:  # Pillow's first pass: a bomb if thin and tall
        image = image.resize((image.width, height), bilinear, (0, top, image.width, bottom))
        top, bottom = 0.0, float(height)
    return image.resize((width, height), bilinear, (left, top, right, bottom))


def _covering(old: tuple[int, int], new: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of a picture, left, top, right, bottom, that becomes `new`; in exact fractions."""
    scale = max(Fraction(new[0], old[0]), Fraction(new[1], old[1]))
    starts = [(whole * scale - part) // 2 / scale for whole, part in zip(old, new, strict=True)]
    ends = [start + part / scale for start, part in zip(starts, new, strict=True)]
    return float(starts[0]), float(starts[1]), float(ends[0]), float(ends[1])
