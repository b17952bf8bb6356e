"""Read a directory of class folders. It is only ever opened for reading."""

import os
from collections.abc import Sequence
from pathlib import Path

from convscope.data.cache import CacheMode
from convscope.data.class_folders import read_splits
from convscope.data.dataset import Dataset
from convscope.data.decoding import Progress
from convscope.data.images import read_file
from convscope.data.layout import Listing
from convscope.data.preprocess import Aspect
from convscope.errors import InputError
from convscope.text import printable


class Folder:
    """The files below a directory. Symbolic links never lead out of it.

    A link to a file inside the directory is followed. Links to folders, links that lead
    outside, and anything that is no regular file are listed as skipped.
    """

    def __init__(self, path: Path) -> None:
        self.root = Path(os.path.realpath(path))  # a loop of links leads nowhere
        if not self.root.is_dir():
            raise InputError(f"'{printable(path)}' is no directory: give a folder of class folders")
        self.name = self.root.name or "root"
        self.provenance = {"format": "folder", "source": self.name}
        self.listing = _scan(self.root)
        self._prefix = f"{self.root}{os.sep}"

    def read(self, name: str) -> bytes:
        """The bytes of a file of the listing."""
        return read_file(self.root / name)

    def stamp(self, name: str) -> str:
        """Size and times of a file; that of its last change of any kind cannot be set back."""
        try:
            facts = os.stat(f"{self._prefix}{name}")
        except OSError as error:
            return f"cannot be opened: {error.strerror}"
        return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def read_folder(
    path: Path,
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
    """A directory of class folders, with train, test and validation folders or without.

    Arguments, result and errors as in `class_folders.read_splits`; what may lie in the
    directory, in `layout`.
    """
    return read_splits(
        Folder(path),
        size=size,
        channels=channels,
        aspect=aspect,
        keep_size=keep_size,
        cache=cache,
        classes=classes,
        skip_bad=skip_bad,
        progress=progress,
    )


def _scan(root: Path) -> Listing:
    files: list[str] = []
    folders: list[str] = []
    skipped: list[tuple[str, str]] = []
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            entries = list(os.scandir(root / prefix))
        except OSError as error:
            skipped.append((prefix.rstrip("/") or ".", f"cannot be opened: {error.strerror}"))
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.is_symlink():
                reason = _why_not_followed(root, entry)
                (skipped.append((name, reason)) if reason else files.append(name))
            elif entry.is_dir():
                folders.append(name)
                waiting.append(name + "/")
            elif entry.is_file():
                files.append(name)
            else:
                skipped.append((name, "not a regular file"))
    return Listing(files=tuple(files), folders=tuple(folders), skipped=tuple(sorted(skipped)))


def _why_not_followed(root: Path, entry: os.DirEntry[str]) -> str:
    target = Path(os.path.realpath(entry.path))
    if not target.is_relative_to(root):
        return "symbolic link out of the folder"
    if target.is_file():
        return ""
    return "symbolic link to a folder" if target.is_dir() else "broken symbolic link"
