"""An ONNX graph as plain data, and as the bytes of a file; `reading` is the way back.

Only what convscope writes can be said here: no functions, no loops, no data in other files.

Numbers of fields and codes are those of onnx.proto (https://github.com/onnx/onnx).
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.files import Buffer
from convscope.onnx_file.protobuf import Message

OPSET, IR_VERSION = 17, 8
"""Old enough for every runtime of today."""

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool"}
"""Of tensors, by their code in the format."""
CODES = {name: code for code, name in DTYPES.items()}

LARGEST_METADATA = 16 * 2**20
"""Bytes of one text of the metadata."""

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
