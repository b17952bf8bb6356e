"""Red beside green: two classes that differ in an order of colours, and in a place.

After Kayhan & van Gemert 2020, "On Translation Invariance in CNNs: Convolutional Layers Can
Exploit Absolute Spatial Location", section 4.1: class 0 has a red square to the left of a green
one, class 1 a green one to the left of a red one. While training, class 0 lies in the upper half
and class 1 in the lower one, so that the place gives the class away as well. With the places
swapped, a network that uses the place is wrong, and one that cannot see it is as good as before.

Ours are the images `places`: there the order of the colours is drawn at random, so that the place
is the only thing that tells the classes apart.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from convscope.data.dataset import Dataset, Splits
from convscope.seeds import derive_seed

SIZE, SIDE = 32, 6
CLASSES = ("red then green, above", "green then red, below")
PLACES = ("above", "below")
TRAIN, TEST = 2000, 1000
_NOISE = 40


def read_squares(*, train: int = TRAIN, test: int = TEST, seed: int = 0) -> Splits:
    """Training and test images, uint8 N × 3 × 32 × 32, the classes in turn."""
    return Splits(train=draw("train", train, seed), test=draw("test", test, seed))


def read_places(*, train: int = TRAIN, test: int = TEST, seed: int = 0) -> Splits:
    """The same with the order of the colours at random: only the place tells the class."""
    return Splits(
        train=draw("train", train, seed, any_order=True),
        test=draw("test", test, seed, any_order=True),
    )


def draw(
    split: str, count: int, seed: int, *, swapped: bool = False, any_order: bool = False
) -> Dataset:
    """`count` images of a split.

    Args:
        split: `train` or `test`.
        count: how many.
        seed: of all that is drawn.
        swapped: class 0 below and class 1 above.
        any_order: the order of the colours has nothing to do with the class.
    """
    labels = np.arange(count, dtype=np.int64) % 2
    images = []
    for index, label in enumerate(labels):
        own = derive_seed(seed, "squares", split, index)
        order = derive_seed(own, "order") % 2 if any_order else label
        images.append(_image(int(order), bool(label) != swapped, own))
    name, classes = ("places", PLACES) if any_order else ("squares", CLASSES)
    pixels = np.stack(images)
    return Dataset(
        name=name,
        split=split,
        images=pixels,
        labels=labels,
        classes=classes,
        provenance={
            "format": "synthetic",
            "source": f"drawn by convscope, seed {seed}",
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        },
    )


def _image(order: int, below: bool, seed: int) -> npt.NDArray[np.uint8]:
    generator = np.random.Generator(np.random.PCG64(seed))
    pixels = generator.integers(0, _NOISE, (3, SIZE, SIZE), dtype=np.uint8)
    half = SIZE // 2
    top = half * below + int(generator.integers(0, half - SIDE + 1))
    left = int(generator.integers(0, half - SIDE + 1))
    right = half + int(generator.integers(0, half - SIDE + 1))
    colours = (0, 1) if order == 0 else (1, 0)
    for column, colour in zip((left, right), colours, strict=True):
        pixels[:, top : top + SIDE, column : column + SIDE] = 0
        pixels[colour, top : top + SIDE, column : column + SIDE] = 255
    return pixels
