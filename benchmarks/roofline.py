"""The roofline of this machine with LeNet-5's layers on it: convscope's kernels and PyTorch's.

    python benchmarks/roofline.py [--picture docs/images/roofline.svg] [--threads 0]

The roof is the speed of multiply-adds in registers, its slope the speed of reading memory that no
cache holds; both are measured here. A point is a layer of LeNet-5 at batch 128, forward (filled) or
backward (hollow): floating-point operations for each byte that it must read and write once (inputs,
outputs, gradients, weights), and for each second. PyTorch's points are conv2d, max_pool2d and tanh,
or linear and tanh, as a user writes them, in channels_last. A table of the points is printed.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from torch import Tensor

import common
from convscope.environment import processor_name
from convscope.kernels import library
from convscope.kernels.batch_last import batch_last
from convscope.kernels.block import Plan, block
from convscope.kernels.dense import dense
from convscope.training.compute import give_threads_to_kernels, keep_freed_memory, use_threads
from lenet5_kernels import BATCH, peak

PLAN = Plan("tanh", "max", (2, 2), (2, 2))
# name: input of an image, weights, multiply-adds, outputs of an image, whether it has an x gradient
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, int, bool]] = {
    "C1": ((1, 32, 32), (6, 1, 5, 5), 117_600, 1_176, False),
    "C3": ((6, 14, 14), (16, 6, 5, 5), 240_000, 400, True),
    "C5": ((400,), (120, 400), 48_000, 120, True),
    "F6": ((120,), (84, 120), 10_080, 84, True),
}
COLOURS = {"convscope": "#0b6e99", "PyTorch": "#d9730d"}


@dataclass(frozen=True)
class Point:
    """A layer one way: who computes it, FLOP a byte, FLOP/s."""

    who: str
    name: str
    intensity: float
    speed: float


def main() -> None:
    """Measure, print the table, draw the picture."""
    parser = common.parser(__doc__)
    parser.add_argument("--picture", default="", help="an SVG or PNG file to write")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    threads = use_threads(options.threads)
    keep_freed_memory()
    kernels = library.load()
    if kernels is None:
        raise SystemExit(library.why_none())
    roof, slope = peak(kernels.target, threads), memory_speed()
    title = f"{processor_name()}, {threads} threads, {kernels.target}, torch {torch.__version__}"
    print(title)
    print(f"multiply-adds {roof / 1e9:.0f} GFLOP/s, memory {slope / 1e9:.1f} GB/s")
    points = [point for name in LAYERS for point in points_of(name)]
    for one in points:
        bound = min(roof, slope * one.intensity)
        print(
            f"{one.who:>10} {one.name:<12} {one.intensity:6.1f} FLOP/byte "
            f"{one.speed / 1e9:7.1f} GFLOP/s, {one.speed / bound:6.1%} of the roof"
        )
    if options.picture:
        draw(points, roof, slope, title, options.picture)


def memory_speed() -> float:
    """Bytes a second of adding up 256 MB; the best of five."""
    memory = torch.ones(2**26)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        memory.sum()
        best = max(best, 4 * len(memory) / (time.perf_counter() - started))
    return best


def points_of(name: str) -> list[Point]:
    """Forward and backward of a layer, both ways."""
    shape, weights, macs, outputs, has_gradient = LAYERS[name]
    x = torch.randn(BATCH, *shape)
    weight = (torch.randn(weights) / weights[-1]).requires_grad_()
    bias = torch.zeros(weights[0], requires_grad=True)
    numbers, parameters = x[0].numel(), weight.numel() / BATCH
    bytes_forward = 4 * (numbers + outputs + parameters)
    bytes_backward = 4 * (numbers * (1 + has_gradient) + 2 * outputs + 2 * parameters)
    flop = 2.0 * macs
    found = []
    for who, work, given in (
        ("convscope", ours, batch_last(x)),
        ("PyTorch", theirs, x.to(memory_format=torch.channels_last) if x.ndim == 4 else x),
    ):
        given = given.detach().requires_grad_(has_gradient)
        threads = torch.get_num_threads()
        if work is ours:
            give_threads_to_kernels()
        forward, backward = seconds(work, given, weight, bias)
        use_threads(threads)
        both = flop * (1 + has_gradient)
        found += [
            Point(who, f"{name} forward", flop / bytes_forward, flop * BATCH / forward),
            Point(who, f"{name} backward", both / bytes_backward, both * BATCH / backward),
        ]
    return found


def ours(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """By the kernels."""
    return block(x, weight, bias, PLAN) if x.ndim == 4 else dense(x, weight, bias, "tanh")


def theirs(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """By PyTorch."""
    if x.ndim == 2:
        return torch.tanh(F.linear(x, weight, bias))
    return F.max_pool2d(torch.tanh(F.conv2d(x, weight, bias)), 2)


def seconds(
    work: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[float, float]:
    """Medians of forward and of backward."""
    wanted = [weight, bias, *[x] * x.requires_grad]
    forward, backward = [], []
    for _ in range(60):
        started = time.perf_counter()
        y = work(x, weight, bias)
        forward.append(time.perf_counter() - started)
        upstream = torch.empty_strided(y.shape, y.stride()).fill_(1.0)
        upstream = batch_last(upstream) if work is ours else upstream
        started = time.perf_counter()
        torch.autograd.grad(y, wanted, upstream)
        backward.append(time.perf_counter() - started)
    return statistics.median(forward[10:]), statistics.median(backward[10:])


def draw(points: list[Point], roof: float, slope: float, title: str, path: str) -> None:
    """The roofline, both axes logarithmic."""
    mpl.rcParams["svg.hashsalt"] = "roofline"  # the same file for the same numbers
    figure, axes = plt.subplots(figsize=(8, 6.5))
    ends = [1.0, roof / slope, 400.0]
    axes.loglog(ends, [min(roof, slope * one) / 1e9 for one in ends], color="#37352f", linewidth=2)
    label = f"{roof / 1e9:.0f} GFLOP/s in registers"
    axes.annotate(label, (400, roof / 1e9), (0, 5), textcoords="offset points", ha="right")
    for one in points:
        colour, x, y = COLOURS[one.who], one.intensity, one.speed / 1e9
        filled = colour if one.name.endswith("forward") else "white"
        axes.plot(x, y, "o", markersize=8, markeredgecolor=colour, markerfacecolor=filled)
        places = {other.intensity for other in points if other.name.startswith(one.name[:2])}
        if filled == colour or len(places) > 1:  # else its twin above or below has the name
            left = {"xytext": (-7, -4), "ha": "right"} if one.who == "PyTorch" else {}
            how: dict[str, Any] = {"xytext": (7, -4), "textcoords": "offset points"} | left
            axes.annotate(one.name[:2], (x, y), color=colour, **how)
    for who, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=who)
    axes.plot([], [], "o", color="#37352f", label="forward")
    axes.plot([], [], "o", color="#37352f", markerfacecolor="white", label="backward")
    axes.set_xlabel("operations for each byte that must be read or written")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(title, fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
