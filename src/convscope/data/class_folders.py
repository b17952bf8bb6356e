"""Read class folders into Datasets, wherever they lie: in a directory or in an archive.

Every image is fully decoded before anything else happens, now or by an earlier call that kept
the pixels in the cache. The result depends neither on that nor on the number of threads.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from convscope.data.cache import CacheMode, Decoded, ImageCache, StoredMeanwhile
from convscope.data.collecting import Collector
from convscope.data.dataset import Dataset
from convscope.data.decoding import Decoder, Progress
from convscope.data.layout import Layout, Listing, arrange
from convscope.data.place import Place
from convscope.data.preprocess import Aspect
from convscope.data.stored import StoredImages, select
from convscope.data.target import Target
from convscope.errors import InputError
from convscope.text import printable


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

    def stamp(self, name: str) -> str:
        """What a changed file has another of, without reading it."""


def read_splits(
    source: Source,
    *,
    size: tuple[int, int] | None,
    channels: int | None,
    aspect: Aspect = "stretch",
    keep_size: bool = False,
    cache: CacheMode = "never",
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> dict[str, Dataset]:
    """The splits of a source: `train`, and `validation` and `test` if it has them.

    Args:
        source: the files.
        size: height and width every image is resized to; None keeps theirs, which must agree.
        channels: 1 or 3; None is 1 if every image is grey, else 3.
        aspect: how other proportions become `size`, as for `conform`.
        keep_size: where all images have one size, no larger than `size` in either side, they keep
            it; else all are resized.
        cache: `never` keeps the images in memory, `always` in the cache on disk, `auto` in memory
            where they take at most a quarter of what is free, else in the cache. But for `never`,
            what is in the cache already is not decoded again.
        classes: bind labels to these class names in this order (those of a trained model);
            None takes the training folders' names, sorted.
        skip_bad: leave out images that cannot be decoded instead of raising.
        progress: called now and then with (done, all).

    Returns:
        split → Dataset. Of images in the cache, `provenance["cache"]` tells `path`, `bytes`,
        `reused`, and `rebuilt`: why what was there could not be used, else empty.

    Raises:
        InputError: no or unusable classes, images that cannot be decoded, sizes that differ, too
            little memory or disk.
    """
    layout = arrange(source.listing, source.name, classes=classes)
    if layout.errors:
        raise InputError(layout.errors[0])
    names = [name for _, name in _places(layout)]
    target = Target(size, channels, aspect, keep_size)
    store = None
    if cache != "never":
        store = ImageCache(source.name, layout.splits, names, map(source.stamp, names), target)

    def check(skipped: Mapping[str, str]) -> None:
        if skipped and not skip_bad:
            raise InputError(bad_images(source.name, skipped, len(names)))
        _check_left(layout, skipped, source.name, bound=classes is not None)

    place = Place(len(names), cache, store)
    place.check(target)
    decoded = store.find() if store else None
    if decoded is None:
        decoded = _decode(source, layout, Decoder(source, target), place, check, progress)
    check(decoded.skipped)
    return {split: _dataset(source, split, layout, decoded) for split in layout.splits}


def _places(layout: Layout) -> Iterator[tuple[str, str]]:
    """Split and name of every file, in the order of the splits and their labels."""
    for split, folders in layout.splits.items():
        for files in folders.values():
            for name in files:
                yield split, name


def _decode(
    source: Source,
    layout: Layout,
    decoder: Decoder,
    place: Place,
    check: Callable[[Mapping[str, str]], None],
    progress: Progress | None,
) -> Decoded:
    digests = {split: hashlib.sha256() for split in layout.splits}
    skipped: dict[str, str] = {}
    places = list(_places(layout))
    collector = Collector(decoder, place.open)
    results = decoder.decode_all([name for _, name in places], progress)
    with closing(place), closing(collector), closing(results):
        try:
            for (split, name), result in zip(places, results, strict=True):
                if isinstance(result, str):
                    skipped[name] = result
                    continue
                collector.add(result.pixels)
                content = name.encode("utf-8", "surrogateescape") + b"\0" + result.file_digest
                digests[split].update(content)
        except StoredMeanwhile as stored:
            return stored.found
        check(skipped)
        collector.check(source.name)
        sha256 = {split: digest.hexdigest() for split, digest in digests.items()}
        return place.keep(collector.rows, skipped, sha256)


def bad_images(root: str, bad: Mapping[str, str], total: int) -> str:
    """One line: the first bad images by name and reason, how many there are, what to do."""
    first = [f"'{printable(name)}' ({reason})" for name, reason in list(bad.items())[:3]]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return (
        f"{len(bad)} of the {total} images in '{printable(root)}' cannot be decoded: "
        f"{', '.join(first)}{more}; remove them or pass skip_bad=True (--skip-bad)"
    )


def _check_left(layout: Layout, skipped: Mapping[str, str], root: str, *, bound: bool) -> None:
    """Skipping bad images must leave some in every class (or in any, for a model's classes)."""
    train = layout.splits["train"]
    empty = [name for name, files in train.items() if all(file in skipped for file in files)]
    nothing = all(name in skipped for _, name in _places(layout))
    if nothing or (empty and not bound):
        named = "" if nothing else f" of the class '{printable(empty[0])}'"
        raise InputError(f"no image{named} in '{printable(root)}' can be decoded: replace them")


def _dataset(source: Source, split: str, layout: Layout, decoded: Decoded) -> Dataset:
    folders, skipped = layout.splits[split], decoded.skipped
    named = [
        (name, label)
        for label, files in enumerate(folders.values())
        for name in files
        if name not in skipped
    ]
    before = list(layout.splits)[: list(layout.splits).index(split)]
    start = sum(1 for place, name in _places(layout) if place in before and name not in skipped)
    provenance: dict[str, Any] = {
        **source.provenance,
        "files": len(named),
        "sha256": decoded.sha256[split],
        "missing_classes": [name for name, files in folders.items() if not files],
        "skipped": [
            {"file": name, "reason": skipped[name]}
            for files in folders.values()
            for name in files
            if name in skipped
        ],
    }
    images = decoded.images
    end = start + len(named)
    if isinstance(images, StoredImages):
        provenance["cache"] = {
            "path": str(images.path),
            "bytes": images.nbytes,
            "reused": decoded.reused,
            "rebuilt": decoded.rebuilt,
        }
    return Dataset(
        name=source.name,
        split=split,
        images=select(images, slice(start, end)),
        labels=np.asarray([label for _, label in named], dtype=np.int64),
        classes=tuple(folders),
        files=tuple(name for name, _ in named),
        provenance=provenance,
    )
