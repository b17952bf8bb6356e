"""Seconds from process start to an accuracy on validation images, against the document's program.

    python benchmarks/time_to_accuracy.py --baseline-python PATH alexnet-bn-fast
    python benchmarks/time_to_accuracy.py --baseline-python PATH alexnet-cifar \\
        --set max_steps=60 --set batch_size=256 --set validation=0.1

PATH is a Python that has torch and torchvision, in an environment of its own. For each seed the
source document's AlexNet program runs for some steps, which give the seconds of its first epoch
over 45,000 images, and then `convscope train RECIPE`, a fresh process each, nothing else running.
The clock of ours starts with its process and stops when the validation accuracy (5,000 images of
CIFAR-10 (JPEG), evaluation mode) is known. The document's own log has 60.92 % after one epoch.
"""

import statistics
import tempfile
from pathlib import Path

import common


def main() -> None:
    """Run the pairs and print a line for each."""
    parser = common.parser(__doc__, baseline=True)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--target", type=float, default=60.92, help="per cent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of the document's program")
    options = parser.parse_args()
    data = common.cifar10(options)
    print("seed  program's epoch s  convscope s  validation %  ratio")
    ratios = []
    for seed in range(options.seeds):
        speed, _ = common.document_alexnet(options, options.steps)
        epoch = common.IMAGES / speed
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
        for row in common.training(recipe, data, f"{folder}/run", seed, settings):
            if "validation_accuracy" not in row:
                continue
            seconds, accuracy = row["seconds"], 100 * row["validation_accuracy"]
            if accuracy >= target:
                break
    return seconds, accuracy


if __name__ == "__main__":
    main()
