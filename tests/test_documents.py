import json
import math
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.documents import MAX_DEPTH, parse_json, read_regular_file, to_json_bytes
from convscope.errors import InputError

MB = 1024 * 1024

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"\x00\xff")
    assert read_regular_file(path) == b"\x00\xff"


def test_reading_allocates_the_file_and_not_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"{}")
    tracemalloc.start()
    read_regular_file(path, max_bytes=100 * MB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MB


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"x" * 1001)
    assert len(read_regular_file(path, max_bytes=1001)) == 1001
    with pytest.raises(InputError, match=r"run\.json has 1,001 bytes; allowed are at most 1,000$"):
        read_regular_file(path, max_bytes=1000)


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    cases = {
        "folder": "is no regular file: give a plain file",
        "pipe": "is no regular file: give a plain file",
        "link": "is a link: put the file itself there",
        "dangling": "is a link: put the file itself there",
        "absent": "is missing: is this a complete run directory?",
        "target/inside": "cannot be read: Not a directory",
    }
    before = os.listdir("/proc/self/fd")
    for name, reason in cases.items():
        with pytest.raises(InputError) as caught:
            read_regular_file(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name} {reason}"
    assert os.listdir("/proc/self/fd") == before, "a refused file was left open"


def test_a_device_is_refused() -> None:
    with pytest.raises(InputError, match="/dev/zero is no regular file"):
        read_regular_file(Path("/dev/zero"))


def test_a_hostile_file_name_is_inert_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\\x1b\[2J\\nb is missing"):
        read_regular_file(tmp_path / "a\x1b[2J\nb")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ("[Infinity]", "Infinity is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ("1e999", "1e999 is too large a number"),
        ("-1e999", "-1e999 is too large a number"),
        ("[1" + "0" * 20 + "]", "a number has 21 digits"),
        ("1" * 5000, "a number has 5,000 digits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "a key stands twice"),
        ("[" * 101 + "]" * 101, "nested too deeply"),
        ("[" * 1_000_000, "nested too deeply"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "nested too deeply"),
    ],
    ids=lambda value: value[:20],
)
def test_json_that_is_none_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text.encode(), "run.json")
    message = str(caught.value)
    assert message.startswith(f"run.json is damaged: {reason}")
    assert len(message) < 200, "a message is one line that can be read"
    assert "\n" not in message


@pytest.mark.parametrize(
    "data", [b'"\xff"', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"\x80\x04."]
)
def test_bytes_that_are_no_utf8_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^run\.json is damaged: "):
        parse_json(data, "run.json")


def test_the_limits_are_met_exactly() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(deepest.encode(), "x")) == deepest
    assert parse_json(b"18446744073709551615", "x") == 2**64 - 1
    assert parse_json(b"-9223372036854775808", "x") == -(2**63)
    assert parse_json(b"1.7976931348623157e308", "x") == 1.7976931348623157e308


@given(documents)
def test_what_is_written_is_read_back(document: Any) -> None:
    data = to_json_bytes(document)
    assert parse_json(data, "x") == document
    assert data == to_json_bytes(document)
    assert data.endswith(b"\n")


@given(st.binary() | st.text(alphabet='[]{}",:0123456789eE.-NaInfty\\u ').map(str.encode))
def test_any_bytes_are_a_document_or_an_input_error(data: bytes) -> None:
    try:
        document = parse_json(data, "x")
    except InputError:
        pass
    else:
        assert parse_json(to_json_bytes(document), "x") == document


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    """Linux lets a file name hold any bytes; Python shows them as lone surrogates."""
    name = os.fsdecode(b"caf\xe9")
    path = tmp_path / "split.json"
    path.write_bytes(to_json_bytes({"test": [name]}))
    assert parse_json(read_regular_file(path), "x") == {"test": [name]}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        to_json_bytes({"loss": value})
