"""LeNet-5 from 1998 to today, one change at a time; and what the paper of 1998 leaves open.

    python benchmarks/lenet5_ladder.py RESULTS.jsonl [--seeds 5] [--only 0 1 2]
    python benchmarks/lenet5_ladder.py RESULTS.jsonl --guesses --held-out [--seeds 3]
    python benchmarks/lenet5_ladder.py RESULTS.jsonl --table docs/images/lenet5-ladder.png

The first form trains the ladder: each rung keeps the changes of the rungs before it. The second
changes one thing of the recipe lenet5-1998 at a time, those that the paper does not state. One
thread a training and one training a core; what RESULTS.jsonl has already is not trained again, so
it can be stopped and started. A line is written for each: the error after the last pass, on the
test images, or, with `--held-out`, on 5,000 images held out of the training set, by which alone
anything was chosen. The third form prints the table, means with 95 % intervals (Student's t), and
draws the picture (with `--guesses` and `--held-out` as before).
"""

import argparse
import concurrent.futures
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
from convscope.studies.statistics import of_mean

LADDER: list[tuple[str, list[str]]] = [
    # what is changed, and how; every rung keeps the changes before it
    ("1998: SDLM, Eq. 9", []),
    ("softmax of the distances", ["loss.kind=cross-entropy"]),
    ("AdamW, batches of 128, one cycle", [
        "batch_size=128",
        'optimizer={"kind":"adamw","lr":0.003,"weight_decay":0.01}',
        'schedule={"kind":"one-cycle","warmup":0.2}',
    ]),
    ("a linear output for the codes", [
        'model={"name":"lenet5","arguments":{"c3":"table",'
        '"pool":{"layer":"pool","kind":"subsampling"},'
        '"activation":{"layer":"activation","kind":"scaled-tanh"}}}',
    ]),
    ("GELU", ['model.arguments.activation={"layer":"activation","kind":"gelu"}']),
    ("max pooling", ['model.arguments.pool={"layer":"pool","kind":"max"}']),
    ("C3 sees all of S2", ["model.arguments.c3=dense"]),
    ("inputs of mean 0, deviation 1", ["inputs.normalisation=measured"]),
    ("shift, rotation, scale, shear", [
        "augmentation.shift=1.5",
        "augmentation.rotation=12",
        "augmentation.scale=0.12",
        "augmentation.shear=10",
    ]),
    ("elastic distortion", ["augmentation.elastic=1"]),
    ("a moving average of the weights", ["averaging=0.998"]),
    ("four times as many passes", ["epochs=*4", "averaging=0.9995"]),
    ("Muon, batches of 256, half as many passes", [
        "epochs=*2",
        "batch_size=256",
        "augmentation.elastic=2",
        'optimizer={"kind":"muon","lr":0.02,"matrix_lr":0.02,"momentum":0.9,"nesterov":true}',
    ]),
]  # fmt: skip
GUESSES: list[tuple[str, list[str]]] = [
    ("the recipe", []),
    ("Eq. 8", ["loss.kind=distance"]),
    ("j = 1", ["loss.j=1"]),
    ("j = 10", ["loss.j=10"]),
    ("j = 30", ["loss.j=30"]),
    ("μ = 0.02", ["optimizer.mu=0.02"]),
    ("μ = 0.5", ["optimizer.mu=0.5"]),
    ("μ = 5", ["optimizer.mu=5"]),
    ("exact curvature", ["optimizer.curvature=exact"]),
    ("curvature on 5,000 images", ["optimizer.curvature_images=5000"]),
    ("one order for all passes", ["order=once"]),
    ("the order of the files", ["order=stored"]),
    ("codes: bold bitmaps", ["model.arguments.codes=bold"]),
    ("codes: one of N", ["model.arguments.codes=place"]),
    ("codes: by chance", ["model.arguments.codes=random"]),
]


def settings(number: int, options: argparse.Namespace) -> list[str]:
    """The changes of a rung, or of a guess, as assignments to fields of the recipe lenet5-1998."""
    epochs = options.epochs
    found = ["threads=1", f"epochs={epochs}", "stuck_after=0", "keep_epochs=false"]
    for _, changes in [GUESSES[number]] if options.guesses else LADDER[: number + 1]:
        found += [
            f"epochs={epochs * int(change.partition('*')[2])}" if "*" in change else change
            for change in changes
        ]
    return found


