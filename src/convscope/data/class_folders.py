"""Read class folders into Datasets, wherever they lie: in a directory or in an archive.

Every image is fully decoded before anything else happens. The result does not depend on the
number of threads.
"""

import hashlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from convscope.data.dataset import Dataset
from convscope.data.images import decode, pillow_guard
from convscope.data.layout import Layout, Listing, arrange
from convscope.data.preprocess import conform
from convscope.environment import available_cores
from convscope.errors import InputError
from convscope.text import printable

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

_Result = TypeVar("_Result")
_CHUNK = 8  # images a task: enough to hide the cost of a task, few enough to show progress
_WORTH_A_THREAD = 2e-3  # seconds an image


class Source(Protocol):
    """Files below a root that can be listed and read, several threads at once."""

    @property
    def name(self) -> str:
        """What the data is called."""

    @property
    def provenance(self) -> dict[str, str]:
        """`format` and `source`."""

    @property
    def listing(self) -> Listing:
        """The files, before any is read."""

    def read(self, name: str) -> bytes:
        """The bytes of a file of the listing, or an InputError with the reason."""


@dataclass(frozen=True, eq=False)
class _Image:
    """uint8 C × H × W, and the digest of the file it came from."""

    pixels: npt.NDArray[np.uint8]
    file_digest: bytes


def in_parallel(
    function: Callable[[str], _Result], names: Sequence[str], progress: Progress | None = None
) -> list[_Result]:
    """`function` of every name, in their order, by one thread a processor if that is faster.

    The first few decide. Decoding a small picture is mostly Python, which runs in one thread at
    a time; more threads would only wait for each other.
    """
    results: list[_Result] = []
    fastest = math.inf  # the fastest, because the very first also loads Pillow's decoders
    chunks = [names[start : start + _CHUNK] for start in range(_CHUNK, len(names), _CHUNK)]

    def work(part: Sequence[str]) -> list[_Result]:
        return [function(name) for name in part]

    def collect(parts: Iterable[list[_Result]]) -> None:
        for part in parts:
            results.extend(part)
            if progress is not None:
                progress(len(results), len(names))

    with pillow_guard():
        for name in names[:_CHUNK]:
            started = time.perf_counter()
            collect([work([name])])
            fastest = min(fastest, time.perf_counter() - started)
        if fastest < _WORTH_A_THREAD:
            collect(map(work, chunks))
            return results
        with ThreadPoolExecutor(available_cores()) as pool:
            try:
                collect(pool.map(work, chunks))
            except BaseException:  # Ctrl-C too: do not decode the rest first
                pool.shutdown(cancel_futures=True)
                raise
    return results


def read_splits(
    source: Source,
    *,
    size: tuple[int, int] | None,
    channels: int | None,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> dict[str, Dataset]:
    """The splits of a source: `train`, and `validation` and `test` if it has them.

    Args:
        source: the files.
        size: height and width every image is resized to; None keeps theirs, which must agree.
        channels: 1 or 3; None is 1 if every image is grey, else 3.
        classes: bind labels to these class names in this order (those of a trained model);
            None takes the training folders' names, sorted.
        skip_bad: leave out images that cannot be decoded instead of raising.
        progress: called now and then with (done, all).

    Raises:
        InputError: no or unusable classes, images that cannot be decoded, sizes that differ.
    """
    layout = arrange(source.listing, source.name, classes=classes)
    if layout.errors:
        raise InputError(layout.errors[0])
    names = [name for split in layout.splits.values() for files in split.values() for name in files]
    _check_memory(len(names), size, channels)

    def load(name: str) -> _Image | str:
        try:
            data = source.read(name)
            pixels = conform(decode(data), channels, size)
        except InputError as error:
            return str(error)
        return _Image(pixels, hashlib.sha256(data).digest())

    loaded = dict(zip(names, in_parallel(load, names, progress), strict=True))
    bad = {name: result for name, result in loaded.items() if isinstance(result, str)}
    if bad and not skip_bad:
        raise InputError(bad_images(source.name, bad, len(names)))
    images = {name: result for name, result in loaded.items() if isinstance(result, _Image)}
    del loaded
    _check_left(layout, images, source.name, bound=classes is not None)
    shape = _common_shape(images, channels, source.name)
    return {split: _dataset(source, split, layout, images, bad, shape) for split in layout.splits}


def bad_images(root: str, bad: Mapping[str, str], total: int) -> str:
    """One line: the first bad images by name and reason, how many there are, what to do."""
    first = [f"'{printable(name)}' ({reason})" for name, reason in list(bad.items())[:3]]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return (
        f"{len(bad)} of the {total} images in '{printable(root)}' cannot be decoded: "
        f"{', '.join(first)}{more}; remove them or pass skip_bad=True (--skip-bad)"
    )


def _check_memory(count: int, size: tuple[int, int] | None, channels: int | None) -> None:
    if size is None or not hasattr(os, "sysconf"):
        return
    needed = count * size[0] * size[1] * (channels or 1)
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise InputError(
            f"{count} images of {size[0]} × {size[1]} pixels take {needed / 1e9:.1f} GB; this "
            f"machine has {present / 1e9:.1f} GB of memory: give a smaller size or fewer images"
        )


def _check_left(layout: Layout, images: Mapping[str, _Image], root: str, *, bound: bool) -> None:
    """Skipping bad images must leave some in every class (or in any, for a model's classes)."""
    train = layout.splits["train"]
    empty = [name for name, files in train.items() if not any(file in images for file in files)]
    if not images or (empty and not bound):
        named = f" of the class '{printable(empty[0])}'" if empty and images else ""
        raise InputError(f"no image{named} in '{printable(root)}' can be decoded: replace them")


def _common_shape(
    images: Mapping[str, _Image], channels: int | None, root: str
) -> tuple[int, int, int]:
    if channels is None:
        channels = max(image.pixels.shape[0] for image in images.values())
    sizes = Counter(image.pixels.shape[1:] for image in images.values())
    if len(sizes) > 1:
        shown = ", ".join(f"{h} × {w} ({n})" for (h, w), n in sizes.most_common(3))
        raise InputError(
            f"the images in '{printable(root)}' have {len(sizes)} different sizes (height × width: "
            f"{shown}{', …' if len(sizes) > 3 else ''}): give the size they are to be resized to"
        )
    ((height, width),) = sizes
    return channels, height, width


def _dataset(
    source: Source,
    split: str,
    layout: Layout,
    images: dict[str, _Image],
    bad: Mapping[str, str],
    shape: tuple[int, int, int],
) -> Dataset:
    folders = layout.splits[split]
    named = [
        (name, label)
        for label, files in enumerate(folders.values())
        for name in files
        if name in images
    ]
    stack = np.empty((len(named), *shape), dtype=np.uint8)
    digest = hashlib.sha256()
    for index, (name, _) in enumerate(named):
        image = images.pop(name)  # freed here, so that memory holds every image once
        stack[index] = image.pixels  # one grey channel becomes three by broadcasting
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + image.file_digest)
    skipped = [
        {"file": name, "reason": bad[name]}
        for files in folders.values()
        for name in files
        if name in bad
    ]
    provenance: dict[str, Any] = {
        **source.provenance,
        "files": len(named),
        "sha256": digest.hexdigest(),
        "missing_classes": [name for name, files in folders.items() if not files],
        "skipped": skipped,
    }
    return Dataset(
        name=source.name,
        split=split,
        images=stack,
        labels=np.asarray([label for _, label in named], dtype=np.int64),
        classes=tuple(folders),
        files=tuple(name for name, _ in named),
        provenance=provenance,
    )
