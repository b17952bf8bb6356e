"""What is measured of a trained network: one function a question, by name.

A probe takes what training left and gives numbers by name. Shares (accuracies, consistencies) run
from 0 to 1. The same seed gives the same numbers on the same machine, but for times.

A changed probe gets a new version, so that stored rows of the old one are measured anew.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convscope import models
from convscope.data.batches import to_input
from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError, unknown_name
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.metrics import negative_log_likelihood
from convscope.evaluation.robustness import add_noise, shift, standard_noise, stratified_indices
from convscope.seeds import derive_seed
from convscope.text import printable
from convscope.training.recipe import Recipe

Measures = dict[str, float]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """A network after training, or before it where the job trains none.

    Attributes:
        recipe: how it was trained.
        preprocessing: from pixels to its input.
        train, test: the images.
        history: one row an epoch, as in `metrics.jsonl`.
        network: the trained network, or None: then `model` is a new one.
    """

    recipe: Recipe
    preprocessing: Preprocessing
    train: Dataset
    test: Dataset
    history: tuple[Mapping[str, Any], ...] = ()
    network: nn.Module | None = None

    @cached_property
    def model(self) -> nn.Module:
        """The network, in evaluation mode."""
        chosen = self.recipe.model
        if self.network is not None:
            return self.network
        return models.build(chosen.name, chosen.arguments, seed=self.recipe.seed).eval()

    def predict(self, images: npt.NDArray[np.uint8]) -> Labels:
        """The most probable class of each image."""
        winners: Labels = log_probabilities(self.model, images, self.preprocessing).argmax(axis=1)
        return winners

    def some_test(self, most: int) -> tuple[npt.NDArray[np.uint8], Labels]:
        """At most `most` test images, evenly over the classes, and their labels."""
        chosen = stratified_indices(self.test.labels, most)
        return np.asarray(self.test.images[chosen]), self.test.labels[chosen]


Probe = Callable[..., Measures]


@dataclass(frozen=True)
class Entry:
    """A probe of the registry: its function, and the version of what it measures."""

    function: Probe
    version: int


PROBES: dict[str, Entry] = {}


def probe(name: str, version: int = 1) -> Callable[[Probe], Probe]:
    """A decorator that enters a probe under `name`; a second entry raises ValueError."""

    def enter(function: Probe) -> Probe:
        if name in PROBES:
            raise ValueError(f"two probes are named '{name}'")
        PROBES[name] = Entry(function, version)
        return function

    return enter


def run_probe(name: str, trained: Trained, arguments: Mapping[str, Any]) -> Measures:
    """What one probe measures, with arguments that `check_probe` allows."""
    return get_probe(name).function(trained, **arguments)


def check_probe(name: str, arguments: Iterable[str]) -> None:
    """Raise InputError for an unknown probe, an argument that it has not, or one that it lacks."""
    _, *parameters = inspect.signature(get_probe(name).function).parameters.values()
    known, given = [one.name for one in parameters], list(arguments)
    for argument in given:
        if argument not in known:
            raise unknown_name(f"argument of the probe {name}", printable(argument), known)
    for one in parameters:
        if one.default is inspect.Parameter.empty and one.name not in given:
            raise InputError(f"the probe {name} needs the argument '{one.name}'")


def get_probe(name: str) -> Entry:
    """The entry of one probe. Raises InputError for an unknown name."""
    if name not in PROBES:
        raise unknown_name("probe", printable(name), PROBES)
    return PROBES[name]


@probe("accuracy")
def accuracy(trained: Trained, *, train_images: int = 2000) -> Measures:
    """`test_accuracy`, `test_loss`; of as many training images `train_accuracy`, `train_loss`;
    `gap`, the training accuracy less the test's, and `loss_gap`, the test loss less the
    training's: what was learnt by heart."""
    found: Measures = {}
    chosen = stratified_indices(trained.train.labels, train_images)
    images = {
        "test": (trained.test.images, trained.test.labels),
        "train": (np.asarray(trained.train.images[chosen]), trained.train.labels[chosen]),
    }
    for split, (pixels, labels) in images.items():
        scores = log_probabilities(trained.model, pixels, trained.preprocessing)
        found[f"{split}_accuracy"] = float((scores.argmax(axis=1) == labels).mean())
        found[f"{split}_loss"] = negative_log_likelihood(scores, labels)
    found["gap"] = found["train_accuracy"] - found["test_accuracy"]
    found["loss_gap"] = found["test_loss"] - found["train_loss"]
    return found


@probe("pace")
def pace(trained: Trained, *, loss: float = 0.0, error: float = 0.0) -> Measures:
    """`epochs_to_loss`, `epochs_to_error`: epochs until the running training loss (error) is so
    low, linearly between epochs; one more than all where it is never. `final_train_error`."""
    found: Measures = {}
    for name, level in (("loss", loss), ("error", error)):
        if level:
            values = [
                row["loss"] if name == "loss" else 1 - row["train_accuracy"]
                for row in trained.history
            ]
            found[f"epochs_to_{name}"] = first_below(values, level)
    if trained.history:
        found["final_train_error"] = 1 - trained.history[-1]["train_accuracy"]
    return found


