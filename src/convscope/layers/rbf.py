"""LeNet-5's output: distances to drawn characters, and the two losses of its paper.

Each class has a code of 84 values ±1: a 7 × 12 bitmap of its character, +1 where it is black.
The unit's penalty is the squared distance y_i = Σ_j (x_j − w_ij)² (LeCun 1998, §II-B).
"""

import math

import torch
from torch import Tensor, nn

from convscope.errors import InputError

ROWS, COLUMNS = 12, 7

_DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  ..###..  #######  ....##.  #######  ..####.  #######  ..###..  ..###..
.#...#.  ..##...  .#...#.  .....#.  ...#.#.  #......  .#.....  ......#  .#...#.  .#...#.
#.....#  .#.#...  #.....#  ....#..  ..#..#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ...#...  .#...#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  .....#.  ..###..  #....#.  #####..  #.###..  ....#..  .#...#.  #.....#
#.....#  ...#...  ....#..  .....#.  #....#.  .....#.  ##...#.  ....#..  ..###..  .#...##
#.....#  ...#...  ...#...  ......#  #######  ......#  #.....#  ...#...  .#...#.  ..###.#
#.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
.#...#.  ...#...  .#.....  #....#.  .....#.  #....#.  .#...#.  ..#....  #.....#  .....#.
..###..  .#####.  #######  .####..  .....#.  .####..  ..###..  ..#....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""
# The paper's Figure 3 prints its bitmaps too small to copy; these are drawn for this project
# from its description: stylised characters on a grid 7 wide and 12 high.


def digit_codes() -> Tensor:
    """The codes of the digits 0 to 9: float32, 10 × 84, each value −1 or +1.

    A code is its bitmap row by row, from the top left.
    """
    rows = [line.split() for line in _DIGITS.split("\n") if line]
    return torch.tensor(
        [
            [1.0 if mark == "#" else -1.0 for row in rows for mark in row[digit]]
            for digit in range(10)
        ]
    )


def bold_codes() -> Tensor:
    """The bitmaps with upright strokes two pixels wide: each grows towards the middle column."""
    thin = digit_codes().view(10, ROWS, COLUMNS) > 0
    bold, middle = thin.clone(), COLUMNS // 2
    bold[:, :, 1 : middle + 1] |= thin[:, :, :middle]
    bold[:, :, middle:-1] |= thin[:, :, middle + 1 :]
    bold[:, :, middle + 1] |= thin[:, :, middle]
    return bold.float().view(10, -1) * 2 - 1


def place_codes() -> Tensor:
    """One of the first ten values is +1, all others −1: float32, 10 × 84. What bitmaps replace."""
    return 2 * torch.eye(10, ROWS * COLUMNS) - 1


def random_codes() -> Tensor:
    """±1 by chance, always the same: float32, 10 × 84. Each two differ in about 42 values."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 2, (10, ROWS * COLUMNS), generator=generator).float() * 2 - 1


CODES = {
    "bitmaps": digit_codes,
    "bold": bold_codes,
    "place": place_codes,
    "random": random_codes,
}
"""The codes by name."""


def code_text(code: Tensor) -> str:
    """One code of 84 values as its bitmap, `#` where a value is positive.

    >>> code_text(digit_codes()[7]).split()[1:4]
    ['#######', '......#', '.....#.']
    """
    marks = ["#" if value > 0 else "." for value in code.tolist()]
    if len(marks) != ROWS * COLUMNS:
        raise InputError(f"a code has {len(marks)} values; allowed: {ROWS * COLUMNS}, 7 × 12")
    return "\n".join("".join(marks[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS))


class RBF(nn.Module):
    """Scores −y_i with y_i = Σ_j (x_j − w_ij)²: the nearest code has the largest score.

    Args:
        codes: classes × features, fixed: a buffer, not a parameter, and not in the state dict.
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N × features to N × classes."""
        return -(x[:, None, :] - self.codes).square().sum(dim=2)

    def extra_repr(self) -> str:
        classes, features = self.codes.shape
        return f"{features}, {classes}"


def mean_penalty_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Equation 8 of LeCun 1998: the mean over the batch of the correct class's penalty y.

    Args:
        scores: N × classes, −y, as `RBF` gives them.
        labels: int64, N.
    """
    return -scores.gather(1, labels[:, None]).mean()


def map_loss(scores: Tensor, labels: Tensor, j: float = 1.0) -> Tensor:
    """Equation 9 of LeCun 1998: mean of y_correct + log(e^−j + Σ_i e^−y_i), maximum a posteriori.

    The constant e^−j stands for everything that is no character; it keeps the penalties of the
    wrong classes from being pushed up without end.

    Args:
        scores: N × classes, −y, as `RBF` gives them.
        labels: int64, N.
        j: > 0. The paper prints no value; 1 is our choice.

    Raises:
        InputError: j is not a positive number.
    """
    if not (j > 0 and math.isfinite(j)):
        raise InputError(f"j is {j}; allowed: a positive number")
    rubbish = scores.new_full((len(scores), 1), -j)
    competition = torch.logsumexp(torch.cat([scores, rubbish], dim=1), dim=1).mean()
    return mean_penalty_loss(scores, labels) + competition
