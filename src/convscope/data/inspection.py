"""Look through a data set before it is used: what is in it, and what is wrong with it.

`inspect` reads files and collects what reading them for training would raise, and more;
`inspect_datasets` does the same for images in memory. Neither changes anything.
"""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from convscope.data.archive import open_zip
from convscope.data.class_folders import Source, bad_images
from convscope.data.dataset import Dataset
from convscope.data.decoding import Progress, in_parallel
from convscope.data.duplicates import image_names, pixel_digest
from convscope.data.folder import Folder
from convscope.data.images import read_picture
from convscope.data.layout import Layout, arrange, quoted
from convscope.data.preview import PREVIEWS, sheet, thumbnail
from convscope.errors import InputError
from convscope.text import printable

FEW = 20
"""Training images in a class, below which it is called small."""

IMBALANCE = 10
"""How many times the images of the smallest class the largest may have."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is in a data set.

    Attributes:
        name: what the data is called.
        provenance: at least `format` and `source`.
        classes: in the order of the labels.
        counts: split → class → number of images that can be decoded.
        sizes: (height, width, number of images), the commonest first.
        extent: (height, width) of the `smallest` and the `largest` image by area, and the
            `median` of either; empty without images.
        formats: file format → number of images.
        modes: colour mode in the file, as Pillow names it → number of images.
        corrupt: (file, reason) of images that cannot be decoded.
        ignored: (file, reason) of what is not used: hidden, no image by its name, links.
        duplicates_within: (first, copy) in the same split, equal in every decoded pixel.
        duplicates_across: (first, copy) in different splits.
        conflicts: (first, copy) of the same picture under two labels.
        problems: one line each, with what to do; the most serious first.
        unusable: training on this data would be refused.
        previews: class → a few thumbnails, uint8 H × W × C; no part of the JSON.
    """

    name: str
    provenance: Mapping[str, Any]
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    sizes: tuple[tuple[int, int, int], ...]
    extent: Mapping[str, tuple[int, int]]
    formats: Mapping[str, int]
    modes: Mapping[str, int]
    corrupt: Pairs
    ignored: Pairs
    duplicates_within: Pairs
    duplicates_across: Pairs
    conflicts: Pairs
    problems: tuple[str, ...]
    unusable: bool
    previews: Mapping[str, tuple[npt.NDArray[np.uint8], ...]] = field(repr=False, compare=False)

    @property
    def is_bad(self) -> bool:
        """Whether images are corrupt or the data cannot be used as it is."""
        return self.unusable or bool(self.corrupt)

    def to_json(self) -> dict[str, Any]:
        """Everything but the previews, of JSON's own types."""
        facts = {name: value for name, value in vars(self).items() if name != "previews"}
        plain: dict[str, Any] = json.loads(json.dumps({**facts, "is_bad": self.is_bad}))
        return plain


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """One decoded image: where it is and what it is."""

    name: str
    split: str
    label: str
    size: tuple[int, int]
    format: str
    mode: str
    digest: bytes
    preview: npt.NDArray[np.uint8] | None


def inspect(path: Path, *, progress: Progress | None = None) -> Inspection:
    """Look through a folder or a zip of class folders.

    Bad data does not raise; it is collected.

    Raises:
        InputError: there is nothing to look through: no such path, or an archive that is
            refused.
    """
    if not path.exists():
        raise InputError(f"'{printable(path)}' does not exist: give a folder or a zip of images")
    if path.is_dir():
        return _inspect_source(Folder(path), progress)
    with open_zip(path) as source:
        return _inspect_source(source, progress)


def inspect_datasets(splits: Mapping[str, Dataset]) -> Inspection:
    """Look through images in memory: split → Dataset, `train` first."""
    if not splits:
        raise InputError("no splits to look through; give at least a train split")
    first = next(iter(splits.values()))
    seen = [image for split, dataset in splits.items() for image in _seen_in(split, dataset)]
    layout = Layout(splits={split: dict.fromkeys(d.classes, ()) for split, d in splits.items()})
    return _conclude(first.name, first.provenance, layout, seen, {})


def preview_sheet(inspection: Inspection) -> Image.Image:
    """A contact sheet, RGB on white: a row a class, its name and up to 10 of its images."""
    counts: Counter[str] = Counter()
    for split in inspection.counts.values():
        counts.update(split)
    return sheet({name: inspection.previews.get(name, ()) for name in inspection.classes}, counts)


def _inspect_source(source: Source, progress: Progress | None) -> Inspection:
    layout = arrange(source.listing, source.name)
    places = {
        name: (split, label)
        for split, folders in layout.splits.items()
        for label, names in folders.items()
        for name in names
    }
    first = next(iter(layout.splits.values()), {})
    shown = {name for names in first.values() for name in _evenly(names, PREVIEWS)}

    def look(name: str) -> _Seen | str:
        try:
            picture = read_picture(source.read(name))
        except InputError as error:
            return str(error)
        split, label = places[name]
        height, width = picture.pixels.shape[:2]
        return _Seen(
            name=name,
            split=split,
            label=label,
            size=(height, width),
            format=picture.format,
            mode=picture.mode,
            digest=pixel_digest(picture.pixels),
            preview=thumbnail(picture.pixels) if name in shown else None,
        )

    results = dict(zip(places, in_parallel(look, list(places), progress), strict=True))
    seen = [result for result in results.values() if isinstance(result, _Seen)]
    corrupt = {name: result for name, result in results.items() if isinstance(result, str)}
    return _conclude(source.name, source.provenance, layout, seen, corrupt)


