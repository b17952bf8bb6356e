"""Decode small pictures in processes of their own.

Decoding a picture of 32 × 32 is mostly Python, which runs in one thread at a time. Each process
takes the bytes of files on its standard input and gives pixels on its standard output. It is a
fresh Python, not a copy of this process.

    question: number of files, whether small images keep their size; of each length, bytes
    answer:   of each: 1, C, H, W, pixels; or 0, length, 0, 0, reason in UTF-8
"""

import json
import signal
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import IO, BinaryIO

import numpy as np
import numpy.typing as npt

from convscope.data.images import pillow_guard, read_image
from convscope.data.target import Target
from convscope.environment import python_command
from convscope.errors import InputError

Answer = npt.NDArray[np.uint8] | str

_QUESTION, _LENGTH, _ANSWER = struct.Struct("<I?"), struct.Struct("<I"), struct.Struct("<BIII")
_BUFFER = 2**18  # bytes, of a pipe's two ends: small ones are handed over and over


class DecoderProcess:
    """One of them: asked, and then read, one question at a time. A context manager.

    If it cannot be started, or dies, perhaps for want of memory, it has no answers.
    """

    def __init__(self, target: Target) -> None:
        self._asked = 0
        words = python_command(__name__, json.dumps(asdict(target)))
        self._child: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._child = subprocess.Popen(
                words,
                bufsize=_BUFFER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def __enter__(self) -> "DecoderProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def ask(self, files: Sequence[bytes], *, native: bool) -> None:
        """Have files decoded, while we do something else."""
        self._asked = len(files)
        if not self._child:
            return
        sink = self._child.stdin
        assert sink is not None
        try:
            sink.write(_QUESTION.pack(len(files), native))
            for data in files:
                sink.write(_LENGTH.pack(len(data)))
                sink.write(data)
            sink.flush()
        except OSError:
            self._end()

    def answers(self) -> list[Answer] | None:
        """Pixels C × H × W of each file, or why there are none; None if the process is dead."""
        if not self._child:
            return None
        source = self._child.stdout
        assert source is not None
        try:
            return [_read_answer(source) for _ in range(self._asked)]
        except (OSError, EOFError):
            self._end()
            return None

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()
        child.wait()


def main(target: str) -> None:
    """The decoding process: answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it closes our input
    facts = json.loads(target)
    wanted = Target(**{**facts, "size": facts["size"] and tuple(facts["size"])})
    with (
        pillow_guard(),
        suppress(EOFError, BrokenPipeError),
        open(0, "rb", _BUFFER) as source,
        open(1, "wb", _BUFFER) as sink,
    ):
        while True:
            count, native = _QUESTION.unpack(_exactly(source, _QUESTION.size))
            files = [_exactly(source, *_LENGTH.unpack(_exactly(source, 4))) for _ in range(count)]
            for data in files:
                _answer(sink, data, wanted, native)
            sink.flush()


def _answer(sink: BinaryIO, data: bytes, target: Target, native: bool) -> None:
    try:
        pixels = target.conform(read_image(data), native=native)
    except InputError as error:
        text = str(error).encode("utf-8", "backslashreplace")
        sink.write(_ANSWER.pack(0, len(text), 0, 0) + text)
        return
    sink.write(_ANSWER.pack(1, *pixels.shape))
    sink.write(pixels.data)


def _read_answer(source: IO[bytes]) -> Answer:
    kind, *shape = _ANSWER.unpack(_exactly(source, _ANSWER.size))
    if not kind:
        return _exactly(source, shape[0]).decode("utf-8")
    channels, height, width = shape
    data = _exactly(source, channels * height * width)
    return np.frombuffer(data, dtype=np.uint8).reshape(channels, height, width)


def _exactly(source: IO[bytes], count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
        raise EOFError
    return data
