"""The order of an epoch, its batches, and the way from pixels to a network's input."""

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from convscope.data.dataset import Images
from convscope.data.preprocess import Preprocessing, constants, window
from convscope.data.resample import weights
from convscope.kernels.normalise import normalise
from convscope.seeds import derive_seed


def as_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """The array's memory as a tensor, shared and not copied: a data set is only ever read.

    Torch has no read-only tensors and warns of it; nothing here writes into one.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def epoch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """A permutation of 0 … n − 1, int64, that depends on nothing but its arguments.

    Args:
        n: number of images.
        seed: of the run.
        epoch: counted from 0.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(n, generator=generator)


def batches(
    labels: torch.Tensor,
    order: torch.Tensor,
    batch_size: int,
    share: Callable[[int], slice] = slice,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of an epoch: (indices, labels), the last one smaller if need be.

    Args:
        labels: int64, N.
        order: which images, in which order.
        batch_size: 1 or more.
        share: from the number of images in a batch to those that are wanted of it.
    """
    for first in range(0, len(order), batch_size):
        indices = order[first : first + batch_size]
        indices = indices[share(len(indices))]
        yield indices, labels[indices]


def take(images: Images, indices: torch.Tensor) -> torch.Tensor:
    """The images at `indices`, uint8, n × C × H × W, from memory or from disk."""
    if isinstance(images, np.ndarray):
        return as_tensor(images).index_select(0, indices)  # an image at a time, not a pixel
    return torch.from_numpy(images[indices.numpy()])


def to_input(
    images: torch.Tensor,
    preprocessing: Preprocessing,
    *,
    batch_last: bool = False,
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """The model's input for a batch of uint8 images: what `preprocess.normalise` gives.

    The bits are the same where nothing is resized; else the last ones of float32 differ.

    Args:
        images: uint8, N × C × H × W, of the preprocessing's channels, and of its size (then the
            central crop is taken) or already of its crop's.
        batch_last: whether the result lies in the order that the kernels read, where it is made
            in one pass: the same values.
        rows: int64, n: which images, in which order; all by default.

    Returns:
        float32, n × C × H' × W', of the preprocessing's `input_shape`.
    """
    seen = (slice(None), slice(None), *window(tuple(images.shape), images.dtype, preprocessing))
    some = len(images if rows is None else rows) > 0  # of none, nothing is a kernel's
    in_one_pass = batch_last and some and not preprocessing.resize
    if rows is not None and (preprocessing.crop or not in_one_pass):
        images, rows = images.index_select(0, rows), None
    images = images[seen]
    if in_one_pass:
        border, fill = preprocessing.padding, preprocessing.fill
        return normalise(images, *constants(preprocessing), border, fill, rows)
    if preprocessing.resize:
        images = resample(images.float(), preprocessing.resize)
    if any(preprocessing.padding):
        images = F.pad(images, preprocessing.padding, value=preprocessing.fill)
    scale, shift = (torch.from_numpy(value).view(-1, 1, 1) for value in constants(preprocessing))
    # Multiply, then add: a fused operation would round once and give other bits.
    return images.float().mul_(scale.to(images.device)).add_(shift.to(images.device))


def resample(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images, float32 N × C × H × W, resampled to `size` (height, width): Wy @ (image @ Wxᵀ).

    Columns first: the large product is then a batch of small ones, which is faster than one of
    very many rows. In float32 inside an autocast region too: the 8 bits of bfloat16 are too few
    for means of grey levels.
    """
    height, width = images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):
        if width != size[1]:
            images = images @ _weights(width, size[1], images.device).T
        if height != size[0]:
            images = _weights(height, size[0], images.device) @ images
    return images


@lru_cache(maxsize=8)
def _weights(n_in: int, n_out: int, device: torch.device) -> torch.Tensor:
    return as_tensor(weights(n_in, n_out)).to(device)
