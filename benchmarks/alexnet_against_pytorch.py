"""A training step of AlexNet with batch normalisation: convscope against the document's program.

    python benchmarks/alexnet_against_pytorch.py --baseline-python PATH [--precision fp32]

PATH is a Python that has torch and torchvision, in an environment of its own. Each pair runs the
source document's program and then `convscope`, both on the same network (58,325,066 parameters),
CIFAR-10 (JPEG) enlarged to 227 × 227, batches of 64, data included, each a fresh process, nothing
else running. Printed are images per second after two steps of warm-up, and peak memory.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
OURS = """
import json, sys, time
from convscope import pipeline
from convscope.environment import peak_memory_bytes
from convscope.events import Progress
data, precision, steps, folder = sys.argv[1:]
seen = []
def listen(event):
    if not isinstance(event, Progress):
        return
    if event.done >= 2:
        seen.append((time.perf_counter(), event.done))
    if event.done == event.total:
        (began, first), (ended, last) = seen[0], seen[-1]
        compute = pipeline.open_run(folder).document.compute
        print(json.dumps({
            "speed": 64 * (last - first) / (ended - began), "memory": peak_memory_bytes(),
            "compute": f"{compute['precision']} {compute['memory_format']}, spectra in "
            + " ".join(compute["fourier"])}))
        sys.exit()
settings = [f"precision={precision}", f"max_steps={int(steps) + 2}", "validation=0"]
pipeline.train("alexnet-bn", data=data, settings=settings, out=folder, listen=listen)
"""


def main() -> None:
    """Run the pairs and print a line for each, then the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--baseline-python", required=True, help="a Python with torchvision")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument(
        "--shared", type=Path, default=SHARED, help="where data/ and baselines/ are"
    )
    options = parser.parse_args()
    data = options.shared / "data" / "cifar10-jpeg-train.zip"
    program = options.shared / "baselines" / "seed_alexnet.py"
    if not (data.is_file() and program.is_file()):
        sys.exit(f"{data} or {program} is missing: give --shared")
    print("pair  program images/s  MB  convscope images/s  MB  ratio  computing in")
    rows = []
    for pair in range(options.pairs):
        words = [options.baseline_python, str(program), str(options.steps)]
        output, theirs_memory = measured(words)
        theirs = float(re.findall(r"([0-9.]+) images/s", output)[0])
        with tempfile.TemporaryDirectory() as folder:
            arguments = [str(data), options.precision, str(options.steps), f"{folder}/run"]
            output, memory = measured([sys.executable, "-c", OURS, *arguments])
        ours = json.loads(output.splitlines()[-1])
        rows.append(
            (theirs, theirs_memory / 1e6, ours["speed"], memory / 1e6, ours["speed"] / theirs)
        )
        print(
            "{:>4}  {:16.1f}  {:6.0f}  {:18.1f}  {:6.0f}  {:5.2f}".format(pair, *rows[-1]),
            ours["compute"],
            flush=True,
        )
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(" med  {:16.1f}  {:6.0f}  {:18.1f}  {:6.0f}  {:5.2f}".format(*medians))
    ratios = [row[4] for row in rows]
    print(f"ratio {min(ratios):.2f} to {max(ratios):.2f}, n = {len(ratios)}")


def measured(words: list[str]) -> tuple[str, int]:
    """What a program prints, and the most memory that was resident in it, in bytes."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{words[:2]} failed with exit code {process.returncode}")
    return text, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
