"""IDX, the format of MNIST: a magic number, the sizes, then the bytes.

Layout (LeCun, Cortes, Burges: The MNIST database of handwritten digits): two zero bytes, the
type of the values (8 is unsigned byte), the number of dimensions, each size as a big-endian
32-bit integer, then the values, last dimension fastest.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.data.dataset import Dataset
from convscope.data.gzip_stream import GzipStream
from convscope.errors import InputError
from convscope.files import check_readable
from convscope.text import printable

MAX_BYTES = 4 * 1024**3
MAX_DIMENSIONS = 4
_UNSIGNED_BYTE = 8
_TYPES = {9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
_PREFIXES = {"train": "train", "test": "t10k"}
_KINDS = {"images": 3, "labels": 1}

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of MNIST's four files, decompressed: any mirror and any recompression passes."""

MNIST_FACTS = {
    "source": "http://yann.lecun.com/exdb/mnist/ (Yann LeCun, Corinna Cortes, Christopher Burges)",
    "licence": "CC BY-SA 3.0",
    "citation": (
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document "
        "recognition. Proceedings of the IEEE 86(11), 1998"
    ),
}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, plain or gzip; read-only.

    Raises:
        InputError: no IDX file, other values than unsigned bytes, more or fewer bytes than its
            header says, damaged gzip, or more than `MAX_BYTES`.
    """
    return _read(path)[0]


def read_idx_folder(
    path: Path, *, name: str | None = None, classes: Sequence[str] | None = None
) -> dict[str, Dataset]:
    """The training and test set in a folder that holds MNIST's four files, or files named so.

    The names are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`
    and `t10k-labels-idx1-ubyte`, each with `.gz` or without, also as `train-images.idx3-ubyte`.
    MNIST itself is recognised by its content.

    Args:
        path: the folder.
        name: what to call the data; the folder's name, or `mnist`, where it is None.
        classes: the names of labels 0, 1, …; where it is None, the numbers that the training
            labels contain.

    Raises:
        InputError: a file is missing or damaged, or images and labels do not fit together.
    """
    files = {(split, kind): _find(path, split, kind) for split in _PREFIXES for kind in _KINDS}
    arrays: dict[tuple[str, str], npt.NDArray[np.uint8]] = {}
    digests: dict[str, str] = {}
    for (split, kind), file in files.items():
        begun = _begun.pop(_version(file), None)
        found = begun.result() if begun else _read(file)
        arrays[split, kind], digests[_name(split, kind)] = found
        _check_shape(file, arrays[split, kind], kind)
    is_mnist = digests == MNIST_SHA256
    names, labels = _classes(path, {s: arrays[s, "labels"] for s in _PREFIXES}, classes)
    facts: dict[str, Any] = MNIST_FACTS if is_mnist else {"source": path.resolve().name}
    result = {}
    for split in _PREFIXES:
        images = arrays[split, "images"]
        if len(images) != len(labels[split]):
            raise InputError(
                f"{printable(files[split, 'images'])} holds {len(images):,} images, but "
                f"{printable(files[split, 'labels'])} {len(labels[split]):,} labels: they must be "
                "as many; fetch both again"
            )
        result[split] = Dataset(
            name=name or ("mnist" if is_mnist else path.resolve().name),
            split=split,
            images=images[:, None],
            labels=labels[split],
            classes=names,
            provenance={
                "format": "IDX",
                **facts,
                **_digests(split, digests),
            },
        )
    return result


def read_ahead(path: Path) -> None:
    """Begin to read the files of an IDX folder; `read_idx_folder` takes what has been read.

    Packed files take a second thread, and none of Python's lock: this goes on beside imports.
    """
    files = [_find(path, split, kind) for split in _PREFIXES for kind in _KINDS]
    reader = ThreadPoolExecutor(1, "read-ahead")
    _begun.update({_version(file): reader.submit(_read, file) for file in files})
    reader.shutdown(wait=False)


def is_idx_folder(path: Path) -> bool:
    """Whether the folder holds at least one file with a name of MNIST's four."""
    return any(
        file.exists()
        for split in _PREFIXES
        for kind in _KINDS
        for file in _names(path, split, kind)
    )


def _digests(split: str, digests: dict[str, str]) -> dict[str, Any]:
    """The SHA-256 of each file's payload, and one of both together."""
    own = {_name(split, kind): digests[_name(split, kind)] for kind in _KINDS}
    return {"payloads": own, "sha256": hashlib.sha256("".join(own.values()).encode()).hexdigest()}


_Version = tuple[Path, int, int]
_begun: dict[_Version, Future[tuple[npt.NDArray[np.uint8], str]]] = {}
"""Files that `read_ahead` has begun to read."""


def _version(file: Path) -> _Version:
    """Another one once the file has been written again."""
    facts = file.stat()
    return file, facts.st_mtime_ns, facts.st_size


def _read(path: Path) -> tuple[npt.NDArray[np.uint8], str]:
    """The array and the SHA-256 of the whole payload, header included."""
    size = check_readable(path, MAX_BYTES)
    shown = printable(path)
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        if gzipped:
            with GzipStream(path) as stream:
                header, shape = _read_header(stream.read, shown)
                expected = math.prod(shape)
                data = stream.read(expected + 1)
                found = f"{len(data):,}" if len(data) <= expected else f"more than {expected:,}"
        else:
            with path.open("rb") as file:
                header, shape = _read_header(file.read, shown)
                expected = math.prod(shape)
                data = file.read(expected + 1)
                found = f"{size - len(header):,}"
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror}") from None
    if len(data) != expected:
        raise InputError(
            f"{shown} holds {found} bytes after its header, expected are {expected:,} "
            f"({' × '.join(map(str, shape))}): fetch it again"
        )
    digest = hashlib.sha256(header)
    digest.update(data)
    return np.frombuffer(data, dtype=np.uint8).reshape(shape), digest.hexdigest()


def _read_header(read: Callable[[int], bytes], shown: str) -> tuple[bytes, tuple[int, ...]]:
    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in {_UNSIGNED_BYTE, *_TYPES}:
        raise InputError(
            f"{shown} is no IDX file: it begins with {magic.hex(' ') or 'nothing'}, expected is "
            "00 00 08"
        )
    if magic[2] in _TYPES:
        raise InputError(f"{shown} holds {_TYPES[magic[2]]} values; allowed is uint8")
    if not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise InputError(f"{shown} has {magic[3]} dimensions; allowed are 1 to {MAX_DIMENSIONS}")
    sizes = read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise InputError(f"{shown} ends inside its header: it was cut short, fetch it again")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if math.prod(shape) > MAX_BYTES:
        raise InputError(
            f"{shown} says that it holds {' × '.join(map(str, shape))} bytes; allowed are at most "
            f"{MAX_BYTES:,}"
        )
    return magic + sizes, shape


def _name(split: str, kind: str) -> str:
    return f"{_PREFIXES[split]}-{kind}-idx{_KINDS[kind]}-ubyte"


def _names(path: Path, split: str, kind: str) -> list[Path]:
    dashed = _name(split, kind)
    dotted = dashed.replace("-idx", ".idx")
    return [path / f"{stem}{end}" for stem in (dashed, dotted) for end in ("", ".gz")]


def _find(path: Path, split: str, kind: str) -> Path:
    for file in _names(path, split, kind):
        if file.exists():
            return file
    raise InputError(
        f"{printable(path)} has no {_name(split, kind)} (or {_name(split, kind)}.gz): put it there"
    )


def _check_shape(file: Path, array: npt.NDArray[np.uint8], kind: str) -> None:
    if array.ndim != _KINDS[kind] or array.size == 0:
        wanted = "N × height × width" if kind == "images" else "N"
        raise InputError(
            f"{printable(file)} has the sizes {' × '.join(map(str, array.shape))}; {kind} need "
            f"{wanted}, each at least 1"
        )


def _classes(
    path: Path, raw: dict[str, npt.NDArray[np.uint8]], names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, npt.NDArray[np.int64]]]:
    """The names of the classes, and the labels as indices into them."""
    if names is not None:
        values = np.arange(len(names))
    else:
        values = np.unique(raw["train"])
        names = [str(value) for value in values]
    for split, labels in raw.items():
        unknown = np.setdiff1d(labels, values)
        if len(unknown):
            raise InputError(
                f"the {split} labels in {printable(path)} contain {unknown[0]}, which is no "
                f"class; the classes are {', '.join(map(str, values[:20]))}: do these files "
                "belong together?"
            )
    index = {split: np.searchsorted(values, labels) for split, labels in raw.items()}
    return tuple(names), {split: labels.astype(np.int64) for split, labels in index.items()}
