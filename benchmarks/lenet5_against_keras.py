"""LeNet-5 on MNIST: convscope against the source document's Keras program, in turns.

    python benchmarks/lenet5_against_keras.py --keras-python PATH [--pairs 5]

PATH is a Python that has tensorflow, in an environment of its own. Each pair runs the Keras
program (10 epochs, as in the document) and then `convscope train lenet5`, each a fresh process,
nothing else running. Measured is the wall time from the start of the process: for the Keras
program to its end, for convscope to the printed test accuracy and to the end of the report.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time

import common

ACCURACY = re.compile(rb"[Tt]est accuracy:? +([0-9.]+)(%?)")


def main() -> None:
    """Run the pairs and print a line for each, then the medians."""
    parser = common.parser(__doc__)
    parser.add_argument("--keras-python", required=True, help="a Python with tensorflow")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    mnist = common.existing(options, "data/mnist")
    program = common.existing(options, "baselines/seed_lenet5.py")
    ours = [sys.executable, "-m", "convscope", "train", "lenet5", "--data", str(mnist)]
    print("pair  Keras s  Keras %  convscope s  convscope %  with report s  Keras / convscope")
    rows = []
    for pair in range(options.pairs):
        _, keras, keras_accuracy = timed([options.keras_python, str(program), "10"])
        with tempfile.TemporaryDirectory() as folder:
            words = [*ours, "--seed", str(pair), "--out", f"{folder}/run"]
            printed, ended, accuracy = timed(words)
        rows.append((keras, keras_accuracy, printed, accuracy, ended, keras / printed))
        print(
            "{:>4}  {:7.1f}  {:7.2f}  {:11.1f}  {:11.2f}  {:13.1f}  {:17.2f}".format(
                pair, *rows[-1]
            ),
            flush=True,
        )
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(" med  {:7.1f}  {:7.2f}  {:11.1f}  {:11.2f}  {:13.1f}  {:17.2f}".format(*medians))
    print(f"mean test accuracy of convscope: {statistics.mean(row[3] for row in rows):.3f} %")


def timed(words: list[str]) -> tuple[float, float, float]:
    """Run a program: seconds to its printed test accuracy and to its end, the accuracy in %."""
    start = time.monotonic()
    printed, accuracy = 0.0, 0.0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = ACCURACY.search(line)
            if found:
                printed = time.monotonic() - start
                accuracy = float(found[1]) * (1 if found[2] else 100)
    if process.returncode or not printed:
        sys.exit(f"{words} failed with exit code {process.returncode}")
    return printed, time.monotonic() - start, accuracy


if __name__ == "__main__":
    main()
