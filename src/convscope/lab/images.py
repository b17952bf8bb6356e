"""From what a client sends to the uint8 picture that the network's preprocessing takes."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from convscope.data.images import decode
from convscope.data.preprocess import Preprocessing, conform, resize
from convscope.lab.centring import centre_drawing
from convscope.web.answers import Refusal

MAX_SIDE = 4096

Pixels = npt.NDArray[np.uint8]


def from_raw(body: bytes, height: int, width: int, channels: int) -> Pixels:
    """Raw pixels, row by row, as uint8 H × W × C.

    Raises:
        Refusal: 400, sizes out of range, or another number of bytes.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and channels in (1, 3)):
        raise Refusal(
            400,
            f"the picture is {height} × {width} with {channels} channels; allowed: sides from 1 "
            f"to {MAX_SIDE}, channels 1 or 3",
        )
    if len(body) != height * width * channels:
        raise Refusal(
            400,
            f"the body has {len(body):,} bytes; {height} × {width} × {channels} pixels are "
            f"{height * width * channels:,}",
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(height, width, channels)


def from_file(body: bytes) -> Pixels:
    """The pixels of an image file, uint8 H × W × C, decoded as everywhere in the project.

    Raises:
        InputError: what is wrong with it.
        Refusal: 413, a side of more than 4096 pixels.
    """
    pixels = decode(body, max_pixels=MAX_SIDE * MAX_SIDE)
    if max(pixels.shape[:2]) > MAX_SIDE:
        raise Refusal(
            413, f"the picture is {pixels.shape[0]} × {pixels.shape[1]}; allowed: {MAX_SIDE} a side"
        )
    return pixels


def prepare(
    pixels: Pixels, preprocessing: Preprocessing, *, centre: bool = False, invert: bool = False
) -> Pixels:
    """The picture that the network's preprocessing takes, uint8 C × H × W.

    Args:
        pixels: uint8 H × W × C.
        centre: make it look as MNIST's digits do (`centring`); for one-channel networks.
        invert: first exchange black and white: dark ink on light ground.

    Raises:
        Refusal: 400, centring for a network of three channels.
    """
    if invert:
        pixels = 255 - pixels
    if centre:
        if preprocessing.channels != 1:
            raise Refusal(400, "centring is for networks with one channel: switch it off")
        pixels = centre_drawing(conform(pixels, 1, None)[0])[:, :, None]
    return resize(pixels, preprocessing)


def png(picture: Pixels) -> bytes:
    """A picture, uint8 C × H × W with C 1 or 3, as a PNG file."""
    image = Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0).copy())
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue()
