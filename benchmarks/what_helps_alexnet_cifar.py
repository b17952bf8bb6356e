"""What each ingredient of the recipe `alexnet-cifar` brings: all but one, over common seeds.

    python benchmarks/what_helps_alexnet_cifar.py [--seeds 3] [--epochs 8] [--width 16] [--set ...]

A smaller network and fewer epochs than the recipe's, CIFAR-10 (JPEG), one thread a training and
one training a core. Printed are the validation accuracy after the last epoch and its difference
from the whole recipe at the same seeds, with a 95 % interval (Student's t); the test images are
not looked at.
"""

import concurrent.futures
import os
import statistics

import common
from convscope.studies.statistics import of_mean

WITHOUT = {
    "(the whole recipe)": [],
    "Muon (SGD instead)": ["optimizer.kind=sgd"],
    "GELU (ReLU instead)": ['model.arguments.activation={"layer":"activation","kind":"relu"}'],
    "late pooling": ["model.arguments.late_pooling=false"],
    "whitening filters": ["initial.whitening=false"],
    "maps passed on": ["initial.identity=false"],
    "both of these": ["initial.whitening=false", "initial.identity=false"],
    "normalised fc6, fc7": ["model.arguments.hidden_norm=false"],
    "label smoothing": ["loss.label_smoothing=0"],
    "random crops": ["augmentation.crop=0"],
    "cutout": ["augmentation.cutout=0"],
    "mirror images": ["augmentation.flip=false"],
    "a falling rate": ["schedule.kind=constant"],
    "overlapping pooling": ['model.arguments.pool={"layer":"pool","kind":"max","kernel":2}'],
    "weight decay": ["optimizer.weight_decay=0"],
}


def main() -> None:
    """Train all and print a line for each ingredient."""
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3, choices=range(2, 11))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--set", action="append", default=[], help="for all: precision=bf16")
    options = parser.parse_args()
    data = common.cifar10(options)
    always = [
        "threads=1",
        f"epochs={options.epochs}",
        "validation=0.1",
        f"model.arguments.width={options.width}",
        *options.set,
    ]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {
            name: [
                pool.submit(common.final_row, "alexnet-cifar", data, seed, [*always, *settings])
                for seed in range(options.seeds)
            ]
            for name, settings in WITHOUT.items()
        }
        whole: list[float] = []
        for name, trainings in waiting.items():
            found = [100 * one.result()["validation_accuracy"] for one in trainings]
            whole = whole or found
            print(line(name, found, whole), flush=True)


def line(name: str, found: list[float], whole: list[float]) -> str:
    """Mean, difference from the whole recipe, and half of the difference's interval."""
    text = f"without {name:22} {statistics.mean(found):6.2f} %"
    differences = [a - b for a, b in zip(found, whole, strict=True)]
    if not any(differences):
        return f"        {name:22} {statistics.mean(found):6.2f} %"
    return f"{text}  {statistics.mean(differences):+6.2f} ± {of_mean(differences).half:.2f}"


if __name__ == "__main__":
    main()
