"""One call of a kernel: its C structure, torch's number of threads, its answer."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from convscope.kernels import library

MAPS = 16
"""Where maps lie next to each other, their number is a multiple of the most that a vector holds."""


@dataclass(frozen=True)
class Call:
    """A call of a kernel that was made."""

    name: str
    job: Any
    tensors: tuple[Tensor | None, ...]


_WRONG = {2: "a label is no class", 3: "a row is no image"}
_own_threads: int | None = None
_recorded: ContextVar[list[Call] | None] = ContextVar("recorded", default=None)


def use_threads(number: int | None) -> None:
    """Compute with `number` threads from now on; None: with as many as torch has at each call.

    After each operation torch's threads wait for the next one at work, on the cores that the
    kernels' threads want. Where kernels do nearly everything, they get the threads and torch one.
    """
    global _own_threads
    _own_threads = number


@contextmanager
def all_threads() -> Iterator[None]:
    """A context in which kernels have the threads and torch one; see `use_threads`."""
    own, torchs = _own_threads, torch.get_num_threads()
    use_threads(own or torchs)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(torchs)
        use_threads(own)


def address(tensor: Tensor | None) -> int | None:
    """Where its numbers lie; None for no tensor."""
    return None if tensor is None else tensor.data_ptr()


@lru_cache
def openmp_team() -> int | None:
    """Where OpenMP's GOMP_parallel is; None where torch's threads are others."""
    if sys.platform != "linux":
        return None
    found = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return None if found is None else ctypes.cast(found, ctypes.c_void_p).value


def call(name: str, job: ctypes.Structure, *tensors: Tensor | None) -> None:
    """Run the kernel `name` on `job`. Raises MemoryError where there is too little, or ValueError.

    `tensors` are those that the job reads and writes, for whoever records calls.
    """
    calls = _recorded.get()
    if calls is not None:
        calls.append(Call(name, job, tensors))
    threads = _own_threads or torch.get_num_threads()
    answer = _function(library.load(), name, type(job))(ctypes.byref(job), threads)
    if answer in _WRONG:
        raise ValueError(f"{name}: {_WRONG[answer]}")
    if answer:
        raise MemoryError(f"{name}: there is not enough memory")


@contextmanager
def recording() -> Iterator[list[Call]]:
    """A context that gives the list of the calls made in it, which keeps their tensors."""
    calls: list[Call] = []
    token = _recorded.set(calls)
    try:
        yield calls
    finally:
        _recorded.reset(token)


@lru_cache
def _function(kernels: library.Kernels | None, name: str, job: type[ctypes.Structure]) -> Any:
    assert kernels is not None, "who calls this has looked whether there are kernels"
    return kernels.function(name, [ctypes.POINTER(job), ctypes.c_long], ctypes.c_int)
