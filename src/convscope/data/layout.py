"""Which file belongs to which split and which class, from the names alone.

    pets/cat/1.png            one folder a class: everything is `train`
    pets/train/cat/1.png      with a train folder, and test, val, valid or validation beside it

Pure functions on relative names, the same for a directory and an archive. A class is the name
of a first-level folder; images deeper in it belong to it. A single folder around the whole
(`pets/pets/cat/1.png`) is looked through. Classes are in the order of their sorted names.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from posixpath import splitext

from convscope.data.images import SUFFIXES
from convscope.text import printable

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}

_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}

_Parts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Names found below a root, with `/` between their parts, before anything is read.

    Attributes:
        files: regular files, relative to the root.
        folders: folders, relative to the root; needed only to notice empty ones.
        skipped: what was not followed, and why (symbolic links, devices).
    """

    files: tuple[str, ...]
    folders: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where every file of a `Listing` went.

    Attributes:
        splits: split → class → names of its image files, sorted; a class may be empty.
        ignored: what is not used, each name with its reason.
        errors: what makes the data unusable for training; each says what to do.
        notes: what is unusual but usable.
    """

    splits: Mapping[str, Mapping[str, tuple[str, ...]]]
    ignored: tuple[tuple[str, str], ...] = ()
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the training split, in the order of the labels."""
        return tuple(self.splits.get("train", {}))


@dataclass
class _Findings:
    root: str
    ignored: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_hidden(name: str) -> bool:
    """Whether any part of a relative name is hidden or litter of an operating system.

    >>> is_hidden(".ipynb_checkpoints/cat/1.png"), is_hidden("cat/1.png")
    (True, False)
    """
    if name.startswith(".") or "/." in name:
        return True
    return not _LITTER.isdisjoint(name.lower().split("/"))


def arrange(listing: Listing, root: str, *, classes: Sequence[str] | None = None) -> Layout:
    """Sort the files of a listing into splits and classes. Never raises for bad data.

    Args:
        listing: the names below the root.
        root: what the data is called in messages.
        classes: bind to these classes, in this order (those of a trained model): a class
            without a folder is then empty, and a folder that is none of them is an error.
    """
    found = _Findings(root=printable(root), ignored=list(listing.skipped))
    images = _image_names(listing, found)
    folders = [tuple(name.split("/")) for name in listing.folders if not is_hidden(name)]
    depth = len(_around(images, folders))
    images = {parts[depth:]: name for parts, name in images.items()}
    folders = [parts[depth:] for parts in folders if len(parts) > depth]
    if not images:
        found.errors.append(_no_images(found))
        splits: dict[str, dict[str, tuple[str, ...]]] = {}
    elif tops := _split_folders(images):
        splits = _arrange_splits(images, folders, tops, found)
    else:
        splits = {"train": _arrange_classes(images, folders, "", found)}
    if splits:
        splits = _bind(splits, classes, found)
    return Layout(
        splits=splits,
        ignored=tuple(sorted(found.ignored)),
        errors=tuple(found.errors),
        notes=tuple(found.notes),
    )


def _image_names(listing: Listing, found: _Findings) -> dict[_Parts, str]:
    images: dict[_Parts, str] = {}
    for name in sorted(listing.files):
        if is_hidden(name):
            found.ignored.append((name, "hidden"))
        elif splitext(name)[1].lower() not in SUFFIXES:
            found.ignored.append((name, "not an image by its name"))
        else:
            images[tuple(name.split("/"))] = name
    return images


def _no_images(found: _Findings) -> str:
    others = [name for name, reason in found.ignored if reason == "not an image by its name"]
    example = f"; it holds other files, such as '{printable(others[0])}'" if others else ""
    links = [name for name, reason in found.ignored if "link" in reason]
    linked = f"; {len(links)} symbolic links were not followed" if links else ""
    return (
        f"'{found.root}' holds no images (files that end in {', '.join(sorted(SUFFIXES))})"
        f"{example}{linked}: put each image in a folder named after its class, "
        f"such as {found.root}/cat/1.png"
    )


def _below(images: Mapping[_Parts, str], top: str) -> dict[_Parts, str]:
    return {parts[1:]: name for parts, name in images.items() if len(parts) > 1 and parts[0] == top}


def common_folder(listing: Listing) -> str:
    """The folder, or folders in each other, around the whole, with a `/` behind it, or nothing.

    >>> common_folder(Listing(files=("pets/cat/1.png", "pets/dog/1.png")))
    'pets/'
    >>> common_folder(Listing(files=("cat/1.png", "dog/1.png")))
    ''
    """
    images = _image_names(listing, _Findings(root=""))
    folders = [tuple(name.split("/")) for name in listing.folders if not is_hidden(name)]
    return "".join(f"{top}/" for top in _around(images, folders))


def _around(images: Iterable[_Parts], folders: Iterable[_Parts]) -> _Parts:
    every = [*images, *folders]
    shallowest = min((len(parts) for parts in images), default=0)
    around: list[str] = []
    while shallowest - len(around) > 2:
        tops = {parts[len(around)] for parts in every if len(parts) > len(around)}
        if len(tops) > 1 or next(iter(tops)).lower() in SPLIT_FOLDERS:
            break
        around.append(tops.pop())
    return tuple(around)


