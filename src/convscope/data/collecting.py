"""Take decoded images one by one and keep them as rows of one shape."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from convscope.data.decoding import Decoder
from convscope.data.preprocess import conform
from convscope.data.rows import Rows, Shape
from convscope.errors import InputError
from convscope.text import printable

Pixels = npt.NDArray[np.uint8]


class Collector:
    """Images in the order in which they come, all of one shape at the end.

    Nobody knows the shape beforehand: an image in colour after grey ones gives all of them three
    channels, and where small images keep their own size, the first of another size brings all to
    the size asked for. Then those already kept are made anew from themselves: they are what was
    decoded, so the result is that of conforming each file.

    Attributes:
        rows: those kept; None before the first.
    """

    def __init__(self, decoder: Decoder, open_rows: Callable[[Shape], Rows]) -> None:
        self.rows: Rows | None = None
        self._decoder, self._open = decoder, open_rows
        self._sizes: Counter[tuple[int, int]] = Counter()

    def add(self, pixels: Pixels) -> None:
        """Keep one more image, uint8 C × H × W."""
        channels, height, width = pixels.shape
        self._sizes[height, width] += 1
        if self.rows is None:
            self.rows = self._open((channels, height, width))
        size = self._size(height, width)
        if size is None:
            return  # only to be counted: an error is certain
        wanted = (max(channels, self.rows.shape[0]), *size)
        if wanted != self.rows.shape:
            self._reopen(wanted)
        self.rows.append(self._fit(pixels))

    def check(self, name: str) -> None:
        """Raise InputError if images that were to keep their sizes have several."""
        if self._decoder.target.size is None and len(self._sizes) > 1:
            common = self._sizes.most_common(3)
            shown = ", ".join(f"{h} × {w} ({n})" for (h, w), n in common)
            raise InputError(
                f"the images in '{printable(name)}' have {len(self._sizes)} different sizes "
                f"(height × width: {shown}{', …' if len(self._sizes) > 3 else ''}): give the size "
                "they are to be resized to"
            )

    def close(self) -> None:
        """Give back what the rows took, but for what is in use."""
        if self.rows is not None:
            self.rows.close()

    def _size(self, height: int, width: int) -> tuple[int, int] | None:
        assert self.rows is not None
        if self.rows.shape[1:] == (height, width) and len(self._sizes) == 1:
            return height, width
        self._decoder.native = False
        return self._decoder.target.size

    def _reopen(self, shape: Shape) -> None:
        old = self.rows
        assert old is not None
        self.rows = self._open(shape)
        try:
            for pixels in old:
                self.rows.append(self._fit(pixels))
        finally:
            old.close()

    def _fit(self, pixels: Pixels) -> Pixels:
        assert self.rows is not None
        channels, height, width = self.rows.shape
        if pixels.shape == self.rows.shape:
            return pixels
        aspect = self._decoder.target.aspect
        return conform(pixels.transpose(1, 2, 0), channels, (height, width), aspect)
