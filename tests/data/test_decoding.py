import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from convscope.data import decoding
from convscope.data.decoder_process import DecoderProcess
from convscope.data.decoding import Decoder, Image
from convscope.data.target import Target
from convscope.environment import available_cores
from convscope.errors import InputError
from hostile_images import encode, hostile_files, pixels

TARGET = Target(size=(9, 9), channels=3, aspect="cover", keep_size=True)


class Files:
    """Bytes by name."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content

    def read(self, name: str) -> bytes:
        if name not in self.content:
            raise InputError("cannot be opened: gone")
        return self.content[name]


def pictures(count: int) -> dict[str, bytes]:
    """Grey and coloured, small ones and larger ones."""
    return {
        f"{index}.png": encode(pixels(index, 3 + index % 9, 5, channels=index % 2 * 2 + 1))
        for index in range(count)
    }


def equal(found: Image | str, expected: Image | str) -> bool:
    if isinstance(found, str) or isinstance(expected, str):
        return found == expected
    same = found.file_digest == expected.file_digest
    return same and np.array_equal(found.pixels, expected.pixels)


@pytest.fixture
def processes_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_WORTH_PROCESSES", 0.0)
    monkeypatch.setattr(decoding, "_WORTH_A_THREAD", 99.0)
    monkeypatch.setattr(decoding, "available_cores", lambda: 2)


@pytest.mark.usefixtures("processes_are_worth_it")
@pytest.mark.parametrize("native", [False, True])
def test_processes_give_what_this_one_gives(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pictures(200) | {name: data for name, (data, _) in hostile_files().items()}
    names = [*content, "missing.png", *pictures(150)]
    decoder = Decoder(Files(content), TARGET)
    decoder.native = native
    expected = [decoder.decode(name) for name in names]

    used = []
    original = DecoderProcess.answers

    def counted(self: DecoderProcess) -> object:
        answers = original(self)
        used.append(answers is not None)
        return answers

    monkeypatch.setattr(DecoderProcess, "answers", counted)
    seen: list[tuple[int, int]] = []
    found = list(decoder.decode_all(names, lambda done, total: seen.append((done, total))))
    assert len(used) > 4
    assert all(used)
    assert len(found) == len(names)
    assert all(map(equal, found, expected))
    assert seen[-1] == (len(names), len(names))
    assert sum(isinstance(result, str) for result in found) == len(hostile_files()) + 1


@pytest.mark.usefixtures("processes_are_worth_it")
@pytest.mark.parametrize("kills", [1, 2])
def test_a_process_that_dies_is_not_needed(kills: int) -> None:
    """Killed, as by a system without memory: its part is decoded here, and so is what follows."""
    content = pictures(1000)
    decoder = Decoder(Files(content), TARGET)
    results = decoder.decode_all([*content], None)
    found = [next(results) for _ in range(100)]
    assert len(children()) == 2
    for child in children()[:kills]:
        os.kill(child, signal.SIGKILL)
    found += results
    assert all(map(equal, found, map(decoder.decode, content)))
    assert children() == []


def test_a_process_that_cannot_start_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with DecoderProcess(TARGET) as process:
        process.ask([b"x"], native=True)
        assert process.answers() is None


@pytest.mark.usefixtures("processes_are_worth_it")
def test_who_stops_taking_ends_the_work() -> None:
    content = pictures(300)
    results = Decoder(Files(content), TARGET).decode_all([*content], None)
    for _ in range(20):
        next(results)
    results.close()
    assert children() == []


def test_only_a_few_are_decoded_ahead() -> None:
    """A slow taker does not fill the memory: two chunks of eight a thread, and one being made."""
    made = 0

    def slowly(_: str) -> int:
        nonlocal made
        time.sleep(0.003)
        made += 1
        return made

    ahead = []
    results = decoding.in_parallel(slowly, [str(number) for number in range(400)])
    for taken, _ in enumerate(results, start=1):
        if taken == 100:
            time.sleep(0.5)
        ahead.append(made - taken)
    assert max(ahead) <= 8 * (2 * available_cores() + 2)


def children() -> list[int]:
    """This process's own decoding processes that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == os.getpid() and b"decoder_process" in command:
            found.append(int(stat.parent.name))
    return found
