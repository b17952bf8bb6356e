"""Preprocessing: from the pixels of a file to the numbers a model takes.

    file → channels, size, aspect → uint8 → [crop] → [resize] → normalise, with the border around

It is part of the model: stored with it, and the same wherever the model is used. NumPy and
Pillow only; `batches.to_input` does the same in torch, with the same bits where nothing is
resized in the batch.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from convscope.data.geometry import Aspect as Aspect
from convscope.data.geometry import centre, conform_image
from convscope.data.images import MAX_PIXELS, read_image
from convscope.data.resample import resample
from convscope.data.stored import Images, blocks
from convscope.errors import InputError

MAX_VALUE = 255  # of a uint8 pixel
MAX_SIDE = 4096

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Border = Annotated[int, Field(ge=0, le=1024)]
Mean = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Constants = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Preprocessing(BaseModel):
    """What is done to every image before the model sees it: crop, resize, pad, normalise.

    MNIST's 28 × 28 digits reach LeNet-5's 32 × 32 input by a border of 2 (LeCun et al. 1998,
    section II.B); the paper's levels, background −0.1 and ink 1.175, are mean 0.1 / 1.275 and
    std 1 / 1.275:

    >>> p = Preprocessing(
    ...     channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1 / 1.275,), std=(1 / 1.275,)
    ... )
    >>> p.input_shape
    (1, 32, 32)

    Krizhevsky et al. 2012, section 2: the shorter side scaled to 256, the central 256 × 256 kept;
    the network sees 224 × 224 of it:

    >>> half = (0.5, 0.5, 0.5)
    >>> p = Preprocessing(
    ...     channels=3, size=(256, 256), aspect="cover", crop=(224, 224), mean=half, std=half
    ... )
    >>> p.input_shape
    (3, 224, 224)

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        size: height and width of the picture as it is kept, in uint8 pixels, 1 to 4096.
        aspect: how a file of other proportions becomes `size`, see `conform`.
        crop: height and width of the window that the model sees, at most `size`: the picture's
            centre, or in training a random one. None is the whole picture.
        resize: height and width that the window is resampled to in the batch (antialiased
            bilinear, `resample`), 1 to 4096. None leaves it.
        padding: width of the border in pixels, left, right, top, bottom, 0 to 1024 each.
        fill: grey level of the border, 0 (black) to 255 (white).
        mean: for each channel, subtracted from pixel / 255.
        std: for each channel, what the difference is divided by, more than 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3]
    size: tuple[Side, Side]
    aspect: Aspect = "stretch"
    crop: tuple[Side, Side] | None = None
    resize: tuple[Side, Side] | None = None
    padding: tuple[Border, Border, Border, Border] = (0, 0, 0, 0)
    fill: Annotated[int, Field(ge=0, le=MAX_VALUE)] = 0
    mean: tuple[Mean, ...]
    std: tuple[Deviation, ...]

    @model_validator(mode="after")
    def _one_of_each_for_every_channel(self) -> "Preprocessing":
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(
                    f"{name} has {len(values)} values; allowed: {self.channels}, one a channel"
                )
        for mean, std in zip(self.mean, self.std, strict=True):
            largest = max(1.0, abs(mean)) / std
            if not largest < float(np.finfo(np.float32).max):
                raise ValueError(f"mean {mean} and std {std} leave the range of float32")
        return self

    @model_validator(mode="after")
    def _sides_fit(self) -> "Preprocessing":
        if self.crop and (self.crop[0] > self.size[0] or self.crop[1] > self.size[1]):
            raise ValueError(
                f"crop is {_by(self.crop)}; allowed: at most the size, {_by(self.size)}"
            )
        _, height, width = self.input_shape
        if max(height, width) > MAX_SIDE:
            raise ValueError(
                f"the input is {_by((height, width))} with its border; allowed: at most "
                f"{_by((MAX_SIDE, MAX_SIDE))}"
            )
        return self

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the model's input, border included."""
        left, right, top, bottom = self.padding
        height, width = self.resize or self.crop or self.size
        return self.channels, top + height + bottom, left + width + right


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def conform(
    pixels: npt.NDArray[np.uint8],
    channels: int | None,
    size: tuple[int, int] | None,
    aspect: Aspect = "stretch",
) -> npt.NDArray[np.uint8]:
    """One image, uint8 H × W × C (C 1 or 3), as uint8 C × H × W of these channels and this size.

    First the channels: RGB becomes grey by ITU-R 601 luma, as Pillow's mode "L"
    (0.299 R + 0.587 G + 0.114 B); grey becomes RGB by three equal channels. Then the size
    (height, width): bilinear, antialiased where it shrinks (Pillow's BILINEAR). None leaves
    channels or size as they are.

    Args:
        aspect: `stretch` keeps the whole picture and gives up its proportions. `cover` keeps the
            proportions: the picture is scaled by max(height / H, width / W), so that it just
            covers the size, and what is too long is cut off on both sides, above or on the left
            a whole number of pixels of the scaled picture, rounded down.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise InputError(
            f"the image is {pixels.dtype} {pixels.shape}; allowed: uint8, H × W × C, C 1 or 3"
        )
    squeezed = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return conform_image(Image.fromarray(np.ascontiguousarray(squeezed)), channels, size, aspect)


def read_resized(
    source: Path | bytes, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """`resize` of what `images.decode` reads, without an array of the whole picture in between.

    Raises:
        InputError: what is wrong with the file.
    """
    p = preprocessing
    return conform_image(read_image(source, max_pixels=max_pixels), p.channels, p.size, p.aspect)


def resize(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """One decoded image, uint8 H × W × C, as uint8 C × H × W of the model's picture.

    Channels, size and aspect as in `conform`; the rest is done by `normalise`.
    """
    p = preprocessing
    return conform(pixels, p.channels, p.size, p.aspect)


def window(
    shape: tuple[int, ...], dtype: object, preprocessing: Preprocessing
) -> tuple[slice, slice]:
    """Rows and columns of what the model sees of images of this shape, N × C × H × W.

    They are of the preprocessing's size, or already of its crop's.

    Raises:
        InputError: the images are of another kind.
    """
    p = preprocessing
    seen = p.crop or p.size
    if str(dtype).removeprefix("torch.") == "uint8" and len(shape) == 4:
        if shape[1:] == (p.channels, *seen):
            return slice(None), slice(None)
        if shape[1:] == (p.channels, *p.size):
            return centre(p.size, seen)
    sizes = " or ".join(
        f"(N, {p.channels}, {height}, {width})" for height, width in dict.fromkeys((p.size, seen))
    )
    raise InputError(f"images are {dtype} {shape}; allowed: uint8, {sizes}: resize them first")


def constants(preprocessing: Preprocessing) -> Constants:
    """Scale and shift, float32, one a channel: normalised = pixel × scale + shift.

    Computed in float64 and rounded once, so NumPy and torch use the same bits.
    """
    mean = np.asarray(preprocessing.mean, dtype=np.float64)
    std = np.asarray(preprocessing.std, dtype=np.float64)
    with np.errstate(over="ignore"):  # by a deviation of 1e308 everything becomes 0
        return (1.0 / (MAX_VALUE * std)).astype(np.float32), (-mean / std).astype(np.float32)


def normalise(
    images: npt.NDArray[np.uint8], preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    """The model's input: images with their border, (pixel / 255 − mean) / std in each channel.

    Computed in float32 as pixel × scale, then + shift: two operations, each rounded, so every
    implementation gives the same bits. What is resized is not rounded to whole grey levels.

    Args:
        images: uint8, N × C × H × W, of the preprocessing's channels, and of its size (then the
            central crop is taken) or already of its crop's.

    Returns:
        float32, N × C × H' × W', of the preprocessing's `input_shape`.
    """
    rows, columns = window(images.shape, images.dtype, preprocessing)
    pixels = images[:, :, rows, columns]
    left, right, top, bottom = preprocessing.padding
    _, height, width = preprocessing.input_shape
    scale, shift = constants(preprocessing)
    shape = (len(images), *preprocessing.input_shape)
    result = np.full(shape, preprocessing.fill, dtype=np.float32)
    result[:, :, top : height - bottom, left : width - right] = (
        resample(pixels.astype(np.float32), preprocessing.resize)
        if preprocessing.resize
        else pixels
    )
    result *= scale[:, None, None]
    result += shift[:, None, None]
    return result


_AT_ONCE = 2**17
"""Pixels whose sums are formed at once: they fit into the second-level cache."""


def measure(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixel / 255 in each channel, over all images.

    Exact up to the last rounding: the pixels are counted in integers. The deviation is the
    population's (divided by N). A channel of one single value has no deviation; it gets 1.0,
    so that it can be divided by.

    Args:
        images: uint8, N × C × H × W, at least one pixel.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"images are {images.dtype} {images.shape}; allowed: uint8, N × C × H × W, "
            "at least one image"
        )
    sums = [(0, 0)] * images.shape[1]
    for part in blocks(images):
        for channel, (total, squares) in enumerate(sums):
            levels = part[:, channel].ravel()
            for start in range(0, len(levels), _AT_ONCE):
                # Whole numbers below 2⁵³: float64 adds them exactly, and quickly.
                some = levels[start : start + _AT_ONCE].astype(np.float64)
                total, squares = total + int(some.sum()), squares + int(some @ some)
            sums[channel] = total, squares
    pixels = images.shape[0] * images.shape[2] * images.shape[3]
    moments = [_moments(pixels, *both) for both in sums]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _moments(pixels: int, total: int, squares: int) -> tuple[float, float]:
    """Mean and deviation of pixel / 255, from the sums of the pixels and of their squares."""
    mean = Fraction(total, pixels * MAX_VALUE)
    variance = Fraction(squares * pixels - total * total, (pixels * MAX_VALUE) ** 2)
    return float(mean), math.sqrt(variance) if variance else 1.0
