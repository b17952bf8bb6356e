"""How good a network in training is on the images held out, and which epoch is the best."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError, TrainingError
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.metrics import negative_log_likelihood, require_finite
from convscope.training.distributed import ALONE, Group


def validate(
    network: nn.Module,
    validation: Dataset,
    preprocessing: Preprocessing,
    *,
    precision: Literal["fp32", "bf16"],
    lr: float,
    group: Group = ALONE,
) -> dict[str, float]:
    """The fields of an epoch's row that the held-out images give.

    Args:
        network: computes in `precision`; it is left in evaluation mode.
        validation: images that are never learnt from, and never the test set.
        preprocessing: of the run.
        lr: the learning rate, for the message.
        group: the processes that share out the images.

    Raises:
        TrainingError: the answers are not finite.
    """
    try:
        scores = _scores(network, validation, preprocessing, precision, group)
        require_finite(scores)
    except InputError as error:
        raise TrainingError(
            f"the network's answers are no numbers any more ({error}): the learning rate of "
            f"{lr:g} is most likely too high; try --set optimizer.lr={lr / 10:g}"
        ) from None
    right = int((scores.argmax(1) == validation.labels).sum())
    return {
        "validation_loss": negative_log_likelihood(scores, validation.labels),
        "validation_accuracy": right / len(validation),
    }


def _scores(
    network: nn.Module,
    validation: Dataset,
    preprocessing: Preprocessing,
    precision: Literal["fp32", "bf16"],
    group: Group,
) -> npt.NDArray[np.float64]:
    """Log-probabilities of all images, of which each process computes its share."""
    n = len(validation)
    if not group.shares_images:
        return log_probabilities(network, validation.images, preprocessing, precision=precision)
    part = group.share(n)
    chosen = validation.subset(np.arange(part.start, part.stop), split=validation.split)
    shape = (len(chosen), len(validation.classes))
    own = np.zeros(shape)
    try:
        if len(chosen):
            own = log_probabilities(network, chosen.images, preprocessing, precision=precision)
    except InputError:
        own = np.full(shape, np.nan)  # the others, too, must hear of it
    return group.rows(torch.from_numpy(own), n).numpy()


def rank(row: Mapping[str, Any]) -> tuple[float, float]:
    """What the best epoch has most of: accuracy on validation first, then the smaller loss."""
    return row["validation_accuracy"], -row["validation_loss"]
