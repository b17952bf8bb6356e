"""Files of strangers: what is wrong is said, nothing is executed, memory stays small."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.errors import InputError
from convscope.onnx_file.check import check_file
from convscope.onnx_file.protobuf import Damaged, Message, read_fields, signed
from convscope.predictor import open_predictor
from hostile_onnx import corpus, good

FILES = list(corpus())


def test_the_good_file_is_good() -> None:
    onnx.checker.check_model(onnx.load_from_string(good()), full_check=True)
    checked = check_file(good(), "good")
    assert checked.document.classes == tuple("0123456789")
    assert checked.largest_batch == 500


@pytest.mark.parametrize(("name", "data", "error"), FILES, ids=[name for name, _, _ in FILES])
def test_hostile_files_are_refused_with_a_reason(name: str, data: bytes, error: str) -> None:
    with pytest.raises(InputError, match=error) as caught:
        check_file(data, name)
    text = str(caught.value)
    assert text.startswith(name)
    assert text.isprintable()
    assert len(text) < 1500


@settings(max_examples=300)
@given(st.data())
def test_damaged_bytes_never_crash_the_reader(data: st.DataObject) -> None:
    """A few bytes changed, cut or put in: an InputError or a network, nothing else."""
    content = bytearray(good())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 3000) | st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 50))]
            case _:
                content[at:at] = data.draw(st.binary(max_size=20))
    said = ""
    try:
        check_file(bytes(content), "damaged")
    except InputError as error:
        said = str(error)
    assert said.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_never_crash_the_reader(data: bytes) -> None:
    with pytest.raises(InputError):
        check_file(data, "bytes")


@given(st.integers(1, 2**20), st.integers(-(2**63), 2**63 - 1), st.binary(), st.floats(width=32))
def test_what_is_written_is_read(number: int, whole: int, some: bytes, real: float) -> None:
    inner = Message().number(number, whole)
    message = Message().bytes(number, inner).bytes(number + 1, some).float32(number + 2, real)
    data = b"".join(message.pieces)
    assert len(data) == message.size
    first, second, third = read_fields(memoryview(data))
    assert isinstance(first[2], memoryview)
    assert [(n, signed(int(v))) for n, _, v in read_fields(first[2])] == [(number, whole)]
    assert (second[0], bytes(second[2])) == (number + 1, some)
    assert third[:2] == (number + 2, 5)
    with pytest.raises(Damaged):
        list(read_fields(memoryview(data)[:-1]))


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(path)
    with pytest.raises(InputError):
        open_predictor(path)


@pytest.mark.slow
def test_hostile_files_take_little_memory_and_time(tmp_path: Path) -> None:
    """All of them, through the door, in a process that may have 300 MB more than it began with."""
    for number, (_, data, _) in enumerate(FILES):
        (tmp_path / f"{number:03}.onnx").write_bytes(data)
    program = """
import pathlib, resource, sys, time
import onnxruntime
from convscope.environment import peak_memory_bytes
from convscope.errors import InputError
from convscope.predictor import open_predictor
from convscope.predictors import of_onnx
files = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
before, slowest = peak_memory_bytes(), 0.0
for path in files:
    started = time.monotonic()
    try:
        open_predictor(path)
    except InputError:
        slowest = max(slowest, time.monotonic() - started)
    else:
        sys.exit(f"{path} was taken")
print(len(files), (peak_memory_bytes() - before) // 2**20, round(slowest, 2))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, megabytes, slowest = done.stdout.split()
    assert int(count) == len(FILES)
    assert int(megabytes) < 300
    assert float(slowest) < 10
