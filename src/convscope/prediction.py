"""Predict: pictures in, the most probable classes out. An ONNX file answers without torch."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convscope.data.decoding import Decoder, Image
from convscope.data.images import MAX_BYTES, SUFFIXES, read_file
from convscope.data.target import Target
from convscope.errors import InputError
from convscope.predictor import EXAMPLE, Predictor, open_predictor
from convscope.text import printable

if TYPE_CHECKING:
    from convscope.run import Run

BATCH, BATCH_BYTES = 64, 2**26
"""Pictures that are held decoded together: so many, and so much memory, at most."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Guess:
    """A class and how probable the network holds it, from 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The guesses for one picture, the most probable first; or why there are none.

    Attributes:
        source: the path as given, or `-` for standard input.
        guesses: at most `top` of them; empty where the picture could not be read.
        error: the reason, else empty.
    """

    source: str
    guesses: tuple[Guess, ...] = ()
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def model_and_pictures(words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """What a command line names: a model, or else the packaged one, and the pictures.

    The first word is the model unless it is clearly pictures: `-`, a file or pattern that ends
    as pictures do, a folder that is no run.

    Raises:
        InputError: a model without pictures.
    """
    first = Path(words[0])
    if words[0] == "-" or first.suffix.lower() in SUFFIXES or _is_folder_of_pictures(first):
        return EXAMPLE, words
    if len(words) == 1:
        raise InputError(
            f"{printable(first)} is a model or nothing that is there: give pictures, after a "
            "model or without one: convscope predict MODEL picture.png"
        )
    return first, words[1:]


def _is_folder_of_pictures(path: Path) -> bool:
    try:
        names = {entry.name for entry in path.iterdir()}
    except (OSError, ValueError):
        return False
    return not names & {"run.json", "weights.safetensors"}


def predict(
    model: "str | Path | Run",
    images: Iterable[str | Path],
    *,
    top: int = 3,
    stdin: BinaryIO | None = None,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Classify pictures one after the other, in batches, with bounded memory.

    While the network works on one batch, the next is decoded.

    Args:
        model: a run directory, or an `.onnx` file of `convscope export`.
        images: picture files, folders (searched through for pictures, sorted by name), patterns
            such as `photos/**/*.jpg`, or `-` for one picture on standard input.
        top: how many guesses to give for each, from 1 up.
        stdin: where `-` reads from.
        progress: called with the number of pictures decoded, and of all.

    Yields:
        One prediction for each picture in order; one that cannot be read has `error` set.

    Raises:
        InputError: the model is unusable, a path does not exist, or `top` is below 1.
    """
    if top < 1:
        raise InputError(f"top is {top}: allowed are whole numbers from 1")
    predictor = open_predictor(model)
    sources = [source for given in images for source in _expand(str(given))]
    if not sources:
        raise InputError("no pictures given: name files, folders, or - for standard input")
    return _predictions(predictor, sources, top, stdin, progress)


def _predictions(
    predictor: Predictor,
    sources: list[str],
    top: int,
    stdin: BinaryIO | None,
    progress: Progress | None,
) -> Iterator[Prediction]:
    p = predictor.preprocessing
    decoder = Decoder(_Files(stdin), Target(p.size, p.channels, p.aspect))
    decoded = zip(sources, decoder.decode_all(sources, progress), strict=True)
    size = _batch_size(predictor)
    while batch := list(islice(decoded, size)):
        readable = [image.pixels for _, image in batch if isinstance(image, Image)]
        guesses = iter(_guess(predictor, readable, top) if readable else ())
        for source, image in batch:
            if isinstance(image, str):
                yield Prediction(source, error=image)
            else:
                yield Prediction(source, next(guesses))


def _batch_size(predictor: Predictor) -> int:
    """How many pictures at a time, so that pixels and network stay within bounded memory."""
    p = predictor.preprocessing
    picture = p.channels * p.size[0] * p.size[1]
    return max(1, min(BATCH, BATCH_BYTES // picture, predictor.largest_batch))


def _guess(
    predictor: Predictor, images: list[np.ndarray[Any, np.dtype[np.uint8]]], top: int
) -> list[tuple[Guess, ...]]:
    probabilities = predictor.probabilities(np.stack(images))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        tuple(Guess(predictor.classes[k], float(row[k])) for k in best)
        for row, best in zip(probabilities, order, strict=True)
    ]


class _Files:
    """Pictures by their path, or `-` for standard input."""

    def __init__(self, stdin: BinaryIO | None) -> None:
        self.stdin = stdin

    def read(self, name: str) -> bytes:
        """The bytes of a picture; see `decoding.Readable`."""
        if name != "-":
            return read_file(Path(name))
        data = self.stdin.read(MAX_BYTES + 1) if self.stdin else b""
        if len(data) > MAX_BYTES:
            raise InputError(f"standard input has more than {MAX_BYTES:,} bytes: give a file")
        return data


def _expand(source: str) -> Iterator[str]:
    """The pictures that `source` stands for.

    Raises:
        InputError: there are none.
    """
    if source == "-" or _exists(source, os.path.isfile):
        yield source
    elif _exists(source, os.path.isdir):
        yield from _in_folder(source)
    elif _exists(source, os.path.exists):
        yield source  # a pipe or a device: refused by name when it is read
    elif glob.has_magic(source):
        found = sorted(path for path in glob.iglob(source, recursive=True) if os.path.isfile(path))
        if not found:
            raise InputError(f"no file matches {printable(source)}: check the pattern")
        yield from found
    else:
        raise InputError(f"no file or folder {printable(source)}: check the path")


def _exists(source: str, kind: Callable[[str], bool]) -> bool:
    try:
        return kind(source)
    except ValueError:  # a zero byte
        return False


def _in_folder(source: str) -> Iterator[str]:
    others = 0
    found = False
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                found = True
                yield os.path.join(folder, name)
            else:
                others += 1
    if not found:
        also = f"; it holds {others:,} files with other endings" if others else ""
        raise InputError(
            f"no pictures ({' '.join(sorted(SUFFIXES))}) in the folder {printable(source)}{also}"
        )
