"""Decode many files with all cores: in their order, and only a few ahead of who takes them."""

import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from convscope.data.decoder_process import Decoders, available
from convscope.data.images import pillow_guard, read_image
from convscope.data.target import Target
from convscope.environment import available_cores
from convscope.errors import InputError

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

_Result = TypeVar("_Result")
Work = Callable[[Sequence[str]], list[_Result]]
InProcesses = Callable[[int], AbstractContextManager[Work[_Result]]]

_CHUNK = 8  # images a task: enough to hide the cost of a task, few enough to show progress
_PROCESS_CHUNK = 64
_CHUNK_BYTES = 16 * 2**20  # of pixels, if a task would have more by the numbers above
_WORTH_A_THREAD = 2e-3  # seconds an image
_WORTH_PROCESSES = 2.0  # seconds in all; starting one takes a quarter of one


class Readable(Protocol):
    """Where files are read from, by several threads at once."""

    def read(self, name: str) -> bytes:
        """The bytes of a file, or an InputError with the reason."""


@dataclass(frozen=True, eq=False)
class Image:
    """uint8 C × H × W, and the digest of the file it came from."""

    pixels: npt.NDArray[np.uint8]
    file_digest: bytes


class Decoder:
    """From the name of a file to its image, or the reason why there is none.

    Attributes:
        native: whether small images still keep their size; whoever takes the images turns it off
            when they turn out to differ, and must expect some that were already on their way.
    """

    def __init__(self, source: Readable, target: Target) -> None:
        self.source, self.target, self.native = source, target, target.keep_size

    def decode(self, name: str) -> Image | str:
        """Decode here."""
        try:
            return self._decode(self.source.read(name))
        except InputError as error:
            return str(error)

    def decode_all(
        self, names: Sequence[str], progress: Progress | None
    ) -> Generator[Image | str, None, None]:
        """The images of all files, in their order."""
        height, width = self.target.size or (0, 0)
        most = max(1, _CHUNK_BYTES // max(1, 3 * height * width))
        return in_parallel(self.decode, names, progress, self._in_processes, most)

    @contextmanager
    def _in_processes(self, count: int) -> Iterator[Work[Image | str]]:
        with Decoders(self.target, count) as decoders:
            yield lambda names: self._decode_elsewhere(names, decoders)

    def _decode_elsewhere(self, names: Sequence[str], decoders: Decoders) -> list[Image | str]:
        """Decode in a process of its own."""
        results: dict[str, Image | str] = {}
        files: dict[str, bytes] = {}
        for name in names:
            try:
                files[name] = self.source.read(name)
            except InputError as error:
                results[name] = str(error)
        answers = decoders.decode(list(files.values()), native=self.native)
        if answers is None:  # the process died, perhaps for want of memory
            return [self.decode(name) for name in names]
        for (name, data), answer in zip(files.items(), answers, strict=True):
            results[name] = (
                answer if isinstance(answer, str) else Image(answer, hashlib.sha256(data).digest())
            )
        return [results[name] for name in names]

    def _decode(self, data: bytes) -> Image:
        pixels = self.target.conform(read_image(data), native=self.native)
        return Image(pixels, hashlib.sha256(data).digest())


def in_parallel(
    function: Callable[[str], _Result],
    names: Sequence[str],
    progress: Progress | None = None,
    in_processes: InProcesses[_Result] | None = None,
    most: int = _PROCESS_CHUNK,
) -> Generator[_Result, None, None]:
    """`function` of every name, in their order, by all processors if that is faster.

    The first few decide. What takes long runs in threads: a decoder works outside of Python's
    lock. A small picture is mostly Python, which runs in one thread at a time; if there are
    enough of them to be worth the start, processes do them.

    Args:
        in_processes: for a number of processes, a function of several names at once.
        most: names a task.
    """
    cores = available_cores()
    fastest = math.inf  # the fastest, because the very first also loads Pillow's decoders
    done = 0

    def counted(results: list[_Result]) -> list[_Result]:
        nonlocal done
        done += len(results)
        if progress is not None:
            progress(done, len(names))
        return results

    def work(part: Sequence[str]) -> list[_Result]:
        return [function(name) for name in part]

    with pillow_guard():
        for name in names[:_CHUNK]:
            started = time.perf_counter()
            results = work([name])
            fastest = min(fastest, time.perf_counter() - started)
            yield from counted(results)
        rest = names[_CHUNK:]
        if fastest >= _WORTH_A_THREAD:
            for results in _ordered(work, _chunks(rest, min(most, _CHUNK)), cores):
                yield from counted(results)
        elif in_processes and cores > 1 and available() and fastest * len(rest) > _WORTH_PROCESSES:
            with in_processes(cores) as work_elsewhere:
                for results in _ordered(
                    work_elsewhere, _chunks(rest, min(most, _PROCESS_CHUNK)), cores
                ):
                    yield from counted(results)
        else:
            for chunk in _chunks(rest, min(most, _CHUNK)):
                yield from counted(work(chunk))


def _chunks(names: Sequence[str], length: int) -> list[Sequence[str]]:
    return [names[start : start + length] for start in range(0, len(names), length)]


def _ordered(
    work: Work[_Result], chunks: list[Sequence[str]], threads: int
) -> Iterator[list[_Result]]:
    """`work` of each chunk, in order; at most two chunks a thread are ready or on their way."""
    waiting: deque[Future[list[_Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(work, chunk))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # Ctrl-C too: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
