"""Predict: pictures in, the most probable classes out. Reads only a run."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from torch import nn

from convscope.data.images import decode
from convscope.data.preprocess import resize
from convscope.errors import InputError
from convscope.evaluation.inference import largest_batch, log_probabilities
from convscope.run import Run, load_model, open_run
from convscope.text import printable

BATCH, BATCH_BYTES = 64, 2**26
"""Pictures that are held decoded together: so many, and so much memory, at most."""
MAX_STDIN = 256 * 1024 * 1024


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


def predict(
    run: str | Path | Run,
    images: Iterable[str | Path],
    *,
    top: int = 3,
    stdin: BinaryIO | None = None,
) -> Iterator[Prediction]:
    """Classify pictures one after the other, in batches, with bounded memory.

    Args:
        run: a run directory.
        images: picture files, folders (searched through, sorted by name), or `-` for one picture
            on standard input.
        top: how many guesses to give for each, from 1 up.
        stdin: where `-` reads from.

    Yields:
        One prediction for each picture in order; one that cannot be read has `error` set.

    Raises:
        InputError: the run is unusable, a path does not exist, or `top` is below 1.
    """
    run = open_run(run)
    if top < 1:
        raise InputError(f"top is {top}: allowed are whole numbers from 1")
    sources = [source for given in images for source in _expand(str(given))]
    if not sources:
        raise InputError("no pictures given: name files, folders, or - for standard input")
    model = load_model(run)
    return _predictions(run, model, sources, top, stdin)


def _predictions(
    run: Run, model: nn.Module, sources: list[str], top: int, stdin: BinaryIO | None
) -> Iterator[Prediction]:
    size = _batch_size(run, model, len(sources))
    for start in range(0, len(sources), size):
        batch = sources[start : start + size]
        pixels = [_read(source, run, stdin) for source in batch]
        readable = [array for array in pixels if isinstance(array, np.ndarray)]
        guesses = iter(_guess(run, model, np.stack(readable), top) if readable else ())
        for source, array in zip(batch, pixels, strict=True):
            if isinstance(array, str):
                yield Prediction(source, error=array)
            else:
                yield Prediction(source, next(guesses))


def _batch_size(run: Run, model: nn.Module, pictures: int) -> int:
    """How many pictures at a time, so that pixels and network stay within bounded memory."""
    if pictures == 1:
        return 1
    preprocessing = run.document.preprocessing
    picture = preprocessing.channels * math.prod(preprocessing.size)
    return max(1, min(BATCH, BATCH_BYTES // picture, largest_batch(model, preprocessing)))


def _guess(
    run: Run, model: nn.Module, images: npt.NDArray[np.uint8], top: int
) -> list[tuple[Guess, ...]]:
    preprocessing = run.document.preprocessing
    scores = log_probabilities(model, images, preprocessing, batch_size=len(images))
    probabilities = np.exp(scores)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        tuple(Guess(run.document.classes[k], float(row[k])) for k in best)
        for row, best in zip(probabilities, order, strict=True)
    ]


def _read(source: str, run: Run, stdin: BinaryIO | None) -> npt.NDArray[np.uint8] | str:
    """The picture as the network's preprocessing wants it, or why it cannot be had."""
    try:
        data = _read_stdin(stdin) if source == "-" else Path(source)
        return resize(decode(data), run.document.preprocessing)
    except InputError as error:
        return str(error)


def _read_stdin(stdin: BinaryIO | None) -> bytes:
    data = stdin.read(MAX_STDIN + 1) if stdin else b""
    if len(data) > MAX_STDIN:
        raise InputError(f"standard input has more than {MAX_STDIN:,} bytes: give a smaller file")
    return data


def _expand(source: str) -> Iterator[str]:
    path = Path(source)
    if source == "-":
        yield source
    elif path.is_dir():
        found = False
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith("."):
                    found = True
                    yield str(Path(folder) / name)
        if not found:
            raise InputError(f"no files in the folder {printable(source)}")
    elif path.exists():
        yield source
    else:
        raise InputError(f"no file or folder {printable(source)}: check the path")
