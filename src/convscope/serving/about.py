"""What is served: the model's name, its classes, how good it is, and the pictures it takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.predictor import Predictor


@dataclass(frozen=True)
class Accuracy:
    """The share of `n` test images that the model is right about, with its 95 % interval."""

    accuracy: float
    interval: tuple[float, float]
    n: int
    dataset: str

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "n": self.n,
            "dataset": self.dataset,
        }


@dataclass(frozen=True)
class About:
    """Attributes: `model` is the network's name; `source` where it came from, safe to show."""

    model: str
    source: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    accuracy: Accuracy | None

    def to_json(self) -> dict[str, Any]:
        channels, (height, width) = self.preprocessing.channels, self.preprocessing.size
        return {
            "model": self.model,
            "classes": list(self.classes),
            "picture": {"channels": channels, "height": height, "width": width},
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
        }


def describe(path: Path, predictor: Predictor) -> About:
    """What is known about the model of a predictor that was opened from `path`."""
    model, accuracy = _of_run(path) if path.is_dir() else _of_onnx(predictor)
    return About(model, predictor.shown, predictor.classes, predictor.preprocessing, accuracy)


def _of_run(path: Path) -> tuple[str, Accuracy | None]:
    from convscope.comparison import read_results
    from convscope.run import open_run

    run = open_run(path)
    try:
        result = read_results(run)
    except InputError:  # not evaluated, or damaged: no reason not to serve
        return run.document.model.name, None
    accuracy = Accuracy(result.accuracy, result.accuracy_interval, result.n, result.dataset)
    return run.document.model.name, accuracy


def _of_onnx(predictor: Predictor) -> tuple[str, Accuracy | None]:
    document = getattr(predictor, "document", None)
    if document is None:
        return "a network", None
    given = document.accuracy
    if given is None:
        return document.model, None
    return document.model, Accuracy(given.accuracy, given.interval, given.n, given.dataset)
