"""Batch normalisation with its activation and pooling: the kernel against torch's operators.

    python benchmarks/batch_norm_kernel.py [--rounds 9]

For each layer of `alexnet-cifar` (batches of 512, GELU, late pooling) and of `alexnet-bn` (64,
ReLU), forward and backward, in turns; then a whole training step of both networks by `convscope`,
forward, backward and update, with and without the kernel, in turns. Printed are medians and the
ratio of each round's pair with its quartiles. bf16 where the processor has it, else float32.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.environment import cpu_features, processor_name
from convscope.kernels import library
from convscope.kernels.batch_norm import batch_norm
from convscope.kernels.block import Plan
from convscope.models import build
from convscope.recipes import recipe
from convscope.training.choosing import BF16_FEATURES
from convscope.training.compute import (
    MEMORY_FORMATS,
    Compute,
    compute_from_json,
    keep_freed_memory,
    use_threads,
)
from convscope.training.optimizers import build_optimizer
from convscope.training.precision import HalfWeights

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
HIGH = Plan("gelu", "max", (3, 3), (2, 2), (1, 1))
WIDE = Plan("relu", "max", (3, 3), (2, 2))
LAYERS: dict[str, list[tuple[str, tuple[int, int, int, int], Plan]]] = {
    "alexnet-cifar": [
        ("norm1", (512, 64, 32, 32), Plan("gelu")),
        ("norm2", (512, 128, 32, 32), HIGH),
        ("norm3", (512, 256, 16, 16), HIGH),
        ("norm4", (512, 256, 8, 8), Plan("gelu")),
        ("norm5", (512, 256, 8, 8), HIGH),
    ],
    "alexnet-bn": [
        ("norm1", (64, 96, 55, 55), WIDE),
        ("norm2", (64, 256, 27, 27), WIDE),
        ("norm3", (64, 384, 13, 13), Plan("relu")),
        ("norm5", (64, 256, 13, 13), WIDE),
    ],
}


def main() -> None:
    """Print layers, then steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    kernels = library.load()
    if kernels is None:
        raise SystemExit(library.why_none())
    threads = use_threads(0)
    keep_freed_memory()
    half = bool(BF16_FEATURES & set(cpu_features()))
    print(f"{processor_name()}, {threads} threads, torch {torch.__version__}, {kernels.target}")
    print(f"{'bf16' if half else 'float32'}; ms, median: torch, the kernel; ratio (quartiles)")
    for network, layers in LAYERS.items():
        for name, shape, plan in layers:
            pair = layer(shape, plan, torch.bfloat16 if half else torch.float32)
            show(f"{network} {name} {shape[1]}@{shape[2]}", compare(*pair, rounds))
        ways = [
            compute_from_json(
                {"precision": "bf16" if half else "fp32", "kernels": name, "threads": threads}
            )
            for name in ("", kernels.target)
        ]
        theirs, ours = (step(network, way) for way in ways)
        show(f"{network}, a whole step", compare(theirs, ours, rounds))


def layer(
    shape: tuple[int, int, int, int], plan: Plan, dtype: torch.dtype
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward and backward of one layer by torch and by the kernel."""
    x = torch.randn(shape).to(dtype, memory_format=torch.channels_last).requires_grad_()
    weight, bias = (torch.randn(shape[1], requires_grad=True) for _ in range(2))
    activation = FUNCTIONS[plan.activation]

    def theirs() -> Tensor:
        z = F.batch_norm(x, None, None, weight, bias, training=True)
        if plan.pooling == "none":
            return activation(z)
        if plan.activation == "relu":  # which commutes with a maximum: on fewer values
            return activation(F.max_pool2d(z, plan.window, plan.step, plan.border))
        return F.max_pool2d(activation(z), plan.window, plan.step, plan.border)

    def ours() -> Tensor:
        return batch_norm(x, weight, bias, 1e-5, plan)[0]

    gradient = torch.randn_like(ours().detach())

    def both_ways(forward: Callable[[], Tensor]) -> Callable[[], None]:
        def work() -> None:
            torch.autograd.grad(forward(), (x, weight, bias), gradient)

        return work

    return both_ways(theirs), both_ways(ours)


def step(network: str, way: Compute) -> Callable[[], None]:
    """A training step of the recipe of that name on random numbers."""
    plan = recipe(network)
    arguments = plan.model.arguments | {"classes": 10, "channels": 3}
    model = build(plan.model.name, arguments).train()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(plan.optimizer, model.parameters(), way.dtype())
    half = HalfWeights(model) if way.precision == "bf16" else None
    batch = LAYERS[network][0][1][0]
    inputs = torch.randn(batch, *model.input_shape)
    inputs = inputs.to(way.dtype(), memory_format=MEMORY_FORMATS["channels_last"])
    labels = torch.arange(batch) % 10

    def work() -> None:
        with way.autocast():
            scores = (half.network if half else model)(inputs)
        loss = F.cross_entropy(scores.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if half:
            half.step(optimizer)
        else:
            optimizer.step()
            optimizer.zero_grad()

    return work


def compare(
    theirs: Callable[[], None], ours: Callable[[], None], rounds: int
) -> list[tuple[float, float]]:
    """Seconds of both in each round, after one that does not count; who is first changes."""
    found = []
    for number in range(rounds + 1):
        times = {}
        for work in (theirs, ours) if number % 2 else (ours, theirs):
            start = time.perf_counter()
            work()
            times[work] = time.perf_counter() - start
        found.append((times[theirs], times[ours]))
    return found[1:]


def show(name: str, pairs: list[tuple[float, float]]) -> None:
    """A line: medians, ratio, quartiles."""
    ratios = [theirs / ours for theirs, ours in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    theirs, ours = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
    print(f"{name:<34} {theirs:8.1f} {ours:8.1f}   {ratio}", flush=True)


if __name__ == "__main__":
    main()
