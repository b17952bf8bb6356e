"""Seconds from process start to an accuracy on validation images, against the document's program.

    python benchmarks/time_to_accuracy.py --baseline-python PATH alexnet-bn-fast
    python benchmarks/time_to_accuracy.py --baseline-python PATH alexnet-cifar --set max_steps=100

PATH is a Python that has torch and torchvision, in an environment of its own. For each seed the
source document's AlexNet program runs for some steps, which give the seconds of its first epoch
over 45,000 images, and then `convscope train RECIPE`, a fresh process each, nothing else running.
The clock of ours starts with its process and stops when the validation accuracy (5,000 images of
CIFAR-10 (JPEG), evaluation mode) is known. The document's own log has 60.92 % after one epoch.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
IMAGES = 45_000
TRAIN = """
import json, sys
from convscope import pipeline
from convscope.training.progress import Progress
recipe, data, folder, seed, *settings = sys.argv[1:]
def listen(event):
    if isinstance(event, Progress) and event.finished:
        print(json.dumps(event.finished["validation_accuracy"]), flush=True)
        if event.done == event.total:
            sys.exit()
pipeline.train(recipe, data=data, settings=settings, seed=int(seed), out=folder, listen=listen)
"""


def main() -> None:
    """Run the pairs and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--baseline-python", required=True, help="a Python with torchvision")
    parser.add_argument("--target", type=float, default=60.92, help="per cent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of the document's program")
    parser.add_argument(
        "--shared", type=Path, default=SHARED, help="where data/ and baselines/ are"
    )
    options = parser.parse_args()
    data = options.shared / "data" / "cifar10-jpeg-train.zip"
    program = options.shared / "baselines" / "seed_alexnet.py"
    if not (data.is_file() and program.is_file()):
        sys.exit(f"{data} or {program} is missing: give --shared")
    print("seed  program's epoch s  convscope s  validation %  ratio")
    ratios = []
    for seed in range(options.seeds):
        words = [options.baseline_python, str(program), str(options.steps)]
        output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        epoch = IMAGES / float(re.findall(r"([0-9.]+) images/s", output)[0])
        seconds, accuracy = reached(options.recipe, data, seed, options.set, options.target)
        ratios.append(epoch / seconds)
        row = f"{seed:>4}  {epoch:17.0f}  {seconds:11.1f}  {accuracy:12.2f}  {ratios[-1]:5.2f}"
        print(row if accuracy >= options.target else f"{row}  not reached", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}, least {min(ratios):.2f}")


def reached(
    recipe: str, data: Path, seed: int, settings: list[str], target: float
) -> tuple[float, float]:
    """Seconds to the first validation accuracy of `target` per cent or more, and that accuracy.

    Where it is not reached: the seconds to the last one.
    """
    seconds = accuracy = 0.0
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", TRAIN, recipe, str(data), f"{folder}/run", str(seed)]
        started = time.perf_counter()
        with subprocess.Popen([*words, *settings], stdout=subprocess.PIPE, text=True) as process:
            for text in process.stdout or ():
                seconds, accuracy = time.perf_counter() - started, 100 * json.loads(text)
                if accuracy >= target:
                    process.kill()
                    break
    if not accuracy:
        sys.exit(f"convscope train {recipe} failed with exit code {process.returncode}")
    return seconds, accuracy


if __name__ == "__main__":
    main()
