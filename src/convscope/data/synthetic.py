"""`shapes`: ten classes of coloured shapes, drawn by a program. Synthetic, for offline work.

Each image depends on the seed, its split and its index alone: position, size, rotation, colours
and a background of a gradient and noise. The shapes are drawn four times as large and reduced,
so that their edges are smooth.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from convscope.data.dataset import Dataset
from convscope.errors import InputError
from convscope.seeds import derive_seed

CLASSES = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "diamond",
    "hexagon",
    "crescent",
    "arrow",
)
MIN_SIDE, MAX_SIDE = 8, 1024
_SCALE = 4
_MAX_TURN = math.radians(20)
_NOISE = 24
_CONTRAST = 90  # least distance of the shape's colour from the background's, of 0 to 255

Floats = npt.NDArray[np.float64]
Points = list[tuple[float, float]]


def read_shapes(
    *, size: tuple[int, int] = (32, 32), train: int = 5000, test: int = 1000, seed: int = 0
) -> dict[str, Dataset]:
    """The synthetic data set, uint8 N × 3 × height × width, classes in turn.

    Args:
        size: height and width in pixels, 8 to 1024 each.
        train: number of training images, at least 10.
        test: number of test images, at least 10.
        seed: 0 or more.

    Raises:
        InputError: size or numbers out of range.
    """
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise InputError(
            f"shapes of {size[0]} × {size[1]} pixels; allowed are {MIN_SIDE} to {MAX_SIDE} each"
        )
    if min(train, test) < len(CLASSES):
        raise InputError(
            f"{train} training and {test} test shapes; allowed are at least {len(CLASSES)} each"
        )
    return {
        split: _dataset(split, count, size, seed)
        for split, count in (("train", train), ("test", test))
    }


def draw_shape(label: int, size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """One image of class `label`, uint8 3 × height × width, the same for the same seed."""
    height, width = size
    raw = np.random.PCG64(seed).random_raw(16 + 3 * height * width // 8 + 1)
    chance: Floats = (raw[:16] >> np.uint64(11)).astype(np.float64) * 2.0**-53  # 0 ≤ x < 1
    noise = raw[16:].view(np.uint8)[: 3 * height * width].reshape(height, width, 3)
    back, front = _colours(chance[:6])
    radius = min(size) * (0.26 + 0.14 * chance[6])
    centre = (
        radius + (width - 2 * radius) * chance[7],
        radius + (height - 2 * radius) * chance[8],
    )
    mask = coverage(label, size, centre, radius, (2 * chance[9] - 1) * _MAX_TURN)
    pixels = _background(back, chance[10:13], size)
    pixels += (front - pixels) * mask[:, :, None]
    pixels += (noise / 255.0 - 0.5) * _NOISE
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8).transpose(2, 0, 1)


def _dataset(split: str, count: int, size: tuple[int, int], seed: int) -> Dataset:
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    images = np.empty((count, 3, *size), dtype=np.uint8)
    for index, label in enumerate(labels):
        images[index] = draw_shape(int(label), size, derive_seed(seed, "shapes", split, index))
    return Dataset(
        name="shapes",
        split=split,
        images=images,
        labels=labels,
        classes=CLASSES,
        provenance={
            "format": "synthetic",
            "source": f"drawn by convscope, seed {seed}: no photographs",
            "licence": "CC0 1.0",
            "citation": "",
            "sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        },
    )


def _colours(
    chance: Floats,
) -> tuple[Floats, Floats]:
    """A background and a colour that stands out from it, in at least one channel."""
    back, front = chance[:3] * 255, chance[3:6] * 255
    if np.abs(front - back).max() < _CONTRAST:
        front = np.where(back < 128, back + _CONTRAST, back - _CONTRAST)
    return back, front


def _background(colour: Floats, chance: Floats, size: tuple[int, int]) -> Floats:
    """A linear gradient around `colour` in a random direction."""
    height, width = size
    angle, strength = 2 * math.pi * chance[0], 30 * chance[1]
    across = np.linspace(-1, 1, width)[None, :] * math.cos(angle)
    down = np.linspace(-1, 1, height)[:, None] * math.sin(angle)
    pixels: Floats = colour + strength * (across + down)[:, :, None]
    return pixels


def coverage(
    label: int,
    size: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    turn: float,
) -> Floats:
    """How much of each pixel a shape covers: float64, height × width, 0 to 1.

    Args:
        label: the class.
        size: height and width in pixels.
        centre: x and y in pixels, from the top left corner.
        radius: of the circle around the shape, in pixels.
        turn: radians, clockwise as seen.
    """
    height, width = size
    image = Image.new("L", (width * _SCALE, height * _SCALE))
    draw = ImageDraw.Draw(image)
    cos, sin = math.cos(turn), math.sin(turn)

    def place(points: Points) -> Points:
        return [
            (
                _SCALE * (centre[0] + radius * (x * cos - y * sin)),
                _SCALE * (centre[1] + radius * (x * sin + y * cos)),
            )
            for x, y in points
        ]

    for value, points in _OUTLINES[CLASSES[label]]():
        draw.polygon(place(points), fill=value)
    return np.asarray(image.reduce(_SCALE), dtype=np.float64) / 255


def _circle(radius: float = 1.0, x: float = 0.0) -> Points:
    return [(x + radius * a, radius * b) for a, b in _regular(32)]


def _regular(corners: int, start: float = -math.pi / 2) -> Points:
    """The corners of a regular polygon in the unit circle, the first one at the top."""
    steps = [start + 2 * math.pi * corner / corners for corner in range(corners)]
    return [(math.cos(angle), math.sin(angle)) for angle in steps]


def _star() -> Points:
    return [
        (x * (1 if corner % 2 == 0 else 0.42), y * (1 if corner % 2 == 0 else 0.42))
        for corner, (x, y) in enumerate(_regular(10))
    ]


def _cross() -> Points:
    a, b = 0.32, 0.95
    return [
        (-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a),
        (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a),
    ]  # fmt: skip


def _arrow() -> Points:
    return [(-1, -0.22), (0.1, -0.22), (0.1, -0.7), (1, 0), (0.1, 0.7), (0.1, 0.22), (-1, 0.22)]


# Polygons of each class in a unit circle, y down: 255 adds to the shape, 0 cuts out.
_OUTLINES: dict[str, Callable[[], list[tuple[int, Points]]]] = {
    "circle": lambda: [(255, _circle(0.9))],
    "square": lambda: [(255, [(-0.78, -0.78), (0.78, -0.78), (0.78, 0.78), (-0.78, 0.78)])],
    "triangle": lambda: [(255, _regular(3))],
    "star": lambda: [(255, _star())],
    "cross": lambda: [(255, _cross())],
    "ring": lambda: [(255, _circle(0.95)), (0, _circle(0.55))],
    "diamond": lambda: [(255, [(0, -1), (0.58, 0), (0, 1), (-0.58, 0)])],
    "hexagon": lambda: [(255, _regular(6))],
    "crescent": lambda: [(255, _circle(0.95)), (0, _circle(0.8, x=0.5))],
    "arrow": lambda: [(255, _arrow())],
}