def _seen_in(split: str, dataset: Dataset) -> Iterable[_Seen]:
    channels, height, width = dataset.image_shape
    of_class = {label: np.flatnonzero(dataset.labels == label) for label in set(dataset.labels)}
    shown = {index for indices in of_class.values() for index in _evenly(indices, PREVIEWS)}
    names = image_names(dataset)
    for index, image in enumerate(dataset.images):
        yield _Seen(
            name=names[index] if dataset.files else f"{split} {names[index]}",
            split=split,
            label=dataset.classes[dataset.labels[index]],
            size=(height, width),
            format=str(dataset.provenance.get("format", "memory")),
            mode="L" if channels == 1 else "RGB",
            digest=pixel_digest(image),
            preview=thumbnail(image.transpose(1, 2, 0)) if index in shown else None,
        )


def _evenly(items: Sequence[Any] | npt.NDArray[Any], count: int) -> list[Any]:
    """Up to `count` items, evenly spaced: neighbours in a folder are often alike."""
    number = min(count, len(items))
    return [items[index * len(items) // number] for index in range(number)]


def _conclude(
    name: str,
    provenance: Mapping[str, Any],
    layout: Layout,
    seen: Sequence[_Seen],
    corrupt: Mapping[str, str],
) -> Inspection:
    counts = {split: dict.fromkeys(folders, 0) for split, folders in layout.splits.items()}
    previews: dict[str, list[npt.NDArray[np.uint8]]] = {label: [] for label in layout.classes}
    for image in seen:
        counts[image.split][image.label] += 1
        row = previews.setdefault(image.label, [])
        if image.preview is not None and len(row) < PREVIEWS:
            row.append(image.preview)
    sizes = Counter(image.size for image in seen)
    within, across, conflicts = _copies(seen)
    problems = [
        *layout.errors,
        *([bad_images(name, corrupt, len(seen) + len(corrupt))] if corrupt else []),
        *_copy_problems(within, across, conflicts),
        *_count_problems(counts.get("train", {})),
        *layout.notes,
        *_ignored_problems(layout.ignored),
    ]
    return Inspection(
        name=name,
        provenance=dict(provenance),
        classes=layout.classes,
        counts=counts,
        sizes=tuple((height, width, count) for (height, width), count in sizes.most_common()),
        extent=_extent(seen),
        formats=dict(Counter(image.format for image in seen).most_common()),
        modes=dict(Counter(image.mode for image in seen).most_common()),
        corrupt=tuple(corrupt.items()),
        ignored=layout.ignored,
        duplicates_within=within,
        duplicates_across=across,
        conflicts=conflicts,
        problems=tuple(problems),
        unusable=bool(layout.errors),
        previews={label: tuple(row) for label, row in previews.items()},
    )


def _extent(seen: Sequence[_Seen]) -> dict[str, tuple[int, int]]:
    if not seen:
        return {}
    by_area = sorted({image.size for image in seen}, key=lambda size: (size[0] * size[1], size))
    heights, widths = zip(*(image.size for image in seen), strict=True)
    median = statistics.median_low(heights), statistics.median_low(widths)
    return {"smallest": by_area[0], "median": median, "largest": by_area[-1]}


def _copies(seen: Sequence[_Seen]) -> tuple[Pairs, Pairs, Pairs]:
    """Copies within a split, copies across splits, and copies with another label."""
    first: dict[bytes, _Seen] = {}
    first_of_split: dict[tuple[bytes, str], _Seen] = {}
    within, across, conflicts = [], [], []
    for image in seen:
        original = first.setdefault(image.digest, image)
        nearer = first_of_split.setdefault((image.digest, image.split), image)
        if nearer is not image:
            within.append((nearer.name, image.name))
        if original.split != image.split:
            across.append((original.name, image.name))
        if original.label != image.label:
            conflicts.append((original.name, image.name))
    return tuple(within), tuple(across), tuple(conflicts)


def _copy_problems(within: Pairs, across: Pairs, conflicts: Pairs) -> Iterable[str]:
    if conflicts:
        yield (
            f"{len(conflicts)} images are in two classes, such as {_pair(conflicts)}: keep the one "
            "that is right"
        )
    if across:
        yield (
            f"{len(across)} images are in more than one split, such as {_pair(across)}: results on "
            "them say nothing; remove them from one split"
        )
    if within:
        yield (
            f"{len(within)} images are copies of another in their split, such as {_pair(within)}: "
            "remove them"
        )


def _pair(pairs: Pairs) -> str:
    return f"'{printable(pairs[0][0])}' and '{printable(pairs[0][1])}'"


def _count_problems(counts: Mapping[str, int]) -> Iterable[str]:
    few = [label for label, count in counts.items() if 0 < count < FEW]
    if few:
        yield (
            f"fewer than {FEW} training images of {quoted(few)}: results will vary by chance; add "
            "images"
        )
    present = {label: count for label, count in counts.items() if count}
    if present:
        least, most = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
        if present[most] > IMBALANCE * present[least]:
            yield (
                f"classes are unbalanced: {present[most]} images of {quoted([most])}, "
                f"{present[least]} of {quoted([least])}; add images of the rare classes, and judge "
                "by per-class figures, not by accuracy"
            )


def _ignored_problems(ignored: Pairs) -> Iterable[str]:
    for reason in sorted({reason for _, reason in ignored} - {"hidden"}):
        names = [name for name, why in ignored if why == reason]
        yield f"{len(names)} files are not used ({reason}): {quoted(names, limit=3)}"
