"""An ONNX graph as plain data, and from and to the bytes of a file.

Only what convscope writes can be said here: no functions, no loops, no data in other files. What
is read is checked for that; whether its operators may be used is the business of `check`.

Numbers of fields and codes are those of onnx.proto (https://github.com/onnx/onnx).
"""

import math
import struct
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.errors import InputError
from convscope.files import Buffer
from convscope.onnx_file.protobuf import (
    BYTES,
    VARINT,
    Damaged,
    Message,
    read_fields,
    read_numbers,
    signed,
)
from convscope.text import printable

OPSET, IR_VERSION = 17, 8
"""Old enough for every runtime of today."""

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool"}
"""Of tensors, by their code in the format."""
CODES = {name: code for code, name in DTYPES.items()}

MOST_NODES, MOST_TENSORS, MOST_DIMENSIONS, MOST_NUMBERS = 2000, 4000, 8, 64
MOST_ATTRIBUTES, MOST_METADATA, LONGEST_NAME = 12, 50, 1000
LARGEST_METADATA = 16 * 2**20

Array = npt.NDArray[Any]
Attribute = int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator: values in, values out."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Port:
    """What comes in or goes out: a value of N × shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A network: `nodes` in the order of computation, `tensors` the constants by name."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Array]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def to_pieces(
    graph: Graph, metadata: Mapping[str, str], *, version: str, apart: Container[str] = ()
) -> list[Buffer]:
    """The bytes of the ONNX file.

    The numbers of the tensors `apart` are left out, as if they lay in another file: whoever opens
    it hands them over.
    """
    body = Message()
    for node in graph.nodes:
        body.bytes(1, _node(node))
    body.bytes(2, "convscope")
    for name, array in graph.tensors.items():
        body.bytes(5, _tensor(name, array, apart=name in apart))
    for number, ports in ((11, graph.inputs), (12, graph.outputs)):
        for port in ports:
            body.bytes(number, _port(port))
    file = Message().number(1, IR_VERSION).bytes(2, "convscope").bytes(3, version)
    file.bytes(7, body).bytes(8, Message().bytes(1, "").number(2, OPSET))
    for key, value in metadata.items():
        file.bytes(14, Message().bytes(1, key).bytes(2, value))
    return file.pieces


def _node(node: Node) -> Message:
    message = Message()
    for number, names in ((1, node.inputs), (2, node.outputs)):
        for name in names:
            message.bytes(number, name)
    message.bytes(3, node.name).bytes(4, node.op)
    for key, value in node.attributes.items():
        attribute = Message().bytes(1, key)
        if isinstance(value, int):
            attribute.number(3, value).number(20, 2)
        elif isinstance(value, float):
            attribute.float32(2, value).number(20, 1)
        elif isinstance(value, str):
            attribute.bytes(4, value).number(20, 3)
        else:
            for one in value:
                attribute.number(8, one)
            attribute.number(20, 7)
        message.bytes(5, attribute)
    return message


def _tensor(name: str, array: Array, *, apart: bool) -> Message:
    message = Message()
    for side in array.shape:
        message.number(1, side)
    if apart:
        message.number(2, CODES[array.dtype.name]).bytes(8, name)
        place = Message().bytes(1, "location").bytes(2, "handed over")
        return message.bytes(13, place).number(14, 1)
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1)
    message.number(2, CODES[array.dtype.name]).bytes(8, name)
    return message.bytes(9, memoryview(plain.view(np.uint8).data))


def _port(port: Port) -> Message:
    shape = Message().bytes(1, Message().bytes(2, "N"))
    for side in port.shape:
        shape.bytes(1, Message().number(1, side))
    kind = Message().number(1, CODES[port.dtype]).bytes(2, shape)
    return Message().bytes(1, port.name).bytes(2, Message().bytes(1, kind))


def read_file(data: bytes, shown: str) -> tuple[Graph, dict[str, str]]:
    """The graph and the metadata of a file; nothing of `data` is kept.

    Raises:
        InputError: it is no ONNX file, damaged, or holds what convscope does not write.
    """
    try:
        return _read_model(memoryview(data))
    except Damaged as error:
        raise InputError(
            f"{shown} cannot be used: {printable(error)}: was it made by `convscope export`, "
            "and is it whole?"
        ) from None


def _read_model(data: memoryview) -> tuple[Graph, dict[str, str]]:
    graph: Graph | None = None
    metadata: dict[str, str] = {}
    opsets: list[tuple[str, int]] = []
    for number, kind, value in read_fields(data):
        if number in (1, 5) and kind == VARINT:  # versions of the format and of the model
            continue
        content = _bytes(value, kind)
        if number in (2, 3, 4, 6):  # who made it, and remarks
            continue
        if number == 7 and graph is None:
            graph = _read_graph(content)
        elif number == 8:
            opsets.append(_read_opset(content))
        elif number == 14 and len(metadata) < MOST_METADATA:
            key, text = _read_pair(content)
            if key in metadata:
                raise Damaged(f"its metadata hold '{printable(key, 60)}' twice")
            metadata[key] = text
        else:
            raise Damaged(f"it holds {_WHAT.get(number, f'field {number} of the format')}")
    if graph is None:
        raise Damaged("it holds no network: it is no ONNX file")
    if opsets != [("", OPSET)]:
        found = ", ".join(f"{printable(domain, 60) or 'ONNX'} {n}" for domain, n in opsets[:5])
        raise Damaged(f"its operators are of {found or 'no version'}; allowed: ONNX {OPSET}")
    return graph, metadata


_WHAT = {
    7: "a second network",
    14: f"more than {MOST_METADATA} metadata",
    20: "training information",
    25: "functions of its own",
    26: "device configurations",
}


def _read_graph(data: memoryview) -> Graph:
    nodes: list[Node] = []
    tensors: dict[str, Array] = {}
    inputs: list[Port] = []
    outputs: list[Port] = []
    for number, kind, value in read_fields(data, MOST_NODES + MOST_TENSORS + MOST_NUMBERS):
        content = _bytes(value, kind)
        if number in (2, 10):  # its name, and remarks
            continue
        if number == 1 and len(nodes) < MOST_NODES:
            nodes.append(_read_node(content))
        elif number == 5 and len(tensors) < MOST_TENSORS:
            name, array = _read_tensor(content)
            if name in tensors:
                raise Damaged(f"the tensor '{printable(name, 60)}' stands twice")
            tensors[name] = array
        elif number in (11, 12) and len(inputs) + len(outputs) < MOST_NUMBERS:
            (inputs if number == 11 else outputs).append(_read_port(content))
        else:
            what = {1: "operators", 5: "tensors", 11: "inputs", 12: "outputs"}
            more = f"too many {what[number]}" if number in what else f"field {number} of a graph"
            raise Damaged(f"it holds {more}")
    return Graph(tuple(nodes), tensors, tuple(inputs), tuple(outputs))


def _read_node(data: memoryview) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    op = name = domain = ""
    for number, kind, value in read_fields(data):
        content = _bytes(value, kind)
        if number in (1, 2) and len(inputs) + len(outputs) < MOST_NUMBERS:
            (inputs if number == 1 else outputs).append(_text(content))
        elif number == 3:
            name = _text(content)
        elif number == 4:
            op = _text(content)
        elif number == 5 and len(attributes) < MOST_ATTRIBUTES:
            key, attribute = _read_attribute(content)
            if key in attributes:
                raise Damaged(f"an operator has '{printable(key, 60)}' twice")
            attributes[key] = attribute
        elif number == 7:
            domain = _text(content)
        elif number != 6:
            raise Damaged(f"an operator has too much, or field {number}")
    if domain not in ("", "ai.onnx"):
        raise Damaged(
            f"it uses the operator '{printable(op, 60)}' of '{printable(domain, 60)}'; allowed are "
            "those of ONNX itself"
        )
    return Node(op, tuple(inputs), tuple(outputs), attributes, name)


def _read_attribute(data: memoryview) -> tuple[str, Attribute]:
    key, code = "", 0
    found: dict[int, list[int | float | str]] = {}
    for number, kind, value in read_fields(data):
        if number == 1:
            key = _text(_bytes(value, kind))
        elif number == 20 and isinstance(value, int):
            code = value
        elif number == 2 and not isinstance(value, int) and len(value) == 4:
            found.setdefault(2, []).append(float(struct.unpack("<f", value)[0]))
        elif number == 3 and isinstance(value, int):
            found.setdefault(3, []).append(signed(value))
        elif number == 4:
            found.setdefault(4, []).append(_text(_bytes(value, kind)))
        elif number == 8:
            found.setdefault(8, []).extend(map(signed, read_numbers(value)))
        elif number != 13:
            what = {5: "a tensor", 6: "a network", 11: "networks"}.get(number, f"field {number}")
            raise Damaged(f"an operator has {what} as its '{printable(key, 60)}'")
        if sum(map(len, found.values())) > MOST_NUMBERS:
            raise Damaged(f"an operator has too many numbers as its '{printable(key, 60)}'")
    holder = {1: 2, 2: 3, 3: 4, 7: 8}.get(code)
    if holder is None or found.keys() - {holder} or (code != 7 and len(found.get(holder, ())) != 1):
        raise Damaged(f"an operator has a value of kind {code} as its '{printable(key, 60)}'")
    values = found.get(holder, [])
    return key, tuple(map(int, values)) if code == 7 else values[0]


def _read_tensor(data: memoryview) -> tuple[str, Array]:
    shape: list[int] = []
    code, name, raw = 0, "", memoryview(b"")
    for number, kind, value in read_fields(data):
        if number == 1:
            shape += map(signed, read_numbers(value))
            if len(shape) > MOST_DIMENSIONS:
                raise Damaged(f"a tensor has more than {MOST_DIMENSIONS} dimensions")
        elif number == 2 and isinstance(value, int):
            code = value
        elif number == 8:
            name = _text(_bytes(value, kind))
        elif number == 9:
            raw = _bytes(value, kind)
        elif number in (13, 14):
            raise Damaged(
                f"the tensor '{printable(name, 60)}' lies in another file; allowed: all in one"
            )
        elif number != 12:
            raise Damaged(f"a tensor holds its numbers in field {number}; allowed: raw_data")
    if code not in DTYPES:
        raise Damaged(
            f"the tensor '{printable(name, 60)}' is of type {code}; allowed: "
            f"{', '.join(DTYPES.values())}"
        )
    dtype = np.dtype(DTYPES[code]).newbyteorder("<")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
        raise Damaged(
            f"the tensor '{printable(name, 60)}' of {DTYPES[code]} {_by(shape)} has "
            f"{len(raw):,} bytes, which do not agree"
        )
    return name, np.frombuffer(raw, dtype).astype(dtype.newbyteorder("=")).reshape(shape)


def _read_port(data: memoryview) -> Port:
    name, dtype = "", ""
    shape: list[int | str] = []
    for number, kind, value in read_fields(data):
        if number == 1:
            name = _text(_bytes(value, kind))
        elif number == 2:
            dtype, shape = _read_type(_bytes(value, kind))
        elif number != 3:
            raise Damaged(f"an input or output has field {number}")
    sides = [side for side in shape[1:] if isinstance(side, int) and side > 0]
    if len(shape) < 2 or len(sides) != len(shape) - 1 or not isinstance(shape[0], str):
        raise Damaged(
            f"'{printable(name, 60)}' is {_by(shape)}; allowed: N × …, all but N whole numbers"
        )
    return Port(name, dtype, tuple(sides))


def _read_type(data: memoryview) -> tuple[str, list[int | str]]:
    code, shape = 0, list[int | str]()
    for number, kind, value in read_fields(data):
        if number != 1:
            raise Damaged("an input or output is no tensor")
        for inner, inner_kind, content in read_fields(_bytes(value, kind)):
            if inner == 1 and isinstance(content, int):
                code = content
            elif inner == 2:
                for _, one_kind, one in read_fields(_bytes(content, inner_kind)):
                    shape.append(_read_side(_bytes(one, one_kind)))
                    if len(shape) > MOST_DIMENSIONS:
                        raise Damaged(f"a value has more than {MOST_DIMENSIONS} dimensions")
    if code not in DTYPES:
        raise Damaged(f"an input or output is of type {code}")
    return DTYPES[code], shape


def _read_side(data: memoryview) -> int | str:
    for number, kind, value in read_fields(data):
        if number == 1 and isinstance(value, int):
            return signed(value)
        if number == 2:
            return _text(_bytes(value, kind))
    return "?"


def _read_opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, kind, value in read_fields(data):
        if number == 1:
            domain = _text(_bytes(value, kind))
        elif number == 2 and isinstance(value, int):
            version = value
    return "" if domain == "ai.onnx" else domain, version


def _read_pair(data: memoryview) -> tuple[str, str]:
    parts = {1: "", 2: ""}
    for number, kind, value in read_fields(data):
        if number in parts:
            limit = LONGEST_NAME if number == 1 else LARGEST_METADATA
            parts[number] = _text(_bytes(value, kind), limit)
    return parts[1], parts[2]


def _bytes(value: int | memoryview, kind: int) -> memoryview:
    if kind != BYTES or isinstance(value, int):
        raise Damaged(f"a field of kind {kind} where bytes are expected")
    return value


def _text(value: memoryview, limit: int = LONGEST_NAME) -> str:
    if len(value) > limit:
        raise Damaged(f"a name of {len(value):,} bytes; allowed are {limit:,}")
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise Damaged("a name that is not UTF-8") from None


def _by(shape: Iterable[int | str]) -> str:
    return " × ".join(printable(side, 30) for side in shape) or "nothing"
