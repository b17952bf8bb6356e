"""Split a data set in two: stratified, from a seed, without copying a file.

Randomness is PCG64's raw output, which NumPy keeps the same between versions, so that a seed
gives the same split everywhere.
"""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from convscope.data.dataset import Dataset
from convscope.errors import InputError
from convscope.seeds import derive_seed
from convscope.text import printable

Indices = npt.NDArray[np.int64]


def stratified(
    labels: npt.NDArray[np.int64], fraction_or_count: float, seed: int
) -> tuple[Indices, Indices]:
    """Indices to keep and indices to hold out, each sorted, every class in proportion.

    Each class gives its share of the held-out images, rounded so that the total is exact
    (largest remainder; of equal remainders the first classes'). A class of two or more images
    keeps at least one on each side; a single image is kept.

    Args:
        labels: int64, N.
        fraction_or_count: a float between 0 and 1, the share to hold out, changed as little as
            the classes demand; or an int, the exact number to hold out.
        seed: 0 or more.

    Raises:
        InputError: the classes have too few images for that.

    >>> kept, held_out = stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    >>> len(kept), len(held_out)
    (6, 2)
    """
    classes, counts = np.unique(labels, return_counts=True)
    lower = (counts >= 2).astype(np.int64)
    upper = np.where(counts >= 2, counts - 1, 0)
    total = _total(fraction_or_count, len(labels), int(lower.sum()), int(upper.sum()))
    shares = _apportion(counts, total, lower, upper)
    held_out = [
        _pick(np.flatnonzero(labels == label), int(share), derive_seed(seed, "split", int(label)))
        for label, share in zip(classes, shares, strict=True)
    ]
    taken = np.sort(np.concatenate(held_out))
    kept = np.setdiff1d(np.arange(len(labels)), taken, assume_unique=True)
    return kept, taken


def hold_out(train: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """The images to train with and those to validate with: a stratified share of `train`.

    Raises:
        InputError: the classes have too few images for that.
    """
    kept, taken = stratified(train.labels, fraction, seed)
    return train.subset(kept, split="train"), train.subset(taken, split="validation")


def split_names(files: Sequence[str], held_out: Collection[str]) -> tuple[Indices, Indices]:
    """Indices of the files to keep and of those named in `held_out`: a recorded split again.

    Files that came later are kept.

    Raises:
        InputError: a name is missing, or all or none of the files would be held out.
    """
    wanted = set(held_out)
    missing = sorted(wanted - set(files))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"'{printable(missing[0])}'{more} of the recorded test files is missing: put it back, "
            "or start a new run"
        )
    is_held_out = np.fromiter((name in wanted for name in files), dtype=bool, count=len(files))
    if is_held_out.all() or not is_held_out.any():
        raise InputError(
            f"{len(wanted)} of {len(files)} files are to be the test set: give at least one, and "
            "leave at least one to train on"
        )
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _total(wanted: float, images: int, lowest: int, highest: int) -> int:
    if highest < 1:
        raise InputError(
            f"{images} images with no class of two or more cannot be split: add images, or give a "
            "test folder"
        )
    if isinstance(wanted, int):
        if not lowest <= wanted <= highest:
            raise InputError(
                f"cannot hold out {wanted} of {images} images; allowed are {lowest} to {highest}, "
                "so that every class has an image on each side"
            )
        return wanted
    if not 0.0 < wanted < 1.0:
        raise InputError(
            f"the fraction to hold out is {wanted}; allowed is more than 0, less than 1"
        )
    return min(max(int(wanted * images + 0.5), lowest), highest)


def _apportion(counts: Indices, total: int, lower: Indices, upper: Indices) -> Indices:
    """Whole shares of `total` in proportion to `counts`, within the bounds, in exact integers."""
    images = int(counts.sum())
    shares = np.clip(counts * total // images, lower, upper)
    while missing := total - int(shares.sum()):
        sign = 1 if missing > 0 else -1
        shortfall = sign * (counts * total - shares * images)
        has_room = shares < upper if sign > 0 else shares > lower
        shares[np.argmax(np.where(has_room, shortfall, np.iinfo(np.int64).min))] += sign
    return shares


def _pick(indices: Indices, count: int, seed: int) -> Indices:
    keys = np.random.PCG64(seed).random_raw(len(indices))
    return indices[np.argsort(keys, kind="stable")[:count]]
