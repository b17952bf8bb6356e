"""The ten codes of LeNet-5's output layer, as a picture.

python examples/lenet5_codes.py DIRECTORY

LeNet-5 of 1998 has no softmax. Each class has a fixed code of 84 numbers, +1 where its bitmap of
7 × 12 is black and −1 where it is white; the answer is the class whose code is nearest to what
the last layer gives. Characters that look alike have codes near to each other.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from convscope.layers.rbf import COLUMNS, ROWS, digit_codes


def main(folder: str) -> None:
    """Draw them, and say which two are nearest."""
    mpl.use("Agg")
    from matplotlib import pyplot

    codes = digit_codes().numpy()
    figure, axes = pyplot.subplots(1, 10, figsize=(9, 1.9), layout="constrained")
    for digit, (axis, code) in enumerate(zip(axes, codes, strict=True)):
        axis.imshow(code.reshape(ROWS, COLUMNS), cmap="Greys", vmin=-1, vmax=1)
        axis.set_xticks(np.arange(1, COLUMNS) - 0.5, minor=True)
        axis.set_yticks(np.arange(1, ROWS) - 0.5, minor=True)
        axis.grid(which="minor", color="#bbbbbb", linewidth=0.4)
        axis.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        axis.set_title(str(digit))
    path = Path(folder, "lenet5-codes.png")
    figure.savefig(path, dpi=130)

    pixels = (codes[:, None] != codes).sum(axis=2) + 84 * np.eye(10, dtype=int)
    first, second = divmod(int(pixels.argmin()), 10)
    print(f"the nearest two are {first} and {second}: {pixels.min()} of 84 pixels differ")
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
