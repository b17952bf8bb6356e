"""Find the same picture twice: its pixels, not its file, are compared."""

import hashlib

import numpy as np
import numpy.typing as npt

from convscope.data.dataset import Dataset


def pixel_digest(pixels: npt.NDArray[np.uint8]) -> bytes:
    """16 bytes that two images share if, and in practice only if, their pixels are equal."""
    shape = ",".join(map(str, pixels.shape)).encode()
    return hashlib.blake2b(pixels.tobytes(), digest_size=16, key=shape).digest()


def image_names(dataset: Dataset) -> tuple[str, ...]:
    """The file of each image, or `#7` for the image at index 7 of data without files."""
    return dataset.files or tuple(f"#{index}" for index in range(len(dataset)))


def duplicates_across(train: Dataset, test: Dataset) -> list[tuple[str, str]]:
    """Images of `test` that are in `train` too, pixel for pixel.

    Returns:
        A pair (name in train, name in test) for each such test image, in the order of `test`;
        of several copies in `train` the first is named.
    """
    first: dict[bytes, int] = {}
    for index, image in enumerate(train.images):
        first.setdefault(pixel_digest(image), index)
    known, asked = image_names(train), image_names(test)
    pairs = ((first.get(pixel_digest(image)), asked[i]) for i, image in enumerate(test.images))
    return [(known[index], name) for index, name in pairs if index is not None]
