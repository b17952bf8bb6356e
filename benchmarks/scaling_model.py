"""A model of how training of AlexNet would scale to 1,024 workers, from counted bytes.

    python benchmarks/scaling_model.py [--tflops 60] [--batch 128] [--weak] [--overlap]

Three ways to share out a step of alexnet-2012 (1,000 classes, 224 × 224):

  data      each worker has B/N images; gradients of all weights are added up (ring all-reduce).
  columns   pairs of workers have a column each (Krizhevsky et al. 2012) and exchange activations;
            the N/2 pairs share out the images, and each half of the weights is added up among them.
  mixed     convolutions share out images, fully connected layers units (Krizhevsky 2014,
            arXiv:1404.5997, scheme a): every worker gathers the activations of the whole batch
            before each of them, and gradients of activations go back.

Assumptions, each of which an option or a line below changes:
  - A worker computes at --tflops (10^12 multiplications and additions a second) whatever its share,
    and a step takes three times the forward pass. Small shares really compute slower.
  - The network is flat: every worker sends and receives at its link's full speed at once.
  - A ring all-reduce of G bytes takes 2·(N−1)/N·G/speed, and gathering A bytes, of which each has
    A/N, takes (N−1)/N·A/speed; each adds one delay for each of its log2(N) levels up and down.
  - Nothing overlaps. With --overlap, all-reduces hide behind the backward pass (two thirds of the
    computing) as far as they fit; exchanged activations are always waited for.
  - Numbers travel in float32.
Efficiency is the time of one worker for the same images, divided by N times that of N workers. The
batch stays at --batch, as the recipe has it; with --weak it is --batch images for each worker,
which trains another way. Workers beyond the batch have nothing to do: a dash.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

from convscope import anatomy

LINKS = {"10 Gb/s": (10e9 / 8, 30e-6), "100 Gb/s": (100e9 / 8, 5e-6), "NVLink": (300e9, 2e-6)}
"""Bytes a second in each direction, and seconds of delay for a message; NVLink of 2020."""
WORKERS = tuple(2**k for k in range(1, 11))
CLASSES = 1000
DENSE_INPUTS = {"fc6": 256 * 6 * 6, "fc7": 4096, "fc8": 4096}
MEETING = 128 * 13 * 13 + 128 * 6 * 6 + 2 * 2048
"""Activations of one column that the other needs for an image: pool2, pool5, fc6, fc7."""
BORDER = 2 * 55 * 55 + 2 * 27 * 27
"""And those that the paper's normalisation needs across the columns' boundary."""


@dataclass(frozen=True)
class Network:
    """Of alexnet-2012: multiply-adds of an image, bytes of weights of both kinds of layers."""

    work: int
    convolutions: int
    dense: int


@dataclass(frozen=True)
class Step:
    """Of one worker: images × share of the network; bytes to add up, among how many; bytes of
    activations that it receives; messages one after the other."""

    images: float
    summed: float
    among: int
    received: float
    messages: int


def main() -> None:
    """Print the counted bytes and a table for each link."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tflops", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--weak", action="store_true")
    parser.add_argument("--overlap", action="store_true")
    options = parser.parse_args()
    network = measure()
    rate = options.tflops * 1e12 / (2 * 3 * network.work)
    weights = network.convolutions + network.dense
    print(f"{weights // 4:,} weights, {network.convolutions // 4:,} of them in convolutions")
    print(f"a worker trains {rate:,.0f} images/s; batch {options.batch}" + " each" * options.weak)
    print(
        f"bytes to send for an image of the batch, 2 workers: {per_image(network, options.batch)}"
    )
    for link, (speed, delay) in LINKS.items():
        print(f"\n| {link} | " + " | ".join(f"{n:,}" for n in WORKERS) + " |")
        print("|---" * (len(WORKERS) + 1) + "|")
        for name, way in WAYS.items():
            cells = []
            for n in WORKERS:
                batch = options.batch * (n if options.weak else 1)
                if batch < n:
                    cells.append("–")
                    continue
                step = way(network, batch, n)
                seconds = time_of(step, rate, speed, delay, options.overlap)
                cells.append(f"{100 * batch / rate / n / seconds:.0f} %")
            print(f"| {name} | " + " | ".join(cells) + " |")


def measure() -> Network:
    """The network's numbers, from its anatomy."""
    found = anatomy("alexnet-2012")
    dense = [row.parameters for row in found.layers if row.name in DENSE_INPUTS]
    return Network(found.multiply_adds, 4 * (found.parameters - sum(dense)), 4 * sum(dense))


def data(network: Network, batch: int, n: int) -> Step:
    """Every worker has all weights and its share of the images."""
    return Step(batch / n, network.convolutions + network.dense, n, 0.0, 0)


def columns(network: Network, batch: int, n: int) -> Step:
    """Every worker has half of the weights, for twice as many images."""
    images = 2 * batch / n
    received = 4 * images * (2 * (MEETING + BORDER) + CLASSES / 2)
    summed = (network.convolutions + network.dense) / 2
    return Step(images / 2, summed, n // 2, received, 2 * 6 + 1)


def mixed(network: Network, batch: int, n: int) -> Step:
    """Every worker has its images in the convolutions, its units after them."""
    values = sum(DENSE_INPUTS.values())
    received = 4 * batch * (n - 1) / n * (2 * values + CLASSES)
    levels = math.ceil(math.log2(n))
    return Step(batch / n, network.convolutions, n, received, (2 * 3 + 1) * levels)


WAYS: dict[str, Callable[[Network, int, int], Step]] = {
    "data": data,
    "columns": columns,
    "mixed": mixed,
}


def time_of(step: Step, rate: float, speed: float, delay: float, overlap: bool) -> float:
    """Seconds of a step."""
    computing = step.images / rate
    summing = 0.0
    if step.among > 1:
        levels = math.ceil(math.log2(step.among))
        summing = 2 * (step.among - 1) / step.among * step.summed / speed + 2 * levels * delay
    if overlap:
        summing = max(0.0, summing - 2 / 3 * computing)
    return computing + summing + step.received / speed + step.messages * delay


def per_image(network: Network, batch: int) -> str:
    """Bytes that one of two workers sends, divided by the images of the batch."""
    parts = []
    for name, way in WAYS.items():
        step = way(network, batch, 2)
        summed = 2 * (step.among - 1) / step.among * step.summed
        parts.append(f"{name} {(summed + step.received) / batch:,.0f}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
