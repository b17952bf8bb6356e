"""LeNet-5's training step: convscope's kernels against bare PyTorch eager, in turns.

    python benchmarks/lenet5_kernels.py [--targets avx512,avx2] [--rounds 20] [--threads 0]

One process, the same cores, batches of 128 of the full MNIST: PyTorch's step is the one that a user
writes (Conv2d, tanh, max_pool2d, Linear, cross_entropy, torch.optim.Adam, one in-memory tensor);
convscope's is that of `fit`, data path and optimiser included. A round is 30 steps of each, one
after the other; printed are the medians over the rounds, the ratio of each round's pair and its
spread, and the time an epoch of 60,000 images takes. Then, for each kernel, its share of the speed
that this machine's multipliers have, measured by `peak` below.
"""

import ctypes
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import common
from convscope import models
from convscope.data.batches import epoch_order, to_input
from convscope.data.idx import read_idx
from convscope.data.preprocess import Preprocessing
from convscope.environment import processor_name
from convscope.kernels import build, library
from convscope.kernels import calls as kernel_calls
from convscope.kernels.batch_last import batch_last
from convscope.kernels.step import record
from convscope.layers.fusing import kernels_in_use
from convscope.recipes import recipe
from convscope.training.chain import Gradients
from convscope.training.compute import (
    Compute,
    give_threads_to_kernels,
    keep_freed_memory,
    use_threads,
)
from convscope.training.optimizers import build_optimizer
from convscope.training.recipe import Optimizer

BATCH, STEPS, IMAGES = 128, 30, 60_000
PREPROCESSING = Preprocessing(
    channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1307,), std=(0.3081,)
)
MACS = {"C1": 117_600, "C3": 240_000, "C5": 48_000, "F6": 10_080}
"""Multiply-adds an image in one direction."""


class Bare(nn.Module):
    """LeNet-5 as a user of PyTorch writes it: 61,706 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c3 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.c5, self.f6, self.output = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N × 1 × 32 × 32 to N × 10."""
        x = F.max_pool2d(torch.tanh(self.c1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.c3(x)), 2)
        x = torch.tanh(self.f6(torch.tanh(self.c5(x.flatten(1)))))
        scores: torch.Tensor = self.output(x)
        return scores


def main() -> None:
    """Print the pairs, then the kernels."""
    parser = common.parser(__doc__)
    parser.add_argument("--targets", default=",".join(library.available()[:2]))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    folder = common.existing(options, "data/mnist")
    images = torch.from_numpy(read_idx(folder / "train-images-idx3-ubyte.gz").copy())[:, None]
    labels = torch.from_numpy(read_idx(folder / "train-labels-idx1-ubyte.gz").astype(np.int64))
    threads = use_threads(options.threads)
    keep_freed_memory()
    print(f"{processor_name()}, {threads} threads, torch {torch.__version__}, batch {BATCH}")
    for target in options.targets.split(","):
        os.environ[library.VARIABLE] = target
        compare(target, images, labels, options.rounds, threads)
        report_kernels(target, threads)


def compare(
    target: str, images: torch.Tensor, labels: torch.Tensor, rounds: int, threads: int
) -> None:
    """The pairs, in turns."""
    bare, ours = bare_step(images, labels), kernels_step(target, images, labels)
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(rounds + 1):
        for name, step in (("bare", bare), ("ours", ours)):
            use_threads(threads)
            if name == "ours":
                give_threads_to_kernels()
            started = time.perf_counter()
            for _ in range(STEPS):
                step()
            seconds[name].append((time.perf_counter() - started) / STEPS)
    pairs = [a / b for a, b in zip(seconds["bare"][1:], seconds["ours"][1:], strict=True)]
    for name in seconds:
        middle = statistics.median(seconds[name][1:])
        epoch = middle * IMAGES / BATCH
        print(
            f"{target:>8} {name}: {middle * 1e3:.3f} ms a step, {BATCH / middle:,.0f} images/s, "
            f"{epoch:.2f} s an epoch (medians of {rounds} rounds of {STEPS} steps)"
        )
    low, _, high = statistics.quantiles(pairs, n=4)
    print(
        f"{target:>8} ratio: {statistics.median(pairs):.2f} (quartiles {low:.2f} to {high:.2f}, "
        f"{min(pairs):.2f} to {max(pairs):.2f})"
    )


