"""The order of an epoch, its batches, and the way from pixels to a network's input."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F

from convscope.data.preprocess import Preprocessing, constants
from convscope.errors import InputError
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
    images: torch.Tensor,
    labels: torch.Tensor,
    order: torch.Tensor,
    batch_size: int,
    start: int = 0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The batches of an epoch: (indices, images, labels), the last one smaller if need be.

    Args:
        images: uint8, N × C × H × W.
        labels: int64, N.
        order: which images, in which order.
        batch_size: 1 or more.
        start: batches to leave out at the beginning; those an interrupted run has done.
    """
    for first in range(start * batch_size, len(order), batch_size):
        indices = order[first : first + batch_size]
        yield indices, images[indices], labels[indices]


def to_input(images: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """The model's input for a batch of uint8 images; the same bits as `preprocess.normalise`.

    Args:
        images: uint8, N × C × H × W, of the preprocessing's channels and size.

    Returns:
        float32, N × C × H' × W', of the preprocessing's `input_shape`.
    """
    allowed = (preprocessing.channels, *preprocessing.size)
    if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != allowed:
        raise InputError(
            f"images are {images.dtype} {tuple(images.shape)}; allowed: uint8, (N, "
            f"{', '.join(map(str, allowed))}): resize them first"
        )
    if any(preprocessing.padding):
        images = F.pad(images, preprocessing.padding, value=preprocessing.fill)
    scale, shift = (torch.from_numpy(value).view(-1, 1, 1) for value in constants(preprocessing))
    # Multiply, then add: a fused operation would round once and give other bits.
    return images.float().mul_(scale.to(images.device)).add_(shift.to(images.device))
