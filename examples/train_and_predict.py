"""From the embedded digits to a prediction, in Python.

python examples/train_and_predict.py [DIRECTORY]
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

import convscope


def main(directory: Path) -> None:
    """Train LeNet-5 for a few seconds, evaluate it, and let it read one digit."""
    run = convscope.train("lenet5", data="mnist-sample", out=directory / "run")
    result = convscope.evaluate(run, robustness=False)
    low, high = result.accuracy_interval
    print(f"test accuracy {result.accuracy:.1%}, 95 % interval {low:.1%} to {high:.1%}")

    test = convscope.load("mnist-sample").test
    picture = directory / "digit.png"
    Image.fromarray(test.images[0, 0]).save(picture)
    (prediction,) = convscope.predict(run, [picture])
    best = prediction.guesses[0]
    print(f"a {test.classes[test.labels[0]]}, read as {best.name} ({best.probability:.1%} sure)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
