"""Exports in eight bits beside float32: size, speed, accuracy on the run's own test images.

    python benchmarks/int8_against_fp32.py RUN... [--threads 2]

Each run is exported twice (the accuracies are those that `convscope export --int8` measures, on
the same images, with McNemar's exact test of the difference) and both files answer batches of 1
and of 64 images in turn, five times each; medians, and the smallest and largest.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

import convscope
from convscope.predictor import Predictor

ROUNDS, SECONDS = 5, 1.0


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for path in options.runs:
        with tempfile.TemporaryDirectory() as directory:
            measure(convscope.open_run(path), Path(directory), options.threads)


def measure(run: convscope.Run, directory: Path, threads: int) -> None:
    """Both files of a run."""
    whole = convscope.export(run, out=directory / "fp32.onnx")
    small = convscope.export(run, out=directory / "int8.onnx", int8=True)
    print(f"{run.document.model.name} on {run.document.data.name}")
    share = whole.bytes / small.bytes
    print(f"  size: fp32 {whole.bytes:,} bytes, int8 {small.bytes:,}: 1/{share:.1f}")
    assert small.accuracy is not None
    assert small.accuracy_interval is not None
    assert small.float_accuracy is not None
    assert small.p_value is not None
    low, high = small.accuracy_interval
    print(
        f"  accuracy: fp32 {small.float_accuracy:.2%}, int8 {small.accuracy:.2%} (95 % interval "
        f"{low:.2%} to {high:.2%}, n = {small.n:,}), McNemar's p = {small.p_value:.2g}"
    )
    predictors = [convscope.open_predictor(one.path, threads=threads) for one in (whole, small)]
    p = predictors[0].preprocessing
    for count in (1, 64):
        shape = (count, p.channels, *p.size)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        speeds: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for predictor, found in zip(predictors, speeds, strict=True):
                found.append(_speed(predictor, images))
        fp32, int8 = (statistics.median(found) for found in speeds)
        times = f"int8 {int8:,.0f}, {int8 / fp32:.2f} times as fast"
        spread = ", ".join(f"{min(found):,.0f} to {max(found):,.0f}" for found in speeds)
        print(f"  batch {count}, images/s: fp32 {fp32:,.0f}, {times} ({spread}; {threads} threads)")


def _speed(predictor: Predictor, images: npt.NDArray[np.uint8]) -> float:
    predictor.probabilities(images)
    done, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS:
        predictor.probabilities(images)
        done += len(images)
    return done / seconds


if __name__ == "__main__":
    main()
