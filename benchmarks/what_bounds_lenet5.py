"""Where the time of a LeNet-5 training step goes, and how far it is from the machine's limit.

    python benchmarks/what_bounds_lenet5.py

The limit is the speed of a large float32 matrix product in this process; the step is that of
the recipe `lenet5` (batches of 160 of 28×28 images) by torch's own operators and torch's Adam in
place of Muon, on random images.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from convscope import anatomy
from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing
from convscope.environment import processor_name
from convscope.models import build
from convscope.recipes import recipe
from convscope.training.compute import MEMORY_FORMATS, use_threads
from convscope.training.losses import build_loss
from convscope.training.optimizers import build_optimizer
from convscope.training.recipe import Optimizer

STEPS = 100
IMAGES = 60_000


def main() -> None:
    """Print the limit, the step, and the step's parts."""
    plan = recipe("lenet5")
    threads = use_threads(plan.threads)
    print(f"{processor_name()}, {threads} threads, torch {torch.__version__}")
    limit = matrix_product_speed()
    print(f"float32 matrix product: {limit / 1e9:.0f} GFLOP/s")

    found = anatomy("lenet5")
    forward = 2 * found.multiply_adds
    backward = 2 * forward - 2 * (found.layers[0].multiply_adds or 0)  # C1 needs no input gradient
    flop = forward + backward
    print(f"arithmetic: {flop / 1e6:.2f} MFLOP an image, forward and backward")

    step, seconds = step_and_seconds()
    epoch = IMAGES / plan.batch_size * seconds
    print(f"one step of {plan.batch_size}: {seconds * 1e3:.2f} ms, median of {STEPS}")
    print(
        f"one epoch of {IMAGES:,} images: {epoch:.2f} s; at the limit {IMAGES * flop / limit:.2f} "
        f"s: a factor of {epoch / (IMAGES * flop / limit):.1f}"
    )
    with profile(activities=[ProfilerActivity.CPU]) as taken:
        for _ in range(STEPS):
            step()
    averages = taken.key_averages()
    total = sum(row.self_cpu_time_total for row in averages)
    print("share of the step, by operator")
    for row in sorted(averages, key=lambda row: -row.self_cpu_time_total)[:10]:
        share = row.self_cpu_time_total / total
        print(f"  {share:6.1%}  {row.self_cpu_time_total / STEPS / 1e3:6.2f} ms  {row.key}")


def matrix_product_speed(size: int = 2048) -> float:
    """The best of ten, in FLOP/s."""
    left, right = torch.rand(size, size), torch.rand(size, size)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def step_and_seconds() -> tuple[Callable[[], float], float]:
    """A training step of the recipe, and the median of its time."""
    plan = recipe("lenet5")
    memory_format = MEMORY_FORMATS[plan.memory_format]
    model = build("lenet5").train().to(memory_format=memory_format)  # type: ignore[call-overload]
    optimizer, loss = build_optimizer(Optimizer(), model.parameters()), build_loss(plan.loss)
    preprocessing = Preprocessing(
        channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.13,), std=(0.31,)
    )
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (4096, 1, 28, 28), dtype=np.uint8))
    labels = torch.from_numpy(generator.integers(0, 10, 4096))

    def step() -> float:
        start = time.perf_counter()
        chosen = torch.randint(0, len(labels), (plan.batch_size,))
        inputs = to_input(images[chosen], preprocessing).to(memory_format=memory_format)
        value = loss(model(inputs), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        value.item()
        optimizer.step()
        return time.perf_counter() - start

    for _ in range(10):
        step()
    return step, statistics.median(step() for _ in range(STEPS))


if __name__ == "__main__":
    main()
