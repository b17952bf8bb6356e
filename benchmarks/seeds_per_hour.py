"""Trained seeds an hour of LeNet-5: by PyTorch in three ways, and by the kernels in two.

    python benchmarks/seeds_per_hour.py [--seconds 10] [--seeds 4]

Ways to train several seeds on one machine, by steps with data in memory:

    one process, all threads     seed after seed
    a process a core, one thread each
    all seeds in one network     grouped convolutions: seed s sees its own maps and weights alone
    the kernels, one process, all threads
    the kernels, a process a core, one thread each      what `convscope study` does

The third gives the weights of the first (tests/studies/test_batched_seeds.py) and is the fastest
where a call costs more than its arithmetic, as on a GPU.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope import models
from convscope.environment import physical_cores, processor_name
from convscope.kernels import library
from convscope.kernels.batch_last import batch_last
from convscope.recipes import recipe
from convscope.training.chain import Gradients
from convscope.training.compute import Compute, keep_freed_memory
from convscope.training.optimizers import build_optimizer
from convscope.training.recipe import Optimizer

BATCH, STEPS = 64, 300
"""A training of 300 steps of 64 images: what a study's quick budget comes to."""


class BatchedLeNet5(torch.nn.Module):
    """Several LeNet-5 of the same architecture at once: N × seeds × 1 × 32 × 32 to
    N × seeds × classes."""

    def __init__(self, networks: list[torch.nn.Module]) -> None:
        super().__init__()
        self.seeds = len(networks)
        for name, _ in networks[0].named_parameters():
            values = [dict(one.named_parameters())[name].detach() for one in networks]
            stacked = torch.nn.Parameter(torch.stack(values))
            self.register_parameter(name.replace(".", "_"), stacked)

    def forward(self, x: Tensor) -> Tensor:
        """N × seeds × 1 × 32 × 32 to N × seeds × classes."""
        p = dict(self.named_parameters())
        x = self._block(x.flatten(1, 2), p["c1_weight"], p["c1_bias"])  # N, seeds·6@14
        x = self._block(x, p["c3_weight"], p["c3_bias"])  # N, seeds·16@5
        x = x.reshape(len(x), self.seeds, -1).transpose(0, 1)  # seeds, N, 400
        x = torch.tanh(_linear(x, p["c5_weight"], p["c5_bias"]))
        x = torch.tanh(_linear(x, p["f6_weight"], p["f6_bias"]))
        return _linear(x, p["output_weight"], p["output_bias"]).transpose(0, 1)

    def _block(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = F.conv2d(x, weight.flatten(0, 1), bias.flatten(), groups=self.seeds)
        return torch.tanh(F.max_pool2d(y, 2))


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


def by_kernels(seconds: float) -> float:
    """Images trained on in a second by this process, as `fit` trains them."""
    kernels = library.load()
    if kernels is None:
        raise SystemExit(library.why_none())
    plan = recipe("lenet5").model_copy(update={"batch_size": BATCH})
    compute = Compute.model_validate({"kernels": kernels.target, "memory_format": "contiguous"})
    model = models.build("lenet5").train()
    gradients = Gradients(model, plan, compute)
    optimizer = build_optimizer(Optimizer(), model.parameters(), kernels=True)  # Adam, too
    x, labels = batch_last(torch.randn(BATCH, 1, 32, 32)), torch.randint(0, 10, (BATCH,))

    def step() -> None:
        gradients(x, labels, BATCH)
        optimizer.step()

    return BATCH * steps_per_second(step, seconds)


def images_per_second(seconds: float, seeds: int) -> float:
    """Images trained on in a second by this process; all seeds' together. No seeds: by kernels."""
    keep_freed_memory()
    if not seeds:
        return by_kernels(seconds)
    networks: list[torch.nn.Module] = [models.build("lenet5", seed=seed) for seed in range(seeds)]
    model = networks[0] if seeds == 1 else BatchedLeNet5(networks)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
    shape = (BATCH, 1, 32, 32) if seeds == 1 else (BATCH, seeds, 1, 32, 32)
    x, labels = torch.randn(shape), torch.randint(0, 10, (BATCH * seeds,))
    if seeds == 1:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.to(memory_format=torch.channels_last)

    def step() -> None:
        scores = model(x).reshape(BATCH * seeds, -1)
        loss = F.cross_entropy(scores, labels) * seeds
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return BATCH * seeds * steps_per_second(step, seconds)


def steps_per_second(step: Callable[[], None], seconds: float) -> float:
    """How many are made in a second, after five."""
    for _ in range(5):
        step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--seeds", type=int, default=4, help="in the batched network")
    parser.add_argument("--worker", type=int, nargs=2, metavar=("THREADS", "SEEDS"))
    options = parser.parse_args()
    if options.worker:
        threads, seeds = options.worker
        torch.set_num_threads(threads)
        print(json.dumps(images_per_second(options.seconds, seeds)))
        return
    cores = physical_cores()
    ways = {
        f"1 process, {cores} threads": [(cores, 1)],
        f"{cores} processes, 1 thread each": [(1, 1)] * cores,
        f"1 process, {cores} threads, {options.seeds} seeds in one network": [
            (cores, options.seeds)
        ],
        f"{cores} processes, 1 thread each, {options.seeds} seeds in one network": [
            (1, options.seeds)
        ]
        * cores,
        f"kernels, 1 process, {cores} threads": [(cores, 0)],
        f"kernels, {cores} processes, 1 thread each": [(1, 0)] * cores,
    }
    print(f"LeNet-5, batches of {BATCH}, {processor_name()}, torch {torch.__version__}")
    for name, workers in ways.items():
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--seconds", str(options.seconds), "--worker"]
                + [str(number) for number in worker],
                stdout=subprocess.PIPE,
            )
            for worker in workers
        ]
        speed = sum(json.loads(process.communicate()[0]) for process in processes)
        hourly = speed / (BATCH * STEPS) * 3600
        print(f"  {name:<58} {speed:8,.0f} images/s  {hourly:7,.0f} seeds an hour")


if __name__ == "__main__":
    main()