def _split_folders(images: Mapping[_Parts, str]) -> dict[str, list[str]]:
    """Split → its folders, or nothing if the first-level folders are classes.

    `train` may also be a class (of a data set of vehicles): then images lie in it directly, and
    other classes beside it.
    """
    tops = {parts[0] for parts in images if len(parts) > 1}
    deep = {parts[0] for parts in images if len(parts) > 2}
    only_splits = bool(tops) and all(top.lower() in SPLIT_FOLDERS for top in tops)
    if not only_splits and not any(SPLIT_FOLDERS.get(top.lower()) == "train" for top in deep):
        return {}
    folders: dict[str, list[str]] = {}
    for top in sorted(top for top in tops if top.lower() in SPLIT_FOLDERS):
        folders.setdefault(SPLIT_FOLDERS[top.lower()], []).append(top)
    return folders


def _arrange_splits(
    images: dict[_Parts, str],
    folders: list[_Parts],
    tops: Mapping[str, list[str]],
    found: _Findings,
) -> dict[str, dict[str, tuple[str, ...]]]:
    splits = {}
    for split in ("train", "validation", "test"):
        if split not in tops:
            continue
        top, *others = tops[split]
        if others:
            names = ", ".join(f"'{name}'" for name in (top, *others))
            found.errors.append(f"'{found.root}' has {names}, which mean the same: keep one")
        below = [parts[1:] for parts in folders if parts[0] == top and len(parts) > 1]
        splits[split] = _arrange_classes(_below(images, top), below, top, found)
    if "train" not in splits:
        found.errors.append(
            f"'{found.root}' has a {' and a '.join(splits)} folder and no train folder: add one, "
            "or give the path of the folder that holds the classes"
        )
    used = {top for names in tops.values() for top in names}
    outside = [
        (parts, name) for parts, name in images.items() if len(parts) == 1 or parts[0] not in used
    ]
    found.ignored += [
        (name, "outside the train, validation and test folders") for _, name in outside
    ]
    beside = sorted({parts[0] for parts, _ in outside if len(parts) > 1})
    if beside and len(splits) == 1:
        found.errors.append(
            f"'{found.root}' has a train folder of class folders, and images in {quoted(beside)} "
            "beside it: move those into train, or elsewhere"
        )
    return splits


def _arrange_classes(
    images: Mapping[_Parts, str], folders: Iterable[_Parts], within: str, found: _Findings
) -> dict[str, tuple[str, ...]]:
    where = f"{found.root}/{within}" if within else found.root
    loose = [name for parts, name in images.items() if len(parts) == 1]
    names: dict[str, list[str]] = {parts[0]: [] for parts in folders}
    for parts, name in images.items():
        if len(parts) > 1:
            names.setdefault(parts[0], []).append(name)
    if loose and not any(names.values()):
        found.errors.append(
            f"the {len(loose)} images in '{where}' lie in no class folder: put each in a folder "
            f"named after its class, such as {where}/cat/{printable(PurePosixPath(loose[0]).name)}"
        )
    else:
        found.ignored += [(name, "in no class folder") for name in loose]
    return {name: tuple(names[name]) for name in sorted(names)}


def _bind(
    splits: Mapping[str, dict[str, tuple[str, ...]]],
    classes: Sequence[str] | None,
    found: _Findings,
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Every split with the same classes in the same order, whatever folders it has."""
    train = splits.get("train", {})
    order = tuple(train) if classes is None else tuple(classes)
    if classes is None and any(train.values()):
        _check_training_classes(train, found)
    bound = {}
    for split, folders in splits.items():
        extra = [name for name, images in folders.items() if images and name not in order]
        if extra:
            found.errors.append(_unknown_classes(split, extra, order, classes is None, found))
        missing = [name for name in order if not folders.get(name)]
        if missing and (split != "train" or classes is not None):
            found.notes.append(
                f"{split} has no images of {quoted(missing)}: add some, or its results say "
                "nothing about them"
            )
        bound[split] = {name: folders.get(name, ()) for name in order}
    return bound


def _check_training_classes(train: Mapping[str, tuple[str, ...]], found: _Findings) -> None:
    empty = [name for name, images in train.items() if not images]
    if empty:
        found.errors.append(
            f"no images in the class {quoted(empty)} of '{found.root}': add images or remove "
            "the empty folder"
        )
    if len(train) - len(empty) == 1:
        (only,) = (name for name, images in train.items() if images)
        found.errors.append(
            f"'{found.root}' has one class, '{printable(only)}': a classifier needs two or more; "
            "make one folder for each class"
        )
    for name in train:
        if not _is_unicode(name):
            found.errors.append(
                f"the name of the class '{printable(name)}' is not UTF-8: rename it"
            )
    alike: dict[str, list[str]] = {}
    for name in train:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            found.notes.append(
                f"the classes {quoted(names)} differ only in case or accents' encoding: if they "
                "are the same, put their images in one folder"
            )


def _unknown_classes(
    split: str, extra: Sequence[str], order: Sequence[str], own: bool, found: _Findings
) -> str:
    source = "the training classes" if own else "the model's classes"
    return (
        f"{split} of '{found.root}' has the class {quoted(extra)}, which is none of {source} "
        f"({quoted(order)}): rename or remove the folder"
    )


def quoted(names: Sequence[str], limit: int = 10) -> str:
    """Names from outside, inert, quoted and listed, those after `limit` counted."""
    shown = ", ".join(f"'{printable(name)}'" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
