"""Colour noise: the principal axes of a training set's colours, and moving along them."""

from fractions import Fraction

import numpy as np
import torch

from convscope.data.dataset import Images
from convscope.errors import InputError

_RGB = (0, 1, 2)

MOST_IMAGES, MOST_PIXELS = 20_000, 2**28
"""So many images at most, evenly spaced, tell the colour axes: more would not change them."""


def colour_axes(images: Images) -> torch.Tensor:
    """The principal axes of the RGB values of all pixels: what colour noise moves along.

    Krizhevsky et al. 2012, section 4.1, add [p1 p2 p3][a1 λ1, a2 λ2, a3 λ3]ᵀ to every pixel of an
    image, with p and λ the eigenvectors and eigenvalues of the RGB covariance and a drawn from
    N(0, 0.1). Taken by the letter, on pixels from 0 to 255, λ are variances: the noise would be
    hundreds of grey levels. The authors' code (`ColorNoiseMakerThread` in convdata.py of
    cuda-convnet2) multiplies by what it calls stdevs, so λ is read here as the square root of the
    eigenvalue: a few grey levels, and the same whatever the unit of a pixel.

    Sums are exact integers, so that the result depends on nothing but the pixels.

    Args:
        images: uint8, N × 3 × H × W, at least one.

    Returns:
        float32, 3 × 3 (channel × axis), in grey levels: each column is an eigenvector times the
        standard deviation of the pixels along it, the largest first.

    Raises:
        InputError: no images, or images without three channels.
    """
    n, channels, height, width = images.shape
    if n == 0 or channels != 3:
        raise InputError(
            f"colour noise was asked for {n} images of {channels} channels; allowed: at least one "
            "image, of 3 channels. Leave colour_noise at 0 for grey images"
        )
    kept = max(1, min(n, MOST_IMAGES, MOST_PIXELS // (height * width)))
    chosen = np.arange(kept) * n // kept
    step = max(1, 2**20 // (height * width))
    total, squares = np.zeros(3), np.zeros((3, 3))
    for start in range(0, kept, step):
        part = np.asarray(images[chosen[start : start + step]])
        values = part.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64)
        # Whole numbers below 2⁵³: float64 adds them without rounding, in any order.
        total += values.sum(axis=1)
        squares += values @ values.T
    pixels, sums = kept * height * width, [int(value) for value in total]
    covariance = [
        [float(Fraction(int(squares[i, j]) * pixels - sums[i] * sums[j], pixels**2)) for j in _RGB]
        for i in _RGB
    ]
    variances, vectors = np.linalg.eigh(np.array(covariance))
    vectors = vectors[:, ::-1]  # eigh sorts the smallest first, and leaves the sign open
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), _RGB])
    deviations = np.sqrt(np.maximum(variances[::-1], 0.0))
    return torch.from_numpy((vectors * deviations).astype(np.float32))


def add_colour(images: torch.Tensor, amounts: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    """Images whose pixels have all moved by one colour, each image by its own.

    Args:
        images: uint8 or float32, N × 3 × H × W. Of uint8 the colour is rounded to whole grey
            levels, and the result ends at 0 and 255.
        amounts: float32, N × 3: how far along each axis.
        axes: of `colour_axes`.
    """
    # Elementwise sums: a matrix product may add in another order for another batch size, and an
    # image must come out the same in any batch.
    along = [amounts[:, axis, None] * axes[:, axis] for axis in _RGB]
    colour = (along[0] + along[1] + along[2])[:, :, None, None]
    if images.dtype != torch.uint8:
        return images + colour
    levels = colour.round().clamp_(-255, 255).to(torch.int16)
    # In bytes all along, half the memory of int16: first bounded so that the sum stays within 0 to
    # 255; then a negative level wraps around to its complement, and the sum back.
    lowest, highest = (-levels).clamp_(min=0), (255 - levels).clamp_(max=255)
    moved = images.maximum(lowest.to(torch.uint8))
    torch.minimum(moved, highest.to(torch.uint8), out=moved)
    return moved.add_((levels & 255).to(torch.uint8))