def bare_step(images: torch.Tensor, labels: torch.Tensor) -> Callable[[], float]:
    """PyTorch's, on float32 images made once."""
    torch.manual_seed(0)
    model, order = Bare(), epoch_order(len(images), 0, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    pixels = F.pad(images.float() / 255, (2, 2, 2, 2)).sub_(0.1307).div_(0.3081)
    place = 0

    def step() -> float:
        nonlocal place
        chosen = order[place : place + BATCH]
        place = (place + BATCH) % (len(order) - BATCH)
        loss = F.cross_entropy(model(pixels[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def kernels_step(target: str, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], float]:
    """As `fit` does it."""
    plan = recipe("lenet5").model_copy(update={"batch_size": BATCH})
    model, order = models.build("lenet5").train(), epoch_order(len(images), 0, 0)
    compute = Compute.model_validate({"kernels": target, "memory_format": "contiguous"})
    gradients = Gradients(model, plan, compute)
    optimizer = build_optimizer(Optimizer(), model.parameters(), kernels=True)  # Adam, too
    place = 0

    def step() -> float:
        nonlocal place
        chosen = order[place : place + BATCH]
        place = (place + BATCH) % (len(order) - BATCH)
        inputs = to_input(images, PREPROCESSING, batch_last=True, rows=chosen)
        value, _ = gradients(inputs, labels[chosen], len(inputs))
        optimizer.step()
        return value

    return step


def report_kernels(target: str, threads: int) -> None:
    """Time each kernel by itself, in the network; its speed and its share of the peak."""
    limit = peak(target, threads)
    print(f"{target:>8} peak of the multipliers, {threads} threads: {limit / 1e9:.0f} GFLOP/s")
    for name, macs, seconds in kernel_times():
        speed = 2 * macs * BATCH / seconds
        print(
            f"{target:>8} {name:<26} {seconds * 1e3:7.3f} ms  {speed / 1e9:6.1f} GFLOP/s  "
            f"{speed / limit:6.1%}"
        )


def kernel_times() -> list[tuple[str, int, float]]:
    """For each kernel of a step: its name, multiply-adds an image, median seconds."""
    model = models.build("lenet5").train()
    x = batch_last(torch.randn(BATCH, 1, 32, 32))
    with kernels_in_use():
        recorded = record(model, x)
    assert recorded is not None
    step, gradients = recorded
    step(x, torch.zeros(BATCH, dtype=torch.int64))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    names = ["C1", "C3", "C5", "F6"]
    found = []
    for name, made in zip(names, step.calls, strict=False):
        job, backward, wanted = (
            made.job,
            made.name.replace("forward", "backward"),
            made.job.x_gradient,
        )
        found.append((f"{name} forward", MACS[name], call_seconds(made.name, job)))
        job.x_gradient = None
        weights = call_seconds(backward, job)
        found.append((f"{name} weight gradient", MACS[name], weights))
        if wanted:
            job.x_gradient = wanted
            seconds = max(call_seconds(backward, job) - weights, 1e-9)
            found.append((f"{name} input gradient", MACS[name], seconds))
    return found


def call_seconds(name: str, job: ctypes.Structure, times: int = 60) -> float:
    """Median of a kernel's time, in a warm cache."""
    kernel_calls.call(name, job)
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        kernel_calls.call(name, job)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


PEAK = """
#include "lanes.h"
#include "threads.h"
#ifdef __aarch64__
#define SUMS 24
#else
#define SUMS (LANES == 16 ? 24 : 12)
#endif
static void multiply(long task, long worker, void *memory) {
    (void)worker;
    float *out = memory;
    floats sums[SUMS], a = splat(out[0]), b = splat(out[1]);
    for (int i = 0; i < SUMS; i++) sums[i] = splat(out[2] + (float)i);
    for (long n = 0; n < 200000; n++)
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * a + b;
    float total = 0;
    for (int i = 0; i < SUMS; i++) total += sum_of_lanes(sums[i]);
    out[3 + task] = total;
}
/* Returns the floating-point operations of a task. */
double peak(float *out, long tasks, long threads) {
    run_tasks(multiply, out, tasks, threads);
    return 2.0 * 200000 * SUMS * LANES;
}
"""


def peak(target: str, threads: int) -> float:
    """FLOP/s of multiply-adds in registers with this target's vectors; the best of ten."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "peak.c"), Path(folder, "peak.so")
        source.write_text(PEAK)
        words = [*build.compiler(), *build.OPTIONS, *build.TARGETS[target], f"-DTARGET={target}"]
        words += [f"-I{build.HERE}", "-shared", "-pthread", str(source)]
        words += [str(build.HERE / "threads.c"), "-o", str(made)]
        subprocess.run(words, check=True)
        function = ctypes.CDLL(str(made)).peak
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
    tasks = 2 * threads
    out = (ctypes.c_float * (3 + tasks))(0.999, 1e-3, 1.0)
    best = 0.0
    for _ in range(10):
        started = time.perf_counter()
        operations = function(out, tasks, threads) * tasks
        best = max(best, operations / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
