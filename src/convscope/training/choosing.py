"""Which way to compute is fastest here, by measurement.

It depends on the processor and on the network, and common belief is often wrong: so the candidates
that the processor's flags allow are measured on the network itself.
"""

import copy
import math
import time
from typing import Any

import torch
from torch import nn

from convscope.environment import cpu_features
from convscope.errors import InputError
from convscope.kernels import library
from convscope.kernels.batch_last import batch_last
from convscope.layers.fusing import kernels_in_use, norms_in_use
from convscope.layers.modes import evaluation_mode
from convscope.text import printable
from convscope.training.compute import MEMORY_FORMATS, Compute, keep_freed_memory, use_threads
from convscope.training.precision import half_copy
from convscope.training.recipe import Recipe
from convscope.training.spectra import faster_by_fourier, use_fourier
from convscope.training.timing import seconds_of

BF16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
"""Without one of these, bf16 is emulated and many times slower than float32."""
PROBED_IMAGES = 8
MEASURED_SECONDS = 0.25
"""About as long as a measured step takes, unless the whole batch takes less."""
MARGIN = 1.1  # a less exact or less usual way must be this much faster to be taken
KERNELS_MARGIN = 1.02  # of kernels, which are as exact
CLEAR = 1.3  # ways that differ so much need no second look
ROUNDS, MOST_SECONDS = 3, 10.0  # of measurements in turns


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
    best = _with_spectra(best, model, input_shape, recipe)
    return _with_kernels(best, model, input_shape, recipe, alone=alone)


def _with_kernels(
    way: Compute,
    model: nn.Module,
    input_shape: tuple[int, int, int],
    recipe: Recipe,
    *,
    alone: bool = True,
) -> Compute:
    """`way`, or the same with the kernels, where they are there and wanted, or faster.

    With `auto` one step of the whole network is timed both ways, orders in memory and all, forward
    and backward: the update by kernels follows from that and is not timed.
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
    seconds = _in_turns(way, ours, model, shape)
    best = ours if seconds[ours.name()] * KERNELS_MARGIN < seconds[way.name()] else way
    if way.seconds:  # of fewer images
        reason = f"{way.reason}; of {images} images {_shown(seconds)}"
        return best.model_copy(update={"reason": reason})
    found = {"seconds": seconds, "images": images, "reason": f"measured {_shown(seconds)}"}
    return best.model_copy(update=found)


def _in_turns(
    way: Compute, other: Compute, model: nn.Module, shape: tuple[int, ...]
) -> dict[str, float]:
    """Seconds of the fastest step of each, in turns as long as it takes."""
    found: dict[str, float] = {}
    started = time.monotonic()
    for _ in range(ROUNDS):
        for one in (way, other):
            seconds = round(_time(one, model, shape), 6)
            found[one.name()] = min(seconds, found.get(one.name(), math.inf))
        clear = min(found.values()) * CLEAR < max(found.values())
        if clear or time.monotonic() - started > MOST_SECONDS:
            break
    return found


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


def _with_spectra(
    way: Compute, model: nn.Module, input_shape: tuple[int, int, int], recipe: Recipe
) -> Compute:
    """`way` with the layers that are computed by spectra, and by whom."""
    kernels, names = library.load(), recipe.fourier
    here = way.precision == "bf16" and kernels is not None and kernels.multiplies_pairs
    wanted = recipe.kernels != "off" and way.memory_format == "channels_last"
    by_kernels = here and wanted and way.device == "cpu"
    if names == "auto":
        batch, order = (recipe.batch_size, *input_shape), MEMORY_FORMATS[way.memory_format]
        names = (
            faster_by_fourier(model, batch, way.dtype(), order, kernels=by_kernels)
            if way.device == "cpu"
            else ()
        )
    found = {"fourier": names, "spectra_kernels": by_kernels and bool(names)}
    return way.model_copy(update=found)


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
    use_fourier(twin, way.fourier, kernels=way.spectra_kernels)

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
