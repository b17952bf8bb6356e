"""CIFAR-10 and CIFAR-100 in their binary version. Never the pickled one.

Format (https://www.cs.toronto.edu/~kriz/cifar.html): a record is the label, one byte (CIFAR-100:
two, coarse and fine), then 3,072 bytes: 1,024 red, 1,024 green, 1,024 blue, row by row.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.data.dataset import Dataset
from convscope.data.tar import read_members
from convscope.errors import InputError
from convscope.files import read_bytes
from convscope.text import printable

MAX_FILE = 512 * 1024**2
_IMAGE = (3, 32, 32)
_PIXELS = 3 * 32 * 32

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
CITATION = "A. Krizhevsky: Learning multiple layers of features from tiny images. 2009"
LICENCE = "none stated by its authors; free use with the citation is customary"


@dataclass(frozen=True)
class _Kind:
    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int  # the last one is used: CIFAR-100's fine label

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.names)


_KINDS = (
    _Kind(
        name="cifar10",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        names="batches.meta.txt",
        label_bytes=1,
    ),
    _Kind(
        name="cifar100",
        folder="cifar-100-binary",
        train=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        label_bytes=2,
    ),
)


def is_cifar(path: Path) -> bool:
    """Whether `path` is a folder or a .tar.gz that looks like CIFAR's binary version."""
    if path.is_dir():
        return _folder(path) is not None
    return path.name.lower().endswith((".tar.gz", ".tgz"))


def read_cifar(path: Path) -> dict[str, Dataset]:
    """The training and test set, uint8 N × 3 × 32 × 32, from a folder or straight from the .tar.gz.

    Of CIFAR-100's two labels the fine one is used.

    Raises:
        InputError: a file is missing, no whole number of records long, or damaged, or labels
            and names do not fit together.
    """
    if path.is_dir():
        found = _folder(path)
        if found is None:
            raise InputError(f"{printable(path)} holds no file of CIFAR's binary version")
        kind, folder = found
        files = {name: _read_file(folder / name) for name in kind.files}
    else:
        wanted = {name for kind in _KINDS for name in kind.files}
        files = read_members(path, wanted, MAX_FILE)
        kind = _kind_of(files, path)
    names = _class_names(files[kind.names], printable(path / kind.names))
    return {
        "train": _dataset(kind, "train", {name: files[name] for name in kind.train}, names),
        "test": _dataset(kind, "test", {kind.test: files[kind.test]}, names),
    }


def _folder(path: Path) -> tuple[_Kind, Path] | None:
    """The kind of data in `path`, or in CIFAR's own folder inside it, and where the files lie."""
    for kind in _KINDS:
        for folder in (path, path / kind.folder):
            if any((folder / name).is_file() for name in (*kind.train, kind.test)):
                return kind, folder
    return None


def _read_file(path: Path) -> bytes:
    if not path.exists():
        raise InputError(f"{printable(path.parent)} has no {path.name}: put it there")
    return read_bytes(path, MAX_FILE)


def _kind_of(files: Mapping[str, bytes], path: Path) -> _Kind:
    for kind in _KINDS:
        if any(name in files for name in (*kind.train, kind.test)):
            for name in kind.files:
                if name not in files:
                    raise InputError(f"{printable(path)} has no {name}: fetch it again")
            return kind
    raise InputError(
        f"{printable(path)} holds no file of CIFAR's binary version (such as data_batch_1.bin or "
        "train.bin); other data: give a folder or a zip of class folders"
    )


def _class_names(data: bytes, shown: str) -> tuple[str, ...]:
    try:
        lines = data.decode("utf-8").splitlines() if len(data) < 65536 else []
    except UnicodeDecodeError:
        lines = []
    names = tuple(line.strip() for line in lines if line.strip())
    if not 2 <= len(names) <= 256 or len(set(names)) != len(names):
        raise InputError(
            f"{shown} must hold 2 to 256 different class names, one a line, in UTF-8: fetch "
            "it again"
        )
    return names


def _dataset(
    kind: _Kind, split: str, files: Mapping[str, bytes], classes: tuple[str, ...]
) -> Dataset:
    record = kind.label_bytes + _PIXELS
    for name, data in files.items():
        if not data or len(data) % record:
            raise InputError(
                f"{name} holds {len(data):,} bytes, which is no whole number of records of "
                f"{record:,} bytes: it was cut short, fetch it again"
            )
    count = sum(len(data) for data in files.values()) // record
    images = np.empty((count, *_IMAGE), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    digest = hashlib.sha256()
    start = 0
    for name, data in files.items():
        table: npt.NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
        part = slice(start, start + len(table))
        images[part] = table[:, kind.label_bytes :].reshape(-1, *_IMAGE)
        labels[part] = table[:, kind.label_bytes - 1]
        if labels[part].max() >= len(classes):
            raise InputError(
                f"{name} contains the label {labels[part].max()}, but there are {len(classes)} "
                "class names: do these files belong together?"
            )
        digest.update(data)
        start += len(table)
    return Dataset(
        name=kind.name,
        split=split,
        images=images,
        labels=labels,
        classes=classes,
        provenance=_provenance(digest.hexdigest()),
    )


def _provenance(digest: str) -> dict[str, Any]:
    return {
        "format": "CIFAR, binary version",
        "source": SOURCE,
        "licence": LICENCE,
        "citation": CITATION,
        "sha256": digest,
    }
