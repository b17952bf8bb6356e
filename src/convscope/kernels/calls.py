"""One call of a kernel: its C structure, torch's number of threads, its answer."""

import ctypes
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from convscope.kernels import library


def address(tensor: Tensor | None) -> int | None:
    """Where its numbers lie; None for no tensor."""
    return None if tensor is None else tensor.data_ptr()


def call(name: str, job: ctypes.Structure) -> None:
    """Run the kernel `name` on `job`. Raises MemoryError where it says that there is too little."""
    if _function(library.load(), name, type(job))(ctypes.byref(job), torch.get_num_threads()):
        raise MemoryError(f"{name}: there is not enough memory")


@lru_cache
def _function(kernels: library.Kernels | None, name: str, job: type[ctypes.Structure]) -> Any:
    assert kernels is not None, "who calls this has looked whether there are kernels"
    return kernels.function(name, [ctypes.POINTER(job), ctypes.c_long], ctypes.c_int)
