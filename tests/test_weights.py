import io
import json
import math
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import InputError
from convscope.weights import read_header, read_note, read_tensors, write_tensors

MB = 1024 * 1024

# The format by hand: the header's length (134 = 56 + 53 + 25), the header, the bytes of two
# tensors: 1.0 and −2.0; then 3.
BY_HAND = (
    b"\x86\x00\x00\x00\x00\x00\x00\x00"
    b'{"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},'
    b'"n":{"dtype":"I64","shape":[],"data_offsets":[8,16]},'
    b'"__metadata__":{"a":"b"}}'
    b"\x00\x00\x80\x3f\x00\x00\x00\xc0"
    b"\x03\x00\x00\x00\x00\x00\x00\x00"
)
EXPECTED = {
    "w": torch.empty(1, 2, device="meta"),
    "n": torch.empty((), dtype=torch.int64, device="meta"),
}


def pack(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: object, first: object, last: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def test_the_format_as_written_by_hand(file: Path) -> None:
    file.write_bytes(BY_HAND)
    tensors = read_tensors(file, EXPECTED)
    assert tensors.keys() == {"w", "n"}
    assert torch.equal(tensors["w"], torch.tensor([[1.0, -2.0]]))
    assert torch.equal(tensors["n"], torch.tensor(3))


def test_what_is_written_is_read_back_bit_for_bit(file: Path) -> None:
    tensors = {
        "a.weight": torch.tensor([[math.nan, -0.0], [math.inf, 1e-45]]),
        "b": torch.arange(6.0, dtype=torch.float64).view(2, 3).T,  # not contiguous
        "count": torch.tensor(7),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "mask": torch.tensor([True, False]),
        "none": torch.empty(0, 4),
    }
    write_tensors(file, tensors, note="{} \n ünï")
    found = read_tensors(file, tensors)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        bits = [t.contiguous().view(torch.uint8).tolist() for t in (found[name], tensor) if t.ndim]
        assert bits[:1] == bits[1:]
    assert found["count"].item() == 7
    assert read_note(file) == "{} \n ünï"
    assert os.listdir(file.parent) == [file.name], "no temporary file is left"


def test_the_same_tensors_give_the_same_bytes(file: Path) -> None:
    tensors = {name: torch.ones(2) for name in "zyxabc"}
    write_tensors(file, tensors, note="n")
    first = file.read_bytes()
    write_tensors(file, dict(reversed(tensors.items())), note="n")
    assert file.read_bytes() == first


def test_parameters_are_written_without_their_gradients(file: Path) -> None:
    write_tensors(file, {"w": torch.nn.Parameter(torch.ones(2))})
    assert not read_tensors(file, {"w": torch.empty(2)})["w"].requires_grad
    assert read_note(file) == ""


def test_a_failed_write_leaves_the_old_file(file: Path) -> None:
    write_tensors(file, {"w": torch.ones(1)})
    before = file.read_bytes()
    file.parent.joinpath("folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_tensors(file.parent / "folder", {"w": torch.zeros(1)})
    assert file.read_bytes() == before
    assert sorted(os.listdir(file.parent)) == ["folder", file.name]


def test_a_file_cut_anywhere_is_refused(file: Path) -> None:
    for size in range(len(BY_HAND)):
        file.write_bytes(BY_HAND[:size])
        with pytest.raises(InputError, match=r"is damaged: its (header|tensors) "):
            read_tensors(file, EXPECTED)
    file.write_bytes(BY_HAND + b"\x00")
    with pytest.raises(InputError, match="is damaged: its tensors need 16 bytes, it has 17"):
        read_tensors(file, EXPECTED)


W = entry([1, 2], 0, 8)
BYTES = b"\x00" * 8

LIES: dict[str, tuple[bytes, str]] = {
    "header of 2^64 - 1": (pack({}, length=2**64 - 1), "claims 18,446,744,073,709,551,615 bytes"),
    "header of 2^63": (pack({}, length=2**63), "claims 9,223,372,036,854,775,808 bytes in a file"),
    "header one byte too long": (pack({}, length=3), "its header claims 3 bytes in a file of 10"),
    "header of 17 MB": (pack(b"{}" + b" " * 17 * MB), "its header claims 17,825,794 bytes"),
    "overlap": (pack({"w": W, "v": entry([1, 2], 4, 12)}, BYTES + BYTES), "bytes 4 to 12"),
    "same bytes twice": (pack({"w": W, "v": W}, BYTES), "bytes 0 to 8, which do not agree"),
    "gap": (pack({"w": W, "v": entry([1], 12, 16)}, BYTES + BYTES), "bytes 12 to 16"),
    "gap in front": (pack({"w": entry([1, 2], 4, 12)}, BYTES + BYTES), "bytes 4 to 12"),
    "bytes without a tensor": (pack({"w": W}, BYTES + b"!"), "need 8 bytes, it has 9"),
    "too few bytes": (pack({"w": W}, BYTES[:-1]), "need 8 bytes, it has 7"),
    "shape and bytes disagree": (pack({"w": entry([3], 0, 8)}, BYTES), r"shape \[3\] and bytes"),
    "duplicate key": (pack(b'{"w":%s,"w":{}}' % json.dumps(W).encode(), BYTES), "stands twice"),
    "negative offsets": (pack({"w": entry([1, 2], -8, 0)}, BYTES), "bytes -8 to 0, which do not"),
    "negative shape": (pack({"w": entry([-1, -2], 0, 8)}, BYTES), r"shape \[-1, -2\] and bytes"),
    "backwards": (pack({"w": entry([1, 2], 8, 0)}, BYTES), "bytes 8 to 0, which do not agree"),
    "10^12 values": (pack({"w": entry([10**6, 10**6], 0, 4 * 10**12)}, BYTES), "which do not agr"),
    "overflow to 0": (pack({"w": entry([2**32, 2**32], 0, 0)}), "which do not agree"),
    "a number of 400 digits": (pack({"w": entry([10**400], 0, 8)}, BYTES), "has 401 digits"),
    "17 dimensions": (pack({"w": entry([1] * 16 + [2], 0, 8)}, BYTES), "which do not agree"),
    "bool as number": (pack({"w": entry([True, 2], 0, 8)}, BYTES), r"shape \[True, 2\]"),
    "bool as offset": (pack({"w": entry([1, 2], False, 8)}, BYTES), "bytes False to 8"),
    "fraction as number": (pack({"w": entry([1.0, 2], 0, 8)}, BYTES), r"shape \[1\.0, 2\]"),
    "text as number": (pack({"w": entry([1, 2], "0", "8")}, BYTES), "which do not agree"),
    "text as shape": (pack({"w": entry("", 0, 4)}, BYTES[:4]), "has shape  and bytes"),
    "object as shape": (pack({"w": entry({}, 0, 4)}, BYTES[:4]), r"has shape \{\} and bytes"),
    "infinite offset": (
        pack(b'{"w":{"shape":[],"dtype":"F32","data_offsets":[0,1e999]}}'),
        "1e999",
    ),
    "NaN as number": (pack({"w": entry([math.nan], 0, 8)}, BYTES), "NaN is no JSON number"),
    "Infinity as number": (pack({"w": entry([math.inf], 0, 8)}, BYTES), "Infinity is no JSON"),
    "unknown type": (
        pack({"w": entry([2], 0, 8, "F33")}, BYTES),
        "'w' has type F33; allowed are",
    ),
    "list as type": (pack({"w": entry([2], 0, 8, [])}, BYTES), "its header describes no tensors"),
    "one offset": (pack({"w": {**W, "data_offsets": [0]}}, BYTES), "header describes no tensors"),
    "mixed offsets": (pack({"w": W, "v": entry([1], None, 3)}, BYTES), "describes no tensors"),
    "no offsets": (
        pack({"w": {"dtype": "F32", "shape": [2]}}, BYTES),
        "header describes no tensor",
    ),
    "number as tensor": (pack({"w": 5}, BYTES), "its header describes no tensors"),
    "text as tensor": (pack({"w": "F32"}, BYTES), "its header describes no tensors"),
    "list as header": (pack([W], BYTES), "its header is no table of tensors"),
    "number as header": (pack(b"12345678", BYTES), "its header is no table of tensors"),
    "no JSON": (pack(b"{w: 1}", BYTES), "is damaged: Expecting property name"),
    "no UTF-8": (pack(b'{"\xff": 1}', BYTES), "is damaged: 'utf-8' codec can't decode"),
    "deep": (pack(b'{"w":' + b"[" * 200_000 + b"]" * 200_000 + b"}", BYTES), "nested too deeply"),
    "deep but short": (pack({"w": entry(json.loads("[" * 99 + "]" * 99), 0, 8)}), "too deeply"),
    "empty file": (b"", "claims 0 bytes in a file of 0 bytes"),
    "zero bytes": (b"\x00" * 64, "is damaged: Expecting value"),
    "text": (b"these are no weights at all", "its header claims"),
}


@pytest.mark.parametrize(("data", "reason"), LIES.values(), ids=LIES.keys())
def test_a_file_that_lies_is_refused_before_anything_is_allocated(
    file: Path, data: bytes, reason: str
) -> None:
    file.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(InputError, match=reason) as caught:
        read_tensors(file, {"w": torch.empty(1, 2, device="meta")})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    assert len(message) < 600
    # A JSON number of one byte becomes a Python object of some 40; nothing else may grow.
    assert peak < MB + 60 * len(data)


FOREIGN: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "missing": ({"w": torch.ones(1, 2)}, r"it lacks n\. Were run\.json and the weights written"),
    "extra": (
        {"w": torch.ones(1, 2), "n": torch.tensor(3), "x": torch.ones(1)},
        r"it has x\. Were run\.json",
    ),
    "others": ({"v": torch.ones(1)}, r"it lacks n, w and has v\."),
    "many": (
        {f"{i}": torch.ones(1) for i in range(9)},
        r"it lacks n, w and has 0, 1, 2 and 6 more",
    ),
    "shape": (
        {"w": torch.ones(2, 1), "n": torch.tensor(3)},
        r"'w' is \('F32', \[2, 1\]\), but the model has \('F32', \[1, 2\]\)",
    ),
    "type": (
        {"w": torch.ones(1, 2, dtype=torch.float64), "n": torch.tensor(3)},
        r"'w' is \('F64', \[1, 2\]\), but the model has \('F32', \[1, 2\]\)",
    ),
}


@pytest.mark.parametrize(("tensors", "reason"), FOREIGN.values(), ids=FOREIGN.keys())
def test_weights_of_another_model_are_refused(
    file: Path, tensors: dict[str, torch.Tensor], reason: str
) -> None:
    write_tensors(file, tensors)
    with pytest.raises(InputError, match=f"does not fit the model: .*{reason}"):
        read_tensors(file, EXPECTED)


def test_hostile_names_of_tensors_are_inert_in_the_message(file: Path) -> None:
    file.write_bytes(pack({"\x1b[2J\n": W}, BYTES))
    with pytest.raises(InputError, match=r"it lacks n, w and has \\x1b\[2J\\n\.") as caught:
        read_tensors(file, EXPECTED)
    assert "\x1b" not in str(caught.value)


class Bomb:
    """Unpickling it would write the file of its name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _numpy_with(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.array([bomb], dtype=object))
    return buffer.getvalue()


def _torch_with(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": bomb}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "make",
    [pickle.dumps, lambda bomb: pickle.dumps(bomb, protocol=0), _numpy_with, _torch_with],
    ids=["pickle", "text pickle", "npz", "pt"],
)
def test_nothing_in_a_file_is_ever_executed(file: Path, make: Any) -> None:
    marker = file.parent / "executed"
    data = make(Bomb(marker))
    file.write_bytes(data)
    with pytest.raises(InputError, match="is damaged: its header claims"):
        read_tensors(file, EXPECTED)
    assert not marker.exists()
    pickle_inside = data if make not in (_numpy_with, _torch_with) else pickle.dumps(Bomb(marker))
    pickle.loads(pickle_inside)  # noqa: S301 - the trap itself is live
    assert marker.exists()


@pytest.mark.parametrize(
    ("note", "what"),
    [({"convscope": 5}, "texts"), ([], "texts"), ("x", "texts"), (None, "texts"), (5, "texts")],
)
def test_a_note_that_is_no_text_is_refused(file: Path, note: object, what: str) -> None:
    file.write_bytes(pack({"__metadata__": note, "w": W}, BYTES))
    with pytest.raises(InputError, match=f"is damaged: its metadata are not {what}"):
        read_note(file)


def test_metadata_that_the_library_refuses_are_an_input_error(file: Path) -> None:
    file.write_bytes(pack({"__metadata__": [1], "w": W}, BYTES))
    with pytest.raises(InputError, match="cannot be read: Error while deserializing header"):
        read_tensors(file, {"w": torch.empty(1, 2)})


def test_what_is_no_plain_file_is_refused_at_once(file: Path) -> None:
    target = file.parent / "target"
    target.write_bytes(BY_HAND)
    file.symlink_to(target)
    with pytest.raises(InputError, match="is a link: put the file itself there"):
        read_tensors(file, EXPECTED)
    file.unlink()
    with pytest.raises(InputError, match="is missing: is this a complete run directory"):
        read_tensors(file, EXPECTED)
    os.mkfifo(file)
    with pytest.raises(InputError, match="is no regular file"):
        read_tensors(file, EXPECTED)
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match="is no regular file"):
        read_tensors(file, EXPECTED)


@given(st.integers(0, len(BY_HAND) - 1), st.integers(0, 255))
def test_one_changed_byte_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.safetensors"
    file.write_bytes(BY_HAND[:position] + bytes([value]) + BY_HAND[position + 1 :])
    try:
        tensors = read_tensors(file, EXPECTED)
    except InputError:
        return
    assert {name: (t.shape, t.dtype) for name, t in tensors.items()} == {
        name: (t.shape, t.dtype) for name, t in EXPECTED.items()
    }


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)), st.binary())
def test_any_entry_is_a_tensor_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, value: object, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "entry.safetensors"
    for key in ("dtype", "shape", "data_offsets"):
        file.write_bytes(pack({"w": {**W, key: value}}, data))
        try:
            header = read_header(file)
        except InputError:
            continue
        assert header["w"]["data_offsets"] == [0, len(data)]
