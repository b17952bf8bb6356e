"""A training step of AlexNet with batch normalisation: convscope against the document's program.

    python benchmarks/alexnet_against_pytorch.py --baseline-python PATH [--precision fp32]

PATH is a Python that has torch and torchvision, in an environment of its own. Each pair runs the
source document's program and then `convscope`, both on the same network (58,325,066 parameters),
CIFAR-10 (JPEG) enlarged to 227 × 227, batches of 64, data included, each a fresh process, nothing
else running. Printed are images per second after two steps of warm-up, and peak memory. Among the
60 steps of `convscope` is its first checkpoint, which takes as long as several steps.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import common
from convscope.run import open_run


def main() -> None:
    """Run the pairs and print a line for each, then the medians."""
    parser = common.parser(__doc__, baseline=True)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    data = common.cifar10(options)
    print("pair  program images/s  MB  convscope images/s  MB  ratio  computing in")
    rows = []
    for pair in range(options.pairs):
        theirs, their_memory = common.document_alexnet(options, options.steps)
        ours, memory, way = speed(data, options.precision, options.steps)
        rows.append((theirs, their_memory / 1e6, ours, memory / 1e6, ours / theirs))
        print(line(f"{pair:>4}", rows[-1]), way, flush=True)
    print(line(" med", [statistics.median(column) for column in zip(*rows, strict=True)]))
    ratios = [row[4] for row in rows]
    print(f"ratio {min(ratios):.2f} to {max(ratios):.2f}, n = {len(ratios)}")


def speed(data: Path, precision: str, steps: int) -> tuple[float, int, str]:
    """Images/s of convscope after two steps of warm-up, peak memory in bytes, how it computed."""
    settings = [f"precision={precision}", f"max_steps={steps + 2}", "validation=0"]
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        process = common.training("alexnet-bn", data, f"{folder}/run", 0, settings)
        while True:
            try:
                row = next(process)
            except StopIteration as end:
                memory = end.value
                break
            times[row["done"]] = row["seconds"]
        compute = open_run(f"{folder}/run").document.compute
    way = f"{compute['precision']} {compute['memory_format']}"
    way += f", spectra in {' '.join(compute['fourier'])}"
    way += " by kernels" if compute["spectra_kernels"] else ""
    way += f", kernels {compute['kernels']}" if compute["kernels"] else ""
    return 64 * steps / (times[steps + 2] - times[2]), memory, way


def line(name: str, row: Sequence[float]) -> str:
    """A row of the table."""
    return "{}  {:16.1f}  {:6.0f}  {:18.1f}  {:6.0f}  {:5.2f}".format(name, *row)


if __name__ == "__main__":
    main()
