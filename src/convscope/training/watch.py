"""A watch on the loss: stop when it is not finite, runs away, or never beats guessing."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from convscope.errors import TrainingError
from convscope.training.recipe import Recipe

WINDOW = 50


def label_entropy(labels: npt.NDArray[np.int64]) -> float:
    """Entropy of the labels in nats: the loss of knowing only how common each class is.

    With equally common classes it is ln(number of classes).

    >>> round(label_entropy(np.array([0, 1, 2, 3])), 4)
    1.3863
    """
    counts = np.bincount(labels)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def check_loss(recent: Sequence[float], steps_done: int, chance: float, recipe: Recipe) -> None:
    """Stop a training that cannot come to anything.

    Args:
        recent: losses of the latest steps, the newest last, at most `WINDOW`.
        steps_done: steps since the start of training.
        chance: the loss of guessing, see `label_entropy`.
        recipe: for the learning rate and what to watch.

    Raises:
        TrainingError: with the likely cause and what to change.
    """
    loss, lr = recent[-1], recipe.optimizer.lr
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} at step {steps_done}: the learning rate of {lr:g} is most "
            f"likely too high; try --set optimizer.lr={lr / 10:g}"
        )
    if recipe.loss.kind != "cross-entropy" or recipe.teachers.count or len(recent) < WINDOW:
        return
    mean = math.fsum(recent) / len(recent)
    if steps_done >= 2 * WINDOW and mean > 3 * chance + 2:
        raise TrainingError(
            f"the loss runs away: {mean:.3g} over the last {WINDOW} steps, where guessing gives "
            f"{chance:.2f}; the learning rate of {lr:g} is most likely too high; "
            f"try --set optimizer.lr={lr / 10:g}"
        )
    if recipe.stuck_after and steps_done == recipe.stuck_after and mean > 0.985 * chance:
        raise TrainingError(
            f"after {steps_done} steps the loss is {mean:.3f}, no better than guessing "
            f"({chance:.3f}). Likely causes: a learning rate ({lr:g}) that is too high or too low, "
            "labels that do not belong to their images (look with `convscope check`); "
            "--set stuck_after=0 trains on regardless"
        )
