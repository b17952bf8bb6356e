"""Two processes with a thread each against one process with one thread, and bytes on the wire.

    python benchmarks/scaling.py [--rounds 5] [--only lenet5 ...]

The global batch is the same for both, the data random pictures in memory, and the loop the one
that `convscope train` runs. Both are started in turns, and each round is a pair. Printed are
images/s (medians of the rounds, range in brackets), the efficiency, half of the ratio of a pair;
the bytes that each process hands over for a step, counted where they are handed over; and those
that the loopback interface carried meanwhile, both directions and other programs' included.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common

FORMAT = "{:22} {:>6} {:>9} {:>20} {:>20} {:>19} {:>15} {:>15}"


@dataclass(frozen=True)
class Case:
    """A network as it is timed: recipe, changes to it, side of the pictures, steps timed."""

    recipe: str
    side: int
    channels: int
    settings: dict[str, Any]
    steps: int


CASES = {
    "lenet5": Case("lenet5", 28, 1, {}, 300),
    "alexnet-cifar": Case("alexnet-cifar", 32, 3, {"batch_size": 256}, 6),
    "alexnet-2012": Case("alexnet-2012", 256, 3, {"batch_size": 32}, 3),
    "alexnet-2012 columns": Case(
        "alexnet-2012", 256, 3, {"batch_size": 32, "parallel": "columns"}, 3
    ),
}
ALWAYS = {"threads": 1, "validation": 0.0, "epochs": 1000, "stuck_after": 0, "keep_epochs": False}
FIXED = {"precision": "fp32", "memory_format": "channels_last", "fourier": ()}
WARM = 2
"""Steps before the clock is started."""


def main() -> None:
    """Start workers and print the table; or be one of them."""
    if "SCALING_CASE" in os.environ:
        work(CASES[os.environ["SCALING_CASE"]])
        return
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    header = ("batch", "steps", "1 process", "2 processes", "efficiency", "bytes/step", "loopback")
    print(FORMAT.format("network", *header))
    for name in options.only:
        pairs = [(measure(name, 1), measure(name, 2)) for _ in range(options.rounds)]
        print_case(name, pairs)


def print_case(name: str, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    """One line of the table."""
    one, two = ([found["speed"] for found in side] for side in zip(*pairs, strict=True))
    shares = [100 * b / a / 2 for a, b in zip(one, two, strict=True)]
    last = pairs[-1][1]
    print(
        FORMAT.format(
            name,
            f"{last['batch']:.0f}",
            CASES[name].steps,
            spread(one),
            spread(two),
            spread(shares) + " %",
            f"{last['bytes']:,.0f}",
            f"{last['loopback']:,.0f}",
        ),
        flush=True,
    )


def spread(values: list[float]) -> str:
    """The median, and the least and the largest."""
    return f"{statistics.median(values):,.1f} ({min(values):,.1f}–{max(values):,.1f})"


def measure(name: str, processes: int) -> dict[str, float]:
    """What process 0 of a training by `processes` finds."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    variables = {
        "SCALING_CASE": name,
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | variables | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    output = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"{name} with {processes} processes failed")
    found: dict[str, float] = json.loads(output[0])
    return found


def work(case: Case) -> None:
    """Train some steps, and print what they took as JSON."""
    from convscope.recipes import recipe as by_name
    from convscope.training import loop
    from convscope.training.columns import Traffic
    from convscope.training.distributed import joined
    from convscope.training.fit import fit
    from convscope.training.recipe import recipe_from_json

    plain = by_name(case.recipe).model_dump(mode="json")
    changes = ALWAYS | FIXED | case.settings | {"max_steps": WARM + case.steps, "min_steps": 0}
    recipe = recipe_from_json(plain | changes)
    loop.REPORT_SECONDS = 0.0  # a row for every step
    counted, moments, loopbacks = [], [], []
    with tempfile.TemporaryDirectory() as folder, joined() as group:
        run, data = start(recipe, case, Path(folder))
        for row in fit(run, data, group=group, checkpoint_seconds=1e9):
            if row.done in (WARM, WARM + case.steps):
                moments.append(time.perf_counter())
                counted.append(Traffic.bytes + handed_over())
                loopbacks.append(loopback())
        n = case.steps
        found = {
            "speed": n * recipe.batch_size / (moments[1] - moments[0]),
            "batch": recipe.batch_size,
            "bytes": (counted[1] - counted[0]) / n,
            "loopback": (loopbacks[1] - loopbacks[0]) / n,
        }
        if group.first:
            print(json.dumps(found))


def start(recipe: Any, case: Case, folder: Path) -> tuple[Any, Any]:
    """A run in `folder`, and random pictures of ten classes for it."""
    import numpy as np

    from convscope.data.dataset import Dataset, Splits
    from convscope.run_setup import fit_to_data, start_run

    rng = np.random.default_rng(0)
    n = recipe.batch_size * (WARM + case.steps + 1)
    images = rng.integers(0, 256, (n, case.channels, case.side, case.side), dtype=np.uint8)
    classes = tuple(f"class {number}" for number in range(10))
    data = Dataset(
        name="random", split="train", images=images, labels=np.arange(n) % 10, classes=classes
    )
    test = data.subset(np.arange(1), split="test")
    splits = Splits(train=data, test=test)
    run = start_run(fit_to_data(recipe, data), splits, folder, False, "never", "", 1)
    return run, data


def handed_over() -> int:
    """Bytes of gradients that this process has handed over so far."""
    from convscope.training.gradients import GradientSums

    return GradientSums.handed_over


def loopback() -> int:
    """Bytes that the loopback interface has carried since the machine began."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    return 0


if __name__ == "__main__":
    main()
