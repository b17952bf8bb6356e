"""The images of a study: which ones, how many, and what is done to them before anything else.

A study asks for `digits` (grey) or `pictures` (colour); which data stand for them is the user's
choice. The training images are drawn anew for each seed, the same in every arm; the test images
are always the same.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from convscope.data.dataset import Dataset, Splits
from convscope.data.loading import load
from convscope.data.split import stratified
from convscope.errors import unknown_name
from convscope.seeds import derive_seed
from convscope.studies.squares import read_places, read_squares
from convscope.text import printable

Pixels = npt.NDArray[np.uint8]

DEFAULTS = {"digits": "mnist-sample", "pictures": "shapes"}
"""What stands for each kind of images where the user names no data."""
DRAWN = {"squares": read_squares, "places": read_places}
_LUMA = (0.299, 0.587, 0.114)
CHANGES = ("invert", "grey", "shrink", "shrink-max", "shrink-min")
_CELLS: dict[str, Callable[..., Any]] = {
    "shrink": np.mean,
    "shrink-max": np.max,
    "shrink-min": np.min,
}


class Images(BaseModel):
    """Which images a job works on.

    Attributes:
        source: `digits` or `pictures`, which the user's choice of data replaces; `squares` and
            `places`, the two-class sets of `squares.py`; or a name or path as for `convscope.load`.
        train, test: how many, each class in proportion; 0 is all there are.
        changes: in this order: `invert` (dark becomes light), `grey` (colours to grey levels),
            `shrink` (half the height and width, by averaging), `shrink-max`, `shrink-min` (by the
            largest or smallest of each 2 × 2 levels).
        size: height and width where the images are larger.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = "digits"
    train: int = Field(default=4000, ge=0)
    test: int = Field(default=1000, ge=0)
    changes: tuple[str, ...] = ()
    size: int = Field(default=32, ge=1, le=1024)


def read(images: Images, seed: int) -> Splits:
    """The images of one seed.

    Raises:
        InputError: no such data, an unknown change, or fewer images than classes.
    """
    for change in images.changes:
        if change not in CHANGES:
            raise unknown_name("change of images", printable(change), CHANGES)
    whole = _whole(images.source, images.size)
    train = _some(whole.train, images.train, derive_seed(seed, "study images"))
    test = _some(whole.test, images.test, 0)
    return Splits(train=_changed(train, images.changes), test=_changed(test, images.changes))


def fingerprint(images: Images) -> str:
    """SHA-256 of the data that `images` are drawn from."""
    return str(_whole(images.source, images.size).train.provenance.get("sha256", ""))


def facts(images: Images) -> dict[str, str | int]:
    """Name, sizes and origin of the data, for the reader."""
    whole = _whole(images.source, images.size)
    return {
        "name": whole.train.name,
        "train": min(images.train or len(whole.train), len(whole.train)),
        "test": min(images.test or len(whole.test), len(whole.test)),
        "of_train": len(whole.train),
        "of_test": len(whole.test),
        "sha256": fingerprint(images),
    }


@lru_cache(maxsize=4)
def _whole(source: str, size: int) -> Splits:
    if source in DRAWN:
        return DRAWN[source]()
    return load(DEFAULTS.get(source, source), size=(size, size), cache="always")


def _some(data: Dataset, wanted: int, seed: int) -> Dataset:
    if not wanted or wanted >= len(data):
        return data
    _, chosen = stratified(data.labels, wanted, seed)
    return data.subset(chosen, split=data.split)


def _changed(data: Dataset, changes: tuple[str, ...]) -> Dataset:
    pixels = np.asarray(data.images[:])
    for change in changes:
        if change == "invert":
            pixels = 255 - pixels
        elif change == "grey" and pixels.shape[1] == 3:
            # ITU-R 601 luma, as everywhere here
            luma = np.einsum("nchw,c->nhw", pixels.astype(np.float32), np.array(_LUMA, np.float32))
            pixels = np.rint(luma[:, None]).astype(np.uint8)
        elif change in _CELLS:
            n, channels, height, width = pixels.shape
            cells = pixels[:, :, : height // 2 * 2, : width // 2 * 2].reshape(
                n, channels, height // 2, 2, width // 2, 2
            )
            pixels = np.rint(_CELLS[change](cells, axis=(3, 5))).astype(np.uint8)
    return replace(data, images=pixels) if changes else data
