"""What the benchmarks share: options, a training in a fresh process, the document's program."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared"
IMAGES = 45_000
"""Training images of the document's AlexNet program: an epoch."""
_TRAIN = """
import json, sys
from convscope import pipeline
from convscope.events import Progress
recipe, data, folder, seed, *settings = sys.argv[1:]
def listen(event):
    if isinstance(event, Progress):
        row = {"done": event.done, "total": event.total, "loss": event.loss}
        print(json.dumps(row | (event.finished or {})), flush=True)
        if event.done == event.total:
            sys.exit()
pipeline.train(recipe, data=data, settings=settings, seed=int(seed), out=folder, listen=listen)
"""


def parser(document: str | None, *, baseline: bool = False) -> argparse.ArgumentParser:
    """Options of a benchmark that is described by its module's docstring."""
    found = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawTextHelpFormatter
    )
    found.add_argument("--shared", type=Path, default=SHARED, help="where data/ and baselines/ are")
    if baseline:
        found.add_argument("--baseline-python", required=True, help="a Python with torchvision")
    return found


def existing(options: argparse.Namespace, name: str) -> Path:
    """A file of the shared folder; the benchmark ends with a reason where it is missing."""
    path: Path = options.shared / name
    if not path.exists():
        sys.exit(f"{path} is missing: give --shared")
    return path


def cifar10(options: argparse.Namespace) -> Path:
    """CIFAR-10 (JPEG)."""
    return existing(options, "data/cifar10-jpeg-train.zip")


def document_alexnet(options: argparse.Namespace, steps: int) -> tuple[float, int]:
    """Images/s of the document's AlexNet program over some steps, and its peak memory in bytes."""
    program = existing(options, "baselines/seed_alexnet.py")
    output, memory = measured([options.baseline_python, str(program), str(steps)])
    return float(re.findall(r"([0-9.]+) images/s", output)[0]), memory


def measured(words: list[str]) -> tuple[str, int]:
    """What a program prints, and the most memory that was resident in it, in bytes."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL)
        memory = _end(process, words)
        output.seek(0)
        return output.read(), memory


def training(
    recipe: str, data: Path, folder: str, seed: int, settings: list[str]
) -> Generator[dict[str, Any], None, int]:
    """Rows of a training in a fresh process, until its last step; evaluation is left out.

    A row has `done` and `total` steps, the epoch's mean `loss` so far, `seconds` since the process
    began, and at the end of an epoch its row of metrics. It ends early where nobody asks on.

    Returns:
        The most memory that was resident, in bytes.
    """
    words = [sys.executable, "-c", _TRAIN, recipe, str(data), folder, str(seed), *settings]
    started = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for text in process.stdout:
                yield json.loads(text) | {"seconds": time.perf_counter() - started}
        except GeneratorExit:
            process.kill()
            raise
        return _end(process, [f"convscope train {recipe}"])


def final_row(recipe: str, data: Path, seed: int, settings: list[str]) -> dict[str, Any]:
    """The last row of a training."""
    with tempfile.TemporaryDirectory() as folder:
        return list(training(recipe, data, f"{folder}/run", seed, settings))[-1]


def _end(process: subprocess.Popen[Any], words: list[str]) -> int:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(words)} failed with exit code {process.returncode}")
    return usage.ru_maxrss * 1024
