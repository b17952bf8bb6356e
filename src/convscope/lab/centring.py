"""A drawing made to look as MNIST's digits do, which a network trained on them expects.

http://yann.lecun.com/exdb/mnist: the bilevel originals were "size normalized to fit in a 20x20
pixel box while preserving their aspect ratio", which made them grey by antialiasing, and "centered
in a 28x28 image by computing the center of mass of the pixels, and translating the image so as to
position this point at the center of the 28x28 field".
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

BOX, FIELD = 20, 28
"""Sides, in pixels, of the box that the ink fills and of the picture around it."""
FAINT = 1 / 8
"""Pixels below this share of the brightest are no ink where the bounding box is found: the soft
edge of a brush, or a camera's noise. They are kept in the picture."""

Grey = npt.NDArray[np.uint8]


def centre_drawing(drawing: Grey) -> Grey:
    """White ink on black as MNIST has it, uint8 28 × 28.

    The ink's bounding box is scaled so that its longer side has 20 pixels, and moved by whole
    pixels until its centre of mass lies in pixel (14, 14), counted from 0: there MNIST has it,
    so its digits come out as they went in. Ink that would then lie outside the field is cut off;
    that takes a drawing whose mass is almost all at one end.

    Args:
        drawing: uint8 H × W, ink bright, ground black. Without ink the field stays black.
    """
    field = np.zeros((FIELD, FIELD), dtype=np.uint8)
    ink = _bounding_box(drawing)
    if ink is None:
        return field
    scaled = _scaled(ink)
    top, left = (FIELD // 2 - int(centre) for centre in _centre_of_mass(scaled))
    rows, columns = _overlap(top, scaled.shape[0]), _overlap(left, scaled.shape[1])
    field[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop] = scaled[
        rows, columns
    ]
    return field


def _bounding_box(drawing: Grey) -> Grey | None:
    """The rectangle that holds all ink; None without any."""
    ink = drawing > drawing.max(initial=0) * FAINT
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return None
    return drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: Grey) -> Grey:
    """The ink with its longer side at 20 pixels: each pixel the mean of what it covers."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    if (height, width) == ink.shape:
        return ink
    shrinks = height <= ink.shape[0] and width <= ink.shape[1]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(ink)).resize((width, height), how))


def _centre_of_mass(ink: Grey) -> tuple[float, float]:
    """Row and column, in coordinates in which pixel 0 reaches from 0 to 1."""
    mass = ink.astype(np.float64)
    rows, columns = (np.arange(side) + 0.5 for side in mass.shape)
    total = mass.sum()
    return float(mass.sum(axis=1) @ rows / total), float(mass.sum(axis=0) @ columns / total)


def _overlap(start: int, length: int) -> slice:
    """Which of `length` pixels, placed at `start`, lie inside the field."""
    return slice(max(0, -start), min(length, FIELD - start))
