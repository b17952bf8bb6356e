"""How the arithmetic is done: device, precision, order of numbers in memory, threads.

What is fastest depends on the processor and on the network, and common belief is often wrong: so
the candidates that the processor's flags allow are measured on the network itself. The choice
decides the last bits of the result, so the run keeps it, and a resumed run takes it from there.
"""

import copy
import ctypes
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from convscope.environment import available_cores, cpu_features, physical_cores
from convscope.errors import InputError
from convscope.kernels import calls, library
from convscope.kernels.batch_last import batch_last
from convscope.layers.fusing import kernels_in_use, norms_in_use
from convscope.layers.modes import evaluation_mode
from convscope.text import printable
from convscope.training.precision import half_copy
from convscope.training.recipe import Recipe, describe
from convscope.training.spectra import faster_by_fourier, use_fourier
from convscope.training.timing import seconds_of

MEMORY_FORMATS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}
BF16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
"""Without one of these, bf16 is emulated and many times slower than float32."""
PROBED_IMAGES = 8
MEASURED_SECONDS = 0.25
"""About as long as a measured step takes, unless the whole batch takes less."""
MARGIN = 1.1  # a less exact or less usual way must be this much faster to be taken


class Compute(BaseModel):
    """The choice that a run records.

    Attributes:
        device, precision, memory_format, fourier, threads: as in the recipe, without any `auto`.
        kernels: the version of the kernels that compute (`avx512`, `avx2`, `portable`); empty
            where torch computes everything. With `contiguous` they are those of convolutions and
            dense layers, which lie batch-last; with `channels_last` that of batch normalisation.
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
    threads: int = Field(default=1, ge=1, le=4096)
    seconds: dict[str, float] = Field(default_factory=dict, max_length=100)
    images: int = Field(default=0, ge=0)
    reason: str = Field(default="", max_length=1000)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context for the network's forward pass: its precision, and whose kernels."""
        with (
            kernels_in_use() if self.uses_kernels else nullcontext(),
            norms_in_use() if self.fuses_norms else nullcontext(),
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
    def fuses_norms(self) -> bool:
        """Whether a kernel computes batch normalisation."""
        return bool(self.kernels) and self.memory_format == "channels_last"

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


def choose_compute(
    recipe: Recipe, model: nn.Module, input_shape: tuple[int, int, int], *, alone: bool = True
) -> Compute:
    """The fastest way to train `model` on this machine, of those that the recipe allows.

    Args:
        recipe: its device, precision, memory_format, threads and batch_size.
        model: the network, float32 on the CPU; it is not changed.
        input_shape: channels, height and width.
        alone: whether one process has the whole batch, so that it can normalise it alone.

    Raises:
        InputError: a device that this machine lacks.
    """
    device = _device(recipe.device)
    threads = use_threads(recipe.threads)
    keep_freed_memory()  # measured as it will be trained
    precisions = [recipe.precision] if recipe.precision != "auto" else _precisions(device)
    formats = [recipe.memory_format]
    if recipe.memory_format == "auto":
        formats = ["channels_last"] if device != "cpu" else ["channels_last", "contiguous"]
    ways = [
        Compute(device=device, precision=precision, memory_format=order, threads=threads)
        for precision in precisions
        for order in (formats if precision == "fp32" or len(formats) == 1 else ["channels_last"])
    ]
    best = ways[0].model_copy(update={"reason": "as the recipe says; nothing to measure"})
    if len(ways) > 1:
        best = _fastest(ways, model, input_shape, recipe)
    best = best.model_copy(update={"fourier": _spectra(best, model, input_shape, recipe)})
    return with_kernels(best, model, input_shape, recipe, alone=alone)


def with_kernels(
    way: Compute,
    model: nn.Module,
    input_shape: tuple[int, int, int],
    recipe: Recipe,
    *,
    alone: bool = True,
) -> Compute:
    """`way`, or the same with the kernels, where they are there and wanted, or clearly faster.

    With `auto` one step of the whole network is timed both ways: orders in memory and all.
    """
    kernels = library.load()
    if recipe.kernels == "off" or kernels is None or way.device != "cpu":
        return way
    changes: dict[str, Any] = {"kernels": kernels.target}
    if way.precision == "fp32" and not way.fourier and _knows(model, input_shape):
        changes |= {"memory_format": "contiguous"}
    elif alone and _normalises(model, input_shape) and _may_be_last(way, recipe):
        changes |= {"memory_format": "channels_last"}
    else:
        return way
    ours = way.model_copy(update=changes)
    if recipe.kernels == "on":
        reason = way.reason if way.seconds else "as the recipe says; nothing to measure"
        return ours.model_copy(update={"reason": reason})
    images = min(recipe.batch_size, 2 * way.images or recipe.batch_size)
    shape = (images, *input_shape)
    seconds = {one.name(): round(_time(one, model, shape), 6) for one in (way, ours)}
    best = ours if seconds[ours.name()] * MARGIN < seconds[way.name()] else way
    if way.seconds:  # of fewer images
        reason = f"{way.reason}; of {images} images {_shown(seconds)}"
        return best.model_copy(update={"reason": reason})
    found = {"seconds": seconds, "images": images, "reason": f"measured {_shown(seconds)}"}
    return best.model_copy(update=found)


def _may_be_last(way: Compute, recipe: Recipe) -> bool:
    return way.memory_format == "channels_last" or recipe.memory_format == "auto"


def _knows(model: nn.Module, input_shape: tuple[int, int, int]) -> bool:
    """Whether any layer of the network goes through the kernels, tried with one black image."""
    with evaluation_mode(model), torch.inference_mode(), kernels_in_use() as use:
        model(torch.zeros(1, *input_shape))
    return use.calls > 0


def _normalises(model: nn.Module, input_shape: tuple[int, int, int]) -> bool:
    """Whether any batch normalisation goes through its kernel, tried with two black images."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return False
    twin = copy.deepcopy(model).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.zeros(2, *input_shape).to(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), norms_in_use() as use:
        twin(images)
    return use.calls > 0


def _fastest(
    ways: list[Compute], model: nn.Module, input_shape: tuple[int, int, int], recipe: Recipe
) -> Compute:
    few = min(recipe.batch_size, PROBED_IMAGES)
    probed = _time(ways[0], model, (few, *input_shape))
    images = min(recipe.batch_size, max(few, int(few * MEASURED_SECONDS / probed)))
    seconds = {way.name(): _time(way, model, (images, *input_shape)) for way in ways}
    best = ways[0]  # the least exact comes first, and must win by the margin
    for way in ways[1:]:
        if seconds[way.name()] < seconds[best.name()] * _handicap(best, way):
            best = way
    return best.model_copy(
        update={
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "images": images,
            "reason": _reason(best, seconds, recipe),
        }
    )


def _spectra(
    way: Compute, model: nn.Module, input_shape: tuple[int, int, int], recipe: Recipe
) -> tuple[str, ...]:
    if recipe.fourier != "auto":
        return recipe.fourier
    if way.device != "cpu":
        return ()
    batch = (recipe.batch_size, *input_shape)
    return faster_by_fourier(model, batch, way.dtype(), MEMORY_FORMATS[way.memory_format])


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


def _device(wanted: str) -> str:
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, here in present.items() if here)
    if not present[wanted]:
        here = ", ".join(name for name, is_here in present.items() if is_here)
        raise InputError(f"device is {printable(wanted)}, which this machine lacks; it has: {here}")
    return wanted


def _precisions(device: str) -> list[str]:
    """Those worth a measurement, the least exact first."""
    if device == "cuda":
        return ["bf16"] if torch.cuda.is_bf16_supported() else ["fp32"]
    if device == "cpu" and BF16_FEATURES & set(cpu_features()):
        return ["bf16", "fp32"]
    return ["fp32"]


def _handicap(best: Compute, way: Compute) -> float:
    """How many times as long as `best` the way may take, to be chosen in its place.

    float32 is taken before bf16 unless that is clearly faster; and channels_last before
    contiguous maps, which spectra would have to be put in order for, in more memory.
    """
    if best.precision == "bf16" and way.precision == "fp32":
        return MARGIN
    if best.memory_format == "channels_last" and way.memory_format == "contiguous":
        return 1 / MARGIN
    return 1.0


def _time(way: Compute, model: nn.Module, shape: tuple[int, ...]) -> float:
    """Seconds of a step, forward and backward."""
    order = MEMORY_FORMATS[way.memory_format]
    pixels = torch.linspace(-2, 2, math.prod(shape)).view(shape)
    inputs = batch_last(pixels) if way.uses_kernels else pixels.to(**way.place())
    twin = copy.deepcopy(model).to(way.device).train()
    twin = twin.to(memory_format=order)  # type: ignore[call-overload]
    if way.precision == "bf16":
        twin = half_copy(twin)
    use_fourier(twin, way.fourier)

    def step() -> None:
        with way.autocast():
            scores = twin(inputs)
        scores.float().logsumexp(1).sum().backward()
        twin.zero_grad(set_to_none=True)

    with torch.random.fork_rng(devices=[]):
        return seconds_of(step)


def _reason(best: Compute, seconds: dict[str, float], recipe: Recipe) -> str:
    asked = "" if recipe.precision == "auto" else f"; the recipe asks for {recipe.precision}"
    if best.precision == "fp32" and recipe.precision == "auto" and len(seconds) == 2:
        asked = "; this processor has no fast bf16"
    return f"measured {_shown(seconds)}{asked}"


def _shown(seconds: dict[str, float]) -> str:
    """Seconds of each way, the fastest first; of short ones three digits."""
    ordered = sorted(seconds.items(), key=_value)
    return ", ".join(
        f"{name} {value:{'.3f' if value >= 0.1 else '.3g'}} s" for name, value in ordered
    )


def _value(pair: tuple[str, float]) -> float:
    return pair[1]
