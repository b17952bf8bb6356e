"""Load a data set by name or path: the way in for everything that needs images."""

import contextlib
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convscope.data import idx
from convscope.data.cache import CacheMode
from convscope.data.catalog import CATALOG
from convscope.data.cifar import is_cifar, read_cifar
from convscope.data.dataset import Dataset, Splits
from convscope.data.download import Progress, cache_directory
from convscope.data.idx import is_idx_folder, read_idx_folder
from convscope.data.preprocess import Aspect, conform
from convscope.data.split import split_names, stratified
from convscope.errors import InputError, unknown_name
from convscope.text import printable

Size = tuple[int, int]


def load(
    data: str | Path = "mnist-sample",
    *,
    size: Size | None = None,
    channels: int | None = None,
    aspect: Aspect = "stretch",
    keep_size: bool = False,
    cache: CacheMode = "auto",
    seed: int = 0,
    test_fraction: float = 0.2,
    test_files: Collection[str] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Splits:
    """A training and a test set, and a validation set where the data have one.

    Data without a test set are split here: stratified, from the seed, by name, without copying.

    Args:
        data: a name in `CATALOG`, or the path of a directory of IDX files, of CIFAR's binary
            version (a directory or its .tar.gz), or of a directory or .zip of class folders.
            A name goes before a path: write `./shapes` for a directory called so.
        size: height and width in pixels. Images in class folders are resized to it, and `shapes`
            are drawn in it; data of one size of their own (names, IDX, CIFAR) are resized only
            if they are larger, since a border brings smaller ones to a network's input.
        channels: 1 or 3; None leaves them as they are.
        aspect: how a picture of other proportions becomes `size`: `stretch`, or `cover`, which
            cuts off what is too long; see `preprocess.conform`.
        keep_size: images in class folders that all have one size keep it, too, if it is no larger
            than `size` in either side: for networks whose input is resized in the batch.
        cache: where the images of class folders go: `auto`, in memory where they take at most a
            quarter of what is free, else in a cache on disk; `always` there; `never`. Where they
            are is told in `provenance["cache"]`.
        seed: of the split, 0 or more.
        test_fraction: share of the images for the test set, where they are split here.
        test_files: the names of exactly the files that form the test set: a recorded split.
        skip_bad: leave out image files that cannot be decoded.
        progress: called now and then with (done, all): bytes of a download, then images.

    Raises:
        InputError: no such name or path, unreadable data, or too few classes or images.
        ConvscopeError: a download failed.
    """
    how = _How(size, channels, aspect, keep_size, cache)
    splits = _read(data, how, skip_bad, progress)
    if "test" not in splits:
        splits |= _split(splits["train"], seed, test_fraction, test_files)
    elif test_files is not None and splits["test"].files:
        splits["test"] = _only(splits["test"], test_files)
    for split, images in splits.items():
        if not len(images):
            raise InputError(f"the {split} set of '{printable(images.name)}' is empty: add images")
    _check_classes(splits["train"])
    return Splits(train=splits["train"], test=splits["test"], validation=splits.get("validation"))


def read_ahead(data: str | Path) -> None:
    """Begin to read `data` beside what is done before `load` is called, such as imports.

    Only IDX files are worth it; other data, and what cannot be read, are left to `load`.
    """
    with contextlib.suppress(InputError, OSError):
        folder = cache_directory() / data if data in CATALOG else Path(data)
        if folder.is_dir() and is_idx_folder(folder):
            idx.read_ahead(folder)


def load_test(
    data: str | Path,
    *,
    size: Size,
    channels: int,
    aspect: Aspect = "stretch",
    cache: CacheMode = "auto",
    classes: Sequence[str],
    progress: Progress | None = None,
) -> Dataset:
    """Images to test a trained network on: the data's test set, or all of them without one.

    Args:
        data: as for `load`.
        size: height and width that the network's preprocessing takes; others are resized.
        channels: 1 or 3, likewise.
        aspect, cache: as for `load`.
        classes: those of the network; folders are bound to them by name, and one may be missing.
        progress: as for `load`.

    Raises:
        InputError: as `load` does, and for classes that the network does not know.
    """
    how = _How(size, channels, aspect, False, cache)
    splits = _read(data, how, False, progress, classes)
    test = splits["test"] if "test" in splits else replace(splits["train"], split="test")
    return _resized(test, size, channels, aspect)


@dataclass(frozen=True)
class _How:
    """What `load` was asked to make of the images."""

    size: Size | None
    channels: int | None
    aspect: Aspect
    keep_size: bool
    cache: CacheMode


def _read(
    data: str | Path,
    how: _How,
    skip_bad: bool,
    progress: Progress | None,
    classes: Sequence[str] | None = None,
) -> dict[str, Dataset]:
    if isinstance(data, str) and data in CATALOG:
        entry = CATALOG[data]
        return _conform(entry.read(entry, how.size, progress), how)
    path = Path(data)
    if not str(data) or not _exists(path):
        missing = unknown_name("data set", printable(data), CATALOG)
        raise InputError(f"{missing}; or a path, but nothing lies at '{printable(data)}'")
    if path.is_dir() and is_idx_folder(path):
        return _conform(read_idx_folder(path), how)
    if is_cifar(path):
        return _conform(read_cifar(path), how)
    if path.is_dir():
        from convscope.data.folder import read_folder as read
    elif path.is_file() and zipfile.is_zipfile(path):
        from convscope.data.archive import read_zip as read
    else:
        raise InputError(
            f"'{printable(path)}' is a file of no known kind; allowed are a directory or a .zip of "
            "class folders, a directory of IDX files, and CIFAR's binary .tar.gz"
        )
    return read(path, **vars(how), classes=classes, skip_bad=skip_bad, progress=progress)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a directory that may not be looked into
        return False


def _split(
    whole: Dataset, seed: int, fraction: float, test_files: Collection[str] | None
) -> dict[str, Dataset]:
    if test_files is None:
        kept, held_out = stratified(whole.labels, float(fraction), seed)
        how = f"stratified, seed {seed}, fraction {fraction:g}"
    else:
        kept, held_out = split_names(whole.files, test_files)
        how = "the recorded names"
    facts = {**whole.provenance, "split": f"by convscope: {len(held_out)} test images, {how}"}
    whole = replace(whole, provenance=facts)
    return {
        "train": whole.subset(kept, split="train"),
        "test": whole.subset(held_out, split="test"),
    }


def _only(test: Dataset, names: Collection[str]) -> Dataset:
    """The test set as it was recorded; files that came later are left out."""
    if set(names) == set(test.files):
        return test
    _, chosen = split_names(test.files, names)
    return test.subset(chosen, split="test")


def _check_classes(train: Dataset) -> None:
    present = np.unique(train.labels)
    if len(present) < 2:
        raise InputError(
            f"'{printable(train.name)}' has images of one class only, "
            f"'{printable(train.classes[present[0]])}': a classifier needs two or more"
        )


def _conform(splits: dict[str, Dataset], how: _How) -> dict[str, Dataset]:
    return {split: _conform_one(images, how) for split, images in splits.items()}


def _conform_one(data: Dataset, how: _How) -> Dataset:
    channels, height, width = data.image_shape
    size = how.size
    if size is None or (height <= size[0] and width <= size[1]):
        size = height, width
    return _resized(data, size, how.channels or channels, how.aspect)


def _resized(data: Dataset, size: Size, channels: int, aspect: Aspect) -> Dataset:
    if (channels, *size) == data.image_shape:
        return data
    images = np.empty((len(data), channels, *size), dtype=np.uint8)
    for index, image in enumerate(data.images):
        images[index] = conform(image.transpose(1, 2, 0), channels, size, aspect)
    return replace(data, images=images)
