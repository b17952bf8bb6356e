"""Where the time of an AlexNet training step goes, and how far it is from the machine's limit.

    python benchmarks/what_bounds_alexnet.py

The network is `alexnet-bn` (58,325,066 parameters), the batch 64 random images of 227 × 227. First
the speeds of large matrix products in this process. Then each convolution, forward and
backward: directly, by spectra in torch's operators, and by the spectra's kernels, which float32 has
none of; the whole step in the same three ways, the third with the kernels for batch normalisation
and update besides; and the last one's operators.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from convscope import anatomy
from convscope.environment import processor_name
from convscope.kernels import library
from convscope.layers.convolution import Convolution
from convscope.models import build
from convscope.training.compute import Compute, keep_freed_memory, use_threads
from convscope.training.optimizers import build_optimizer
from convscope.training.precision import HalfWeights
from convscope.training.recipe import Optimizer
from convscope.training.spectra import use_fourier

BATCH = 64
CONVOLUTIONS = ("conv2", "conv3", "conv4", "conv5")
SIZES = {"conv2": 27, "conv3": 13, "conv4": 13, "conv5": 13}
WAYS = ("direct", "spectra", "kernels")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    """Print limits, layers, steps, operators."""
    print(f"{processor_name()}, {use_threads(0)} threads, torch {torch.__version__}")
    keep_freed_memory()
    arithmetic = 2 * step_multiply_adds()
    print(f"arithmetic of a step: {arithmetic / 1e9:.0f} GFLOP for {BATCH} images")
    for name, dtype in DTYPES.items():
        limit = matrix_product_speed(dtype)
        print(
            f"{name} matrix product: {limit / 1e9:.0f} GFLOP/s; "
            f"the direct sums at that speed: {BATCH * limit / arithmetic:.1f} images/s"
        )
    print("\nforward and backward of a layer, ms      direct  spectra  kernels")
    for precision, dtype in DTYPES.items():
        for name in CONVOLUTIONS:
            ways = WAYS if precision == "bf16" else WAYS[:2]
            row = (f"{1e3 * layer_seconds(name, dtype, way):8.1f}" for way in ways)
            print(f"  {precision} {name:<31}", *row)
    print("\na step, s (images/s)")
    for precision in DTYPES:
        for how in WAYS:
            step = training_step(precision, how)
            seconds = median(step, 5)
            print(f"  {precision} {how:<40} {seconds:.3f} ({BATCH / seconds:.1f})")
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    print("\noperators of the last")
    for row in rows[:12]:
        print(f"  {row.self_cpu_time_total / total:6.1%}  {row.key}")


def step_multiply_adds() -> int:
    """Forward, and backward twice as much; the first layer's input needs no gradient."""
    found = anatomy("alexnet-bn")
    first = next(row.multiply_adds for row in found.layers if row.name == "conv1")
    return BATCH * (3 * found.multiply_adds - (first or 0))


def matrix_product_speed(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product."""
    a = torch.randn(2048, 2048).to(dtype)
    return 2 * 2048**3 / median(lambda: a @ a, 10)


def layer_seconds(name: str, dtype: torch.dtype, way: str) -> float:
    """One convolution of the network, forward and backward."""
    source = dict(build("alexnet-bn").named_modules())[name]
    assert isinstance(source, Convolution)
    layer = Convolution(source.in_maps, source.out_maps, source.kernel, pad=source.pad, bias=False)
    layer = layer.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layer.fourier, layer.spectra_kernels = way != "direct", way == "kernels"
    shape = (BATCH, source.in_maps, SIZES[name], SIZES[name])
    inputs = torch.randn(shape).to(dtype, memory_format=torch.channels_last).requires_grad_()

    def both() -> None:
        result = layer(inputs)
        result.backward(result)

    return median(both, 5)


def training_step(precision: str, how: str) -> Callable[[], None]:
    """A whole step: forward, loss, backward, update by SGD with momentum."""
    kernels = library.load() if how == "kernels" else None
    names = () if how == "direct" else CONVOLUTIONS
    way = Compute(
        precision=precision, fourier=names, kernels=kernels.target if kernels is not None else ""
    )
    model: Any = build("alexnet-bn").train()
    use_fourier(model, names, kernels=kernels is not None)
    model = model.to(memory_format=torch.channels_last)
    choice = Optimizer(kind="sgd", lr=0.005, momentum=0.9, weight_decay=0.005)
    halves = precision == "bf16" and kernels is not None
    optimizer = build_optimizer(choice, model.parameters(), way.dtype(), halves=halves)
    half = HalfWeights(model) if precision == "bf16" else None
    network = half.network if half else model
    labels = torch.arange(BATCH) % 10
    inputs = torch.randn(BATCH, 3, 227, 227).to(way.dtype(), memory_format=torch.channels_last)

    def step() -> None:
        with way.autocast():
            scores = network(inputs)
        F.cross_entropy(scores.float(), labels).backward()  # type: ignore[no-untyped-call]
        if half:
            half.step(optimizer)
        else:
            optimizer.step()
            model.zero_grad(set_to_none=True)

    return step


def median(work: Callable[[], object], times: int) -> float:
    """Median seconds of `work` after two warm-up calls."""
    work()
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
