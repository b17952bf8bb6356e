"""What the network says of every test image: the confusion matrix, and the images behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from convscope.comparison import read_results
from convscope.data.dataset import Dataset
from convscope.errors import InputError, unknown_name
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.metrics import evaluate_predictions
from convscope.evaluation.results import Evaluation
from convscope.lab.background import Progress
from convscope.run import Run
from convscope.text import printable
from convscope.web.answers import Refusal

ORDERS = ("loss", "confidence")
MOST_IMAGES = 200


@dataclass(frozen=True, eq=False)
class Measured:
    """The test images, one by one.

    Attributes:
        labels, predicted: N, classes by index.
        probability: N, of the predicted class.
        loss: N, −ln of the probability of the true class, in nats.
        evaluation: of all of them.
    """

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    evaluation: Evaluation


def measure(
    run: Run, model: nn.Module, images: Mapping[str, Dataset], progress: Progress
) -> Measured:
    """Run the network over the test images.

    Raises:
        Refusal: 409, they are not at hand.
    """
    if "test" not in images:
        raise Refusal(409, "the test images of the run are not on this machine")
    test = images["test"]
    scores = log_probabilities(model, test.images, run.document.preprocessing, progress=progress)
    predicted = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    return Measured(
        labels=test.labels,
        predicted=predicted,
        probability=np.exp(scores[rows, predicted]),
        loss=np.maximum(-scores[rows, test.labels], 0.0),
        evaluation=evaluate_predictions(
            scores, test.labels, test.classes, dataset=test.name, split=test.split, files=()
        ),
    )


def stored_results(run: Run) -> Evaluation | None:
    """The evaluation in the run's directory, where there is one that fits its classes."""
    try:
        found = read_results(run)
    except (InputError, OSError):
        return None
    return found if found.classes == tuple(run.document.classes) else None


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """What `GET …/mistakes` answers."""
    return {
        "classes": [printable(name, 80) for name in evaluation.classes],
        "matrix": [list(row) for row in evaluation.confusion],
        "calibration": [
            {"confidence": one.confidence, "accuracy": one.accuracy, "count": one.count}
            for one in evaluation.calibration.bins
            if one.count
        ],
        "ece": evaluation.calibration.ece,
        "n": evaluation.n,
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
    }


def list_images(
    measured: Measured,
    classes: tuple[str, ...],
    *,
    truth: int | None,
    predicted: int | None,
    order: str,
    start: int,
    count: int,
) -> dict[str, Any]:
    """What `GET …/images` answers: the images of a cell, a row or a column of the matrix.

    Without both, all mistakes. The worst first: by loss, or by the probability of the predicted
    class.

    Raises:
        InputError: an unknown order, a class that is not there.
    """
    if order not in ORDERS:
        raise unknown_name("order", printable(order, 40), ORDERS)
    for what, label in (("truth", truth), ("predicted", predicted)):
        if label is not None and not 0 <= label < len(classes):
            raise InputError(f"{what} is {label}; allowed: 0 to {len(classes) - 1}")
    chosen = np.ones(len(measured.labels), dtype=bool)
    if truth is None and predicted is None:
        chosen = measured.labels != measured.predicted
    if truth is not None:
        chosen &= measured.labels == truth
    if predicted is not None:
        chosen &= measured.predicted == predicted
    positions = np.flatnonzero(chosen)
    badness = measured.loss if order == "loss" else measured.probability
    positions = positions[np.argsort(-badness[positions], kind="stable")]
    part = positions[start : start + min(count, MOST_IMAGES)]
    return {
        "total": len(positions),
        "images": [_entry(measured, classes, int(index)) for index in part],
    }


def _entry(measured: Measured, classes: tuple[str, ...], index: int) -> dict[str, Any]:
    truth, predicted = int(measured.labels[index]), int(measured.predicted[index])
    return {
        "split": "test",
        "index": index,
        "truth": classes[truth],
        "truth_index": truth,
        "predicted": classes[predicted],
        "predicted_index": predicted,
        "probability": float(measured.probability[index]),
        "loss": float(measured.loss[index]),
    }
