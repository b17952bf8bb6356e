"""Resampling as two matrix products: antialiased bilinear, as Pillow's BILINEAR defines it.

A row of n_in pixels becomes n_out by weighted means; the weights are a triangle around each new
pixel's place, as wide as two old pixels, or as two new ones where the row shrinks:

    out[i] = Σ_j w[i, j] · in[j],   w[i, j] ∝ max(0, 1 − |j + ½ − (i + ½) · s| / max(s, 1)),
    s = n_in / n_out, each row of w with the sum 1

Pillow resizes single files by these weights and rounds to whole grey levels after each direction;
a batch is resampled in float32 and not rounded. They differ by one grey level at most.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt


@lru_cache(maxsize=8)  # a network needs two
def weights(n_in: int, n_out: int) -> npt.NDArray[np.float32]:
    """The matrix that resamples n_in pixels to n_out: float32, n_out × n_in, read-only.

    Computed in float64 and rounded once.

    >>> weights(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    step = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * step
    distance = np.abs(np.arange(n_in) + 0.5 - centres[:, None])
    triangle = np.maximum(0.0, 1.0 - distance / max(step, 1.0))
    matrix: npt.NDArray[np.float32] = (triangle / triangle.sum(axis=1, keepdims=True)).astype(
        np.float32
    )
    matrix.flags.writeable = False
    return matrix


def resample(images: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Images, float32 … × H × W, resampled to `size` (height, width): Wy @ (image @ Wxᵀ)."""
    height, width = images.shape[-2:]
    if width != size[1]:
        images = np.matmul(images, weights(width, size[1]).T)
    if height != size[0]:
        images = np.matmul(weights(height, size[0]), images)
    result: npt.NDArray[np.float32] = images
    return result