def train(data: Path, name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one of them by the command line, and read what it is measured by."""
    changes = settings(names(options).index(name), options)
    if options.held_out:
        changes.append("validation=0.0833")
    words = ["convscope", "train", "lenet5-1998", "--data", str(data), "--seed", str(seed)]
    for change in changes:
        words += ["--set", change]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        call = [sys.executable, "-m", *words, "--out", str(run)]
        subprocess.run(call, check=True, capture_output=True)
        last = read(run / "metrics.jsonl")[-1]
        document = json.loads((run / "run.json").read_text())
        if options.held_out:
            accuracy, training = last["validation_accuracy"], last["train_accuracy"]
        else:
            accuracy = json.loads((run / "results.json").read_text())["accuracy"]
            training = training_accuracy(run)
    return {
        **which(name, seed, options),
        "error": 100 * (1 - accuracy),
        "training_error": 100 * (1 - training),
        "seconds": document["training"]["seconds"],
        "settings": changes,
    }


def training_accuracy(run: Path) -> float:
    """Of the final weights, on the training images as they are."""
    from convscope.evaluation.inference import log_probabilities
    from convscope.run import load_model, open_run
    from convscope.run_data import load_data

    opened = open_run(run)
    images = load_data(opened).train
    scores = log_probabilities(load_model(opened), images.images, opened.document.preprocessing)
    return float((scores.argmax(1) == images.labels).mean())


def names(options: argparse.Namespace) -> list[str]:
    """Of the rungs, or of the guesses."""
    return [name for name, _ in (GUESSES if options.guesses else LADDER)]


def which(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """What tells a line of the results from the others."""
    kind = "guess" if options.guesses else "rung"
    held_out = options.held_out
    return {kind: name, "seed": seed, "epochs": options.epochs, "held_out": held_out}


def train_missing(options: argparse.Namespace) -> None:
    """Train what the results lack; a line each, written at once."""
    data = common.existing(options, "data/mnist")
    rows = read(options.results)
    chosen = [names(options)[number] for number in options.only or range(len(names(options)))]
    wanted = [
        (name, seed)
        for seed in range(options.seeds)
        for name in chosen
        if not any(which(name, seed, options).items() <= row.items() for row in rows)
    ]
    with (
        concurrent.futures.ThreadPoolExecutor(options.jobs or os.cpu_count()) as pool,
        open(options.results, "a") as results,
    ):
        waiting = [pool.submit(train, data, *one, options) for one in wanted]
        for finished in concurrent.futures.as_completed(waiting):
            text = json.dumps(finished.result())
            print(text, file=results, flush=True)
            print(text, flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of the results so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def interval(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean, by Student's t."""
    return of_mean(values).half if len(values) > 1 else math.nan


def table(options: argparse.Namespace) -> None:
    """Print the table as Markdown and draw the picture."""
    found: list[tuple[str, list[float], list[float]]] = []
    for name in names(options):
        sought = which(name, 0, options)
        del sought["seed"]
        rows = [row for row in read(options.results) if sought.items() <= row.items()]
        if rows:
            errors = [row["error"] for row in rows]
            found.append((name, errors, [row["seconds"] for row in rows]))
    print("| change | error, % | 95 % interval | n | seconds |\n|---|---|---|---|---|")
    for name, errors, seconds in found:
        print(
            f"| {name} | {statistics.mean(errors):.3f} | ± {interval(errors):.3f} "
            f"| {len(errors)} | {statistics.median(seconds):.0f} |"
        )
    draw(found, options.table)


def draw(found: Sequence[tuple[str, Sequence[float], Sequence[float]]], path: Path) -> None:
    """A dot for each training, a line for the mean and its interval; the first rung on top."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 0.42 * len(found) + 1.1), layout="constrained")
    for row, (_, errors, _) in enumerate(found):
        axes.plot(errors, [row] * len(errors), "o", color="#9db4d3", markersize=5)
        half = interval(errors)
        axes.errorbar(
            statistics.mean(errors),
            row,
            xerr=None if math.isnan(half) else half,
            fmt="|",
            color="#17365d",
            markersize=14,
            capsize=4,
        )
    axes.axvline(0.95, color="#b3541e", linewidth=1, linestyle="--")
    axes.text(0.97, -0.7, "the paper: 0.95 %", color="#b3541e", va="bottom", fontsize=8)
    axes.set_yticks(range(len(found)), [name for name, _, _ in found])
    axes.set_ylim(len(found) - 0.4, -0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("error, %")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)


def main() -> None:
    """Train, or print and draw."""
    parser = common.parser(__doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS.jsonl")
    parser.add_argument("--seeds", type=int, default=5, choices=range(1, 11))
    parser.add_argument("--epochs", type=int, default=20, help="passes of each rung but the last")
    parser.add_argument("--only", type=int, nargs="*", help="some of them, by number from 0")
    parser.add_argument("--guesses", action="store_true", help="not the ladder: what is left open")
    parser.add_argument("--jobs", type=int, default=0, help="trainings at once; a core each")
    parser.add_argument("--held-out", action="store_true", help="5,000 training images, no test")
    parser.add_argument("--table", type=Path, metavar="PICTURE.png")
    options = parser.parse_args()
    if options.table:
        table(options)
    else:
        train_missing(options)


if __name__ == "__main__":
    main()