def first_below(values: list[float], level: float) -> float:
    """The place, counted from 1, where values first reach `level` from above.

    >>> first_below([4.0, 2.0, 1.0], 3.0), first_below([2.0], 3.0), first_below([4.0, 4.0], 3.0)
    (1.5, 1.0, 3.0)
    """
    for index, value in enumerate(values):
        if value <= level:
            if index == 0:
                return 1.0
            before = values[index - 1]
            return index + (before - level) / (before - value)
    return len(values) + 1.0


@probe("shift", version=2)
def shifts(trained: Trained, *, most: int = 4, images: int = 500) -> Measures:
    """How far answers and accuracy survive a shift of the picture.

    `consistency`: the share of images whose two random shifts, each up to `most` pixels along
    each axis, get the same answer (Zhang 2019, section 4.1). `shifted_accuracy`: of these
    pictures. `agreement_1` …, `accuracy_1` …: after a shift of so many pixels, mean over right
    and down. `even_agreement`, `odd_agreement`: the means over even and odd shifts.

    Pictures are moved within all that the network sees, its border included.
    """
    pixels, labels = trained.some_test(images)
    fill = trained.preprocessing.fill
    pixels, trained = _with_border(pixels, trained)
    clean = trained.predict(pixels)
    found: Measures = {}
    by_parity: dict[str, list[float]] = {"even": [], "odd": []}
    for distance in range(1, most + 1):
        moved = [trained.predict(shift(pixels, *by, fill)) for by in ((0, distance), (distance, 0))]
        found[f"agreement_{distance}"] = float(np.mean([answers == clean for answers in moved]))
        found[f"accuracy_{distance}"] = float(np.mean([answers == labels for answers in moved]))
        by_parity["odd" if distance % 2 else "even"].append(found[f"agreement_{distance}"])
    for parity, values in by_parity.items():
        if values:
            found[f"{parity}_agreement"] = float(np.mean(values))
    first, second = (
        trained.predict(random_shifts(pixels, most, fill, derive_seed(0, "shift", number)))
        for number in range(2)
    )
    found["consistency"] = float((first == second).mean())
    found["shifted_accuracy"] = float(np.mean([first == labels, second == labels]))
    return found


def _with_border(
    pixels: npt.NDArray[np.uint8], trained: Trained
) -> tuple[npt.NDArray[np.uint8], Trained]:
    """Pictures with the border that preprocessing gives them, and what takes them as they are."""
    plan = trained.preprocessing
    left, right, top, bottom = plan.padding
    if not any(plan.padding) or pixels.shape[2:] != tuple(plan.size):
        return pixels, trained
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    wide = np.pad(pixels, sides, constant_values=plan.fill)
    size = (wide.shape[2], wide.shape[3])
    whole = plan.model_copy(update={"padding": (0, 0, 0, 0), "size": size})
    return wide, replace(trained, preprocessing=whole)


def random_shifts(
    pixels: npt.NDArray[np.uint8], most: int, fill: int, seed: int
) -> npt.NDArray[np.uint8]:
    """Each image moved by up to `most` pixels along each axis."""
    generator = np.random.Generator(np.random.PCG64(seed))
    moves = generator.integers(-most, most + 1, (len(pixels), 2))
    return np.concatenate(
        [
            shift(image[None], int(rows), int(columns), fill)
            for image, (rows, columns) in zip(pixels, moves, strict=True)
        ]
    )


@probe("noise")
def noise(trained: Trained, *, deviation: float = 0.3, images: int = 500) -> Measures:
    """`noisy_accuracy`: with Gaussian noise of this deviation, a share of the full range."""
    pixels, labels = trained.some_test(images)
    drawn = standard_noise(np.arange(len(pixels)), pixels.shape[1:], 0)
    answers = trained.predict(add_noise(pixels, drawn, deviation))
    return {"noisy_accuracy": float((answers == labels).mean())}


@probe("slips", version=2)
def slips(
    trained: Trained,
    *,
    mean: tuple[float, ...] = (-0.0064, -0.0262, -0.0405),
    std: tuple[float, ...] = (1.132, 1.1234, 1.1194),
    batch: int = 64,
) -> Measures:
    """What two slips of a program do to the accuracy that it prints of the same network.

    `train_mode_accuracy`: evaluated in training mode, so that dropout drops and batch
    normalisation uses the batch's own statistics; `other_constants_accuracy`: the test images
    normalised by other constants than the training images: each channel's mean plus `mean`
    (levels from 0 to 1), its deviation times `std`. The defaults are how the document's constants
    of the test images (0.485 …, 0.229 …) differ from those of training (0.4914 …, 0.2023 …).
    """
    model, labels = trained.model, trained.test.labels
    before = {name: value.clone() for name, value in model.state_dict().items()}
    answers = []
    model.train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        for start in range(0, len(labels), batch):
            pixels = torch.from_numpy(np.array(trained.test.images[start : start + batch]))
            answers.append(model(to_input(pixels, trained.preprocessing)).argmax(1).numpy())
    model.load_state_dict(before)  # batch normalisation has moved its running statistics
    model.eval()
    plan = trained.preprocessing
    other = plan.model_copy(
        update={
            "mean": tuple(one + by for one, by in zip(plan.mean, mean, strict=False)),
            "std": tuple(one * by for one, by in zip(plan.std, std, strict=False)),
        }
    )
    scores = log_probabilities(model, trained.test.images, other)
    return {
        "train_mode_accuracy": float((np.concatenate(answers) == labels).mean()),
        "other_constants_accuracy": float((scores.argmax(axis=1) == labels).mean()),
    }
