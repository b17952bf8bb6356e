"""Decode many files with all cores: in their order, and only a few ahead of who takes them."""

import hashlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from convscope.data.decoder_process import DecoderProcess
from convscope.data.images import pillow_guard, read_image
from convscope.data.target import Target
from convscope.environment import available_cores, can_start_python
from convscope.errors import InputError

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

_Result = TypeVar("_Result")
Work = Callable[[Sequence[str]], list[_Result]]
InProcesses = Callable[[Sequence[Sequence[str]], int], Iterator[list[_Result]]]

_CHUNK = 8  # images a task: enough to hide the cost of a task, few enough to show progress
_PROCESS_CHUNK = 64
_CHUNK_BYTES = 16 * 2**20  # of pixels, if a task would have more by the numbers above
_WORTH_A_THREAD = 1e-3  # seconds an image
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
        data = self._read(name)
        return data if isinstance(data, str) else self._try(data)

    def decode_all(
        self, names: Sequence[str], progress: Progress | None
    ) -> Generator[Image | str, None, None]:
        """The images of all files, in their order."""
        height, width = self.target.size or (0, 0)
        most = max(1, _CHUNK_BYTES // max(1, 3 * height * width))
        return in_parallel(self.decode, names, progress, self._in_processes, most)

    def _in_processes(
        self, chunks: Sequence[Sequence[str]], count: int
    ) -> Iterator[list[Image | str]]:
        """Decode in processes of their own, in turn: no threads, which would wait for Python's
        lock after each read.

        Each process works on one chunk; its next one is read before its answers are.
        """
        with ExitStack() as stack:
            processes = [stack.enter_context(DecoderProcess(self.target)) for _ in range(count)]
            files: list[dict[str, bytes | str]] = []
            for number, chunk in enumerate(chunks):
                files.append({name: self._read(name) for name in chunk})
                process = processes[number % count]
                results = self._answers(process, files.pop(0)) if number >= count else None
                good = [data for data in files[-1].values() if isinstance(data, bytes)]
                process.ask(good, native=self.native)
                if results is not None:
                    yield results
            for number, asked in enumerate(files, start=len(chunks) - len(files)):
                yield self._answers(processes[number % count], asked)

    def _answers(
        self, process: DecoderProcess, files: Mapping[str, bytes | str]
    ) -> list[Image | str]:
        answers = process.answers()
        if answers is None:
            return [data if isinstance(data, str) else self._try(data) for data in files.values()]
        following = iter(answers)
        return [
            data if isinstance(data, str) else _image(next(following), data)
            for data in files.values()
        ]

    def _read(self, name: str) -> bytes | str:
        try:
            return self.source.read(name)
        except InputError as error:
            return str(error)

    def _try(self, data: bytes) -> Image | str:
        try:
            return _image(self.target.conform(read_image(data), native=self.native), data)
        except InputError as error:
            return str(error)


def _image(answer: npt.NDArray[np.uint8] | str, data: bytes) -> Image | str:
    return answer if isinstance(answer, str) else Image(answer, hashlib.sha256(data).digest())


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
        in_processes: the results of chunks of names, in order, by a number of processes.
        most: names a task.
    """
    cores = available_cores()
    times: list[float] = []
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
            times.append(time.perf_counter() - started)
            yield from counted(results)
        rest = names[_CHUNK:]
        # Sizes may be mixed. The very first does not count: it also loads Pillow's decoders.
        typical = statistics.mean(times[1:] or [0.0])
        if typical >= _WORTH_A_THREAD:
            for results in _ordered(work, _chunks(rest, min(most, _CHUNK)), cores):
                yield from counted(results)
        elif (
            in_processes
            and cores > 1
            and can_start_python()
            and typical * len(rest) > _WORTH_PROCESSES
        ):
            chunks = _chunks(rest, min(most, _PROCESS_CHUNK))
            for results in in_processes(chunks, cores):
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
