"""Preprocessing: from the pixels of a file to the numbers a model takes.

It is part of the model: stored with it, and the same wherever the model is used. NumPy and
Pillow only; `batches.to_input` gives the same bits in torch.
"""

import math
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from convscope.errors import InputError

MAX_VALUE = 255  # of a uint8 pixel

Side = Annotated[int, Field(ge=1, le=4096)]
Border = Annotated[int, Field(ge=0, le=1024)]
Mean = Annotated[float, Field(allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Constants = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Preprocessing(BaseModel):
    """What is done to every image before the model sees it: resize, pad, normalise.

    MNIST's 28 × 28 digits reach LeNet-5's 32 × 32 input by a border of 2 (LeCun et al. 1998,
    section II.B); the paper's levels, background −0.1 and ink 1.175, are mean 0.1 / 1.275 and
    std 1 / 1.275:

    >>> p = Preprocessing(
    ...     channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1 / 1.275,), std=(1 / 1.275,)
    ... )
    >>> p.input_shape
    (1, 32, 32)

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        size: height and width of the picture itself in pixels, 1 to 4096.
        padding: width of the border in pixels, left, right, top, bottom, 0 to 1024 each.
        fill: grey level of the border, 0 (black) to 255 (white).
        mean: for each channel, subtracted from pixel / 255.
        std: for each channel, what the difference is divided by, more than 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3]
    size: tuple[Side, Side]
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

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the model's input, border included."""
        left, right, top, bottom = self.padding
        height, width = self.size
        return self.channels, top + height + bottom, left + width + right


def conform(
    pixels: npt.NDArray[np.uint8], channels: int | None, size: tuple[int, int] | None
) -> npt.NDArray[np.uint8]:
    """One image, uint8 H × W × C (C 1 or 3), as uint8 C × H × W of these channels and this size.

    First the channels: RGB becomes grey by ITU-R 601 luma, as Pillow's mode "L"
    (0.299 R + 0.587 G + 0.114 B); grey becomes RGB by three equal channels. Then the size
    (height, width): bilinear, antialiased where it shrinks (Pillow's BILINEAR). The whole
    picture is kept and its aspect ratio is not. None leaves channels or size as they are.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise InputError(
            f"the image is {pixels.dtype} {pixels.shape}; allowed: uint8, H × W × C, C 1 or 3"
        )
    if channels == 1 and pixels.shape[2] == 3:
        grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
        pixels = np.asarray(grey)[:, :, None]
    if size is not None and pixels.shape[:2] != size:
        height, width = size
        picture = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        resized = Image.fromarray(np.ascontiguousarray(picture)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        pixels = np.asarray(resized).reshape(height, width, -1)
    if channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)  # after resizing: a third of the work, same pixels
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """One decoded image, uint8 H × W × C, as uint8 C × H × W of the model's picture.

    Channels and size as in `conform`; the border is added by `normalise`.
    """
    return conform(pixels, preprocessing.channels, preprocessing.size)


def constants(preprocessing: Preprocessing) -> Constants:
    """Scale and shift, float32, one a channel: normalised = pixel × scale + shift.

    Computed in float64 and rounded once, so NumPy and torch use the same bits.
    """
    mean = np.asarray(preprocessing.mean, dtype=np.float64)
    std = np.asarray(preprocessing.std, dtype=np.float64)
    return (1.0 / (MAX_VALUE * std)).astype(np.float32), (-mean / std).astype(np.float32)


def normalise(
    images: npt.NDArray[np.uint8], preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    """The model's input: images with their border, (pixel / 255 − mean) / std in each channel.

    Computed in float32 as pixel × scale, then + shift: two operations, each rounded, so every
    implementation gives the same bits.

    Args:
        images: uint8, N × C × H × W, of the preprocessing's channels and size.

    Returns:
        float32, N × C × H' × W', of the preprocessing's `input_shape`.
    """
    allowed = (preprocessing.channels, *preprocessing.size)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != allowed:
        raise InputError(
            f"images are {images.dtype} {images.shape}; allowed: uint8, (N, "
            f"{', '.join(map(str, allowed))}): resize them first"
        )
    left, right, top, bottom = preprocessing.padding
    _, height, width = preprocessing.input_shape
    scale, shift = constants(preprocessing)
    shape = (len(images), *preprocessing.input_shape)
    result = np.full(shape, preprocessing.fill, dtype=np.float32)
    result[:, :, top : height - bottom, left : width - right] = images
    result *= scale[:, None, None]
    result += shift[:, None, None]
    return result


def measure(images: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixel / 255 in each channel, over all images.

    Exact up to the last rounding: the pixels are counted in integers. The deviation is the
    population's (divided by N). A channel of one single value has no deviation; it gets 1.0,
    so that it can be divided by.

    Args:
        images: uint8, N × C × H × W, at least one pixel.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        raise InputError(
            f"images are {images.dtype} {images.shape}; allowed: uint8, N × C × H × W, "
            "at least one image"
        )
    moments = [_moments(images[:, channel]) for channel in range(images.shape[1])]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _moments(channel: npt.NDArray[np.uint8]) -> tuple[float, float]:
    counts = np.zeros(MAX_VALUE + 1, dtype=np.int64)
    for start in range(0, len(channel), 1024):  # in parts: bincount widens its input to int64
        part = channel[start : start + 1024].ravel()
        counts += np.bincount(part, minlength=MAX_VALUE + 1)
    histogram = [int(count) for count in counts]
    pixels = sum(histogram)
    total = sum(value * count for value, count in enumerate(histogram))
    squares = sum(value * value * count for value, count in enumerate(histogram))
    mean = Fraction(total, pixels * MAX_VALUE)
    variance = Fraction(squares * pixels - total * total, (pixels * MAX_VALUE) ** 2)
    return float(mean), math.sqrt(variance) if variance else 1.0
