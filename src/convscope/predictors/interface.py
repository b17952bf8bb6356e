"""What every predictor has, and what they share."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from convscope.data.images import MAX_PIXELS
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError

Images = npt.NDArray[np.uint8]


class Predictor(Protocol):
    """A trained network that is ready to answer, from several threads at once.

    Attributes:
        classes: their names, in the order of the probabilities.
        preprocessing: from the pixels of a file to the network's input.
        largest_batch: images that may go through the network together, so that what its layers
            give stays within bounded memory; at least 1.
        shown: where it came from, safe to print.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def largest_batch(self) -> int: ...
    @property
    def shown(self) -> str: ...

    def read(self, data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Images:
        """A picture as `probabilities` takes it: uint8 C × H × W, of the preprocessing's size.

        Args:
            data: the bytes of a file, or a path.
            max_pixels: of the file's picture, at most; checked before it is decoded.

        Raises:
            InputError: what is wrong with the picture, in plain words.
        """
        ...

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """N × classes, each row with the sum 1.

        Args:
            images: uint8, N × C × H × W as `read` gives them, N at least 1 and at most
                `largest_batch`.

        Raises:
            InputError: images of another shape or type.
        """
        ...


def check_images(images: Images, predictor: Predictor) -> None:
    """Refuse what `Predictor.probabilities` does not take.

    Raises:
        InputError: with what is allowed.
    """
    p = predictor.preprocessing
    wanted = (p.channels, *p.size)
    most = predictor.largest_batch
    if images.dtype != np.uint8 or images.shape[1:] != wanted or not 1 <= len(images) <= most:
        raise InputError(
            f"images are {images.dtype} {images.shape}; allowed: uint8, N × "
            f"{' × '.join(map(str, wanted))}, N from 1 to {most}"
        )
