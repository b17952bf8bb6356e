"""Whether training in bf16 learns as float32 does: loss curves of the same seeds, side by side.

    python benchmarks/bf16_against_fp32.py [--seeds 3] [--steps 300] [--batch 16]

AlexNet with batch normalisation, 227 × 227, CIFAR-10 (JPEG). Printed is the mean training loss of
each fifth of the steps: for each seed in float32, in bf16, and their difference; then how far
seeds are apart in float32. A difference within that is no more than another seed makes.
"""

import itertools
import statistics
import tempfile
from pathlib import Path

import common

PARTS = 5


def main() -> None:
    """Train all and print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3, choices=range(2, 11))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    data = common.cifar10(options)
    edges = [round(options.steps * part / PARTS) for part in range(PARTS + 1)]
    print("seed            ", *(f"{a + 1:>4} to {b:<3}" for a, b in itertools.pairwise(edges)))
    exact: list[list[float]] = []
    for seed in range(options.seeds):
        always = [f"max_steps={options.steps}", f"batch_size={options.batch}", "validation=0"]
        found = {
            precision: losses(data, seed, [*always, f"precision={precision}"], edges)
            for precision in ("fp32", "bf16")
        }
        exact.append(found["fp32"])
        for name, row in found.items():
            print(f"{seed:>4}  {name:10}", *(f"{value:11.4f}" for value in row), flush=True)
        apart = [b - a for a, b in zip(found["fp32"], found["bf16"], strict=True)]
        print("      difference", *(f"{value:+11.4f}" for value in apart), flush=True)
    spread = [statistics.stdev(column) for column in zip(*exact, strict=True)]
    print("sd of fp32 seeds", *(f"{value:11.4f}" for value in spread))


def losses(data: Path, seed: int, settings: list[str], edges: list[int]) -> list[float]:
    """Mean loss between the steps of `edges`."""
    sums = {0: 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for row in common.training("alexnet-bn", data, f"{folder}/run", seed, settings):
            sums[row["done"]] = row["loss"] * row["done"]
    # Steps that went by unreported lie between their neighbours.
    nearest = [min((abs(step - edge), step) for step in sums)[1] for edge in edges]
    pairs = itertools.pairwise(nearest)
    return [(sums[b] - sums[a]) / (b - a) for a, b in pairs]


if __name__ == "__main__":
    main()
