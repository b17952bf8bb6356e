"""The order of numbers in memory that the kernels read: batch-last, drawn in `lanes.h`.

Such a tensor is an ordinary torch tensor, N × C × H × W, whose strides say that neighbouring
numbers belong to neighbouring images. Every operation of torch works on it; `flatten(1)` of it is a
view whose matrix products need no copy. Behind each pixel's N numbers lie finite ones up to the
pitch, which nothing depends on.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

VECTOR = 16  # floats of the widest target


@lru_cache(maxsize=64)
def pitch(images: int) -> int:
    """Floats from a pixel to the next: whole vectors, an odd number of them.

    >>> pitch(1), pitch(16), pitch(17), pitch(128)
    (16, 16, 48, 144)
    """
    return VECTOR * (-(-images // VECTOR) | 1)


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a batch-last tensor of this shape, images first."""
    found = [pitch(shape[0])]
    for size in reversed(shape[2:]):
        found.append(found[-1] * size)
    return (1, *reversed(found))


def empty(shape: tuple[int, ...]) -> Tensor:
    """A batch-last float32 tensor of this shape with anything in it."""
    return torch.empty(math.prod(shape[1:]) * pitch(shape[0])).as_strided(shape, strides(shape))


def is_batch_last(x: Tensor) -> bool:
    """Whether the kernels can read `x` where it lies: float32 and in this order, pitch included."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.stride() == strides(x.shape)
        and x.storage_offset() == 0
        and x.untyped_storage().nbytes() == 4 * math.prod(x.shape[1:]) * pitch(len(x))
    )


def batch_last(x: Tensor) -> Tensor:
    """`x` itself where it is batch-last already, else a copy that is; zeros behind the images."""
    if is_batch_last(x):
        return x
    memory = torch.zeros(*x.shape[1:], pitch(len(x)))
    memory[..., : len(x)] = x.movedim(0, -1)
    return memory.view(-1).as_strided(x.shape, strides(x.shape))
