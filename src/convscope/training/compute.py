"""How the arithmetic is done: device, precision, order of numbers in memory, threads; and memory.

It decides the last bits of the result, so the run keeps it, and a resumed run takes it from there.
`choosing.py` chooses it.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convscope.environment import available_cores, physical_cores
from convscope.errors import InputError
from convscope.kernels import calls, library
from convscope.layers.fusing import kernels_in_use, norms_in_use
from convscope.training.recipe import describe

MEMORY_FORMATS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


class Compute(BaseModel):
    """The choice that a run records.

    Attributes:
        device, precision, memory_format, fourier, threads: as in the recipe, without any `auto`.
        kernels: the version of the kernels that compute (`avx512`, `avx2`, `portable`); empty
            where torch computes everything. With `contiguous` they are those of convolutions and
            dense layers, which lie batch-last; with `channels_last` those of batch normalisation
            and, in bf16, of SGD's update.
        spectra_kernels: whether kernels compute the spectra of those layers in `fourier` that they
            know (`kernels/spectra.py`).
        seconds: forward and backward of one measured step for each candidate; empty where there
            was nothing to choose.
        images: in a measured step.
        reason: why this was chosen, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    fourier: tuple[str, ...] = Field(default=(), max_length=1000)
    kernels: Literal["", "avx512", "avx2", "portable"] = ""
    spectra_kernels: bool = False
    threads: int = Field(default=1, ge=1, le=4096)
    seconds: dict[str, float] = Field(default_factory=dict, max_length=100)
    images: int = Field(default=0, ge=0)
    reason: str = Field(default="", max_length=1000)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context for the network's forward pass: its precision, and whose kernels."""
        with (
            kernels_in_use() if self.uses_kernels else nullcontext(),
            norms_in_use() if self.uses_norm_kernels else nullcontext(),
            torch.autocast(self.device, torch.bfloat16)
            if self.precision == "bf16"
            else nullcontext(),
        ):
            yield

    @property
    def uses_kernels(self) -> bool:
        """Whether kernels compute convolutions: the run may have begun where there were some."""
        batch_last = bool(self.kernels) and self.memory_format == "contiguous"
        return batch_last and library.load() is not None

    @property
    def uses_norm_kernels(self) -> bool:
        """Whether kernels compute batch normalisation and, in bf16, SGD's update; as above."""
        maps_last = bool(self.kernels) and self.memory_format == "channels_last"
        return maps_last and library.load() is not None

    def place(self) -> dict[str, Any]:
        """What `Tensor.to` makes a network's inputs to."""
        # What comes batch-last for the kernels stays so.
        order = torch.preserve_format if self.uses_kernels else MEMORY_FORMATS[self.memory_format]
        return {"device": self.device, "dtype": self.dtype(), "memory_format": order}

    def dtype(self) -> torch.dtype:
        """The type of activations and of the weights that multiply them."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def name(self) -> str:
        """Precision and order in memory, in words."""
        return (
            f"{self.precision} {f'kernels {self.kernels}' if self.kernels else self.memory_format}"
        )


def compute_from_json(document: object) -> Compute:
    """What `Compute.model_dump` wrote. Raises InputError where it cannot be."""
    try:
        return Compute.model_validate(document)
    except ValidationError as error:
        raise InputError(describe(error, "the run's compute")) from None


def use_threads(wanted: int) -> int:
    """Set torch's threads to `wanted`, or to one per physical core where it is 0.

    The number belongs to the run: sums are added in another order with another number.
    """
    cores = physical_cores()
    threads = min(wanted, 4 * available_cores()) or cores  # a larger machine's run works here too
    calls.use_threads(None)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return threads


def give_threads_to_kernels() -> None:
    """Leave torch one thread and the kernels all that it had, until the next `use_threads`."""
    calls.use_threads(torch.get_num_threads())
    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """Tell the C library to keep freed memory for the next tensor (glibc; elsewhere nothing).

    By default each tensor above 32 MB is fresh memory from the system, which fills every page
    with zeros first; a training step asks for the same sizes again and again.
    """
    mallopt = _c_function("mallopt")
    if mallopt is None:
        return
    most_mapped, trim_above = -4, -1  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    mallopt(most_mapped, 0)
    mallopt(trim_above, 2**31 - 1)


def give_back_memory() -> None:
    """Return the memory that was freed so far to the system: other sizes are asked for next.

    Called for what came before training: reading, decoding, trials of how to compute.
    """
    trim = _c_function("malloc_trim")
    if trim is not None:
        trim(0)


def _c_function(name: str) -> Any:
    """A function of the C library; None where it has none of that name, or is not Linux'."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
