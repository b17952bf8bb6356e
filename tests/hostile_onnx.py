"""ONNX files that do harm somewhere, made of a good one by ONNX' own library.

Each is its name, its bytes, and what the error must say.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from convscope.data.preprocess import Preprocessing
from convscope.exporting.network import to_graph
from convscope.models import build
from convscope.onnx_file.document import KEY, OnnxDocument
from convscope.onnx_file.graph import to_pieces

HOW = Preprocessing(channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1,), std=(0.3,))


@cache
def good() -> bytes:
    """An exported LeNet-5."""
    document = OnnxDocument(
        convscope="test",
        created="2026-01-01T00:00:00+00:00",
        model="lenet5",
        classes=tuple("0123456789"),
        preprocessing=HOW,
    )
    graph = to_graph(build("lenet5").eval(), HOW, 10)
    return b"".join(to_pieces(graph, {KEY: document.to_text()}, version="test"))


def corpus() -> Iterator[tuple[str, bytes, str]]:
    """Every hostile file."""
    yield from _no_models()
    for name, (change, error) in _CHANGES.items():
        model = onnx.load_from_string(good())
        change(model)
        yield name, model.SerializeToString(), error
    for name, text, error in _documents():
        model = onnx.load_from_string(good())
        model.metadata_props[0].value = text
        yield name, model.SerializeToString(), error


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code of the file was run')",))


def _no_models() -> Iterator[tuple[str, bytes, str]]:
    yield "empty", b"", "it holds no network"
    yield "text", b"hello, this is no model at all", "cannot be used"
    yield "pickle", pickle.dumps(_Evil()), "cannot be used"
    yield "zip", b"PK\x03\x04" + bytes(100), "cannot be used"
    yield "flatbuffer of ONNX Runtime", b"\x1c\0\0\0ORTM" + bytes(100), "cannot be used"
    yield "endless number", b"\x80" * 1000, "a number without an end"
    yield "longer than the file", b"\x3a\xff\xff\xff\xff\x0f", "where 0 are left"
    yield "nothing but fields", b"\x08\x08" * 10_000, "too many fields"
    yield "half of it", good()[: len(good()) // 2], "cannot be used"
    yield "twice", good() + good(), "a second network"
    yield "a group of old protocol buffers", b"\x0b" * 100, "a field of kind 3"


Change = Callable[[Any], None]
_CHANGES: dict[str, tuple[Change, str]] = {}


def _change(name: str, error: str) -> Callable[[Change], Change]:
    def enter(change: Change) -> Change:
        _CHANGES[name] = (change, error)
        return change

    return enter


def _insert(model: Any, op: str, *more: str, **attributes: Any) -> Any:
    """An operator between the last but one and the rest: it takes `scores`."""
    node = helper.make_node(op, ["scores", *more], ["inserted"], **attributes)
    model.graph.node.insert(len(model.graph.node) - 1, node)
    model.graph.node[-1].input[0] = "inserted"
    return node


@_change("an operator of someone else", "allowed are those of ONNX itself")
def _custom(model: Any) -> None:
    _insert(model, "Run", domain="com.evil")
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


@_change("operators of a runtime", "allowed are those of ONNX itself")
def _contrib(model: Any) -> None:
    _insert(model, "Gelu", domain="com.microsoft")


def _body() -> Any:
    one = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    number = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    out = helper.make_tensor_value_info("o", TensorProto.BOOL, [])
    return helper.make_graph(
        [helper.make_node("Identity", ["c"], ["o"])], "b", [number, one], [out]
    )


@_change("an endless loop", "has a network as its 'body'")
def _loop(model: Any) -> None:
    _insert(model, "Loop", body=_body())


@_change("a branch", "has a network as its '")
def _branch(model: Any) -> None:
    _insert(model, "If", then_branch=_body(), else_branch=_body())


for _op in ("ConstantOfShape", "Expand", "Tile", "Range", "Identity", "Resize", "RandomNormal"):

    @_change(f"the operator {_op}", f"it uses the operator '{_op}'; allowed: Abs, ")
    def _unknown(model: Any, op: str = _op) -> None:
        _insert(model, op)


@_change("functions", "functions of its own")
def _functions(model: Any) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    opset = helper.make_opsetid("", 17)
    model.functions.append(helper.make_function("evil", "f", ["x"], ["y"], [node], [opset]))


@_change("training information", "training information")
def _training(model: Any) -> None:
    model.training_info.add()


@_change("another version", "its operators are of ONNX 9999; allowed: ONNX 17")
def _version(model: Any) -> None:
    model.opset_import[0].version = 9999


def _external(model: Any, location: str) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "100")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


for _place in ("../../../../etc/passwd", "/etc/passwd", "weights.bin"):

    @_change(f"data in {_place}", "lies in another file; allowed: all in one")
    def _outside(model: Any, place: str = _place) -> None:
        _external(model, place)


@_change("a tensor of 2⁶⁰ numbers", "which do not agree")
def _huge(model: Any) -> None:
    del model.graph.initializer[-1].dims[:]
    model.graph.initializer[-1].dims.extend([2**30, 2**30])


@_change("a tensor of a negative size", "which do not agree")
def _negative(model: Any) -> None:
    model.graph.initializer[-1].dims[0] = -10


@_change("a tensor of many dimensions", "more than 8 dimensions")
def _dimensions(model: Any) -> None:
    model.graph.initializer[-1].dims.extend([1] * 50)


@_change("a tensor of text", "in field 6; allowed: raw_data")
def _strings(model: Any) -> None:
    text: Any = [b"x"]
    model.graph.initializer.append(helper.make_tensor("t", TensorProto.STRING, [1], text))


@_change("a tensor that is no raw bytes", "in field 4; allowed: raw_data")
def _unpacked(model: Any) -> None:
    model.graph.initializer.append(helper.make_tensor("t", TensorProto.FLOAT, [1], [0.5]))


@_change("a sparse tensor", "field 15 of a graph")
def _sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


@_change("a tensor twice", "stands twice")
def _tensor_twice(model: Any) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


@_change("shapes said beforehand", "field 13 of a graph")
def _value_info(model: Any) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("c1.conv", 1, ["N", 2**30]))


@_change("a deep network", "too many operators")
def _deep(model: Any) -> None:
    last = model.graph.node.pop()
    name = "scores"
    for number in range(3000):
        model.graph.node.append(helper.make_node("Relu", [name], [f"deep{number}"]))
        name = f"deep{number}"
    last.input[0] = name
    model.graph.node.append(last)


def _number(model: Any, name: str, *numbers: int) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
    return name


@_change("borders without end", "multiply-adds; allowed")
def _borders(model: Any) -> None:
    """The picture grows by 16,000 in each of ten steps."""
    node = model.graph.node[0]
    name, node.input[0] = node.input[0], "grown9"
    sizes = _number(model, "sizes", 0, 0, 8000, 8000, 0, 0, 8000, 8000)
    for number in range(10):
        grown = helper.make_node("Pad", [name, sizes], [f"grown{number}"])
        model.graph.node.insert(number, grown)
        name = f"grown{number}"


def _first_convolution(model: Any) -> Any:
    return next(node for node in model.graph.node if node.op_type == "Conv")


@_change("a border of 2³¹", "from 0 to 8192 as pads")
def _pads(model: Any) -> None:
    node = _first_convolution(model)
    next(a for a in node.attribute if a.name == "pads").ints[:] = [2**31] * 4


@_change("a stride of zero", "from 1 to 4096 as strides")
def _stride(model: Any) -> None:
    next(a for a in _first_convolution(model).attribute if a.name == "strides").ints[:] = [0, 0]


@_change("a group of zero", "has a wrong group")
def _group(model: Any) -> None:
    next(a for a in _first_convolution(model).attribute if a.name == "group").i = 0


@_change("weights that do not fit", "has wrong weights")
def _weights(model: Any) -> None:
    _first_convolution(model).input[1] = "c3.weight"


@_change("a batch times itself", "'MatMul' has wrong inputs")
def _batch(model: Any) -> None:
    _insert(model, "MatMul", "scores")


@_change("a softmax over the batch", "works along another axis than 1")
def _axis(model: Any) -> None:
    model.graph.node[-1].attribute[0].i = 0


@_change("numbers as text", "makes another type of numbers")
def _text(model: Any) -> None:
    _insert(model, "Cast", to=TensorProto.STRING)


@_change("a constant as long as a batch", "as long as a batch")
def _long_constant(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((9, 10), np.float32), "long"))
    _insert(model, "Add", "long")


@_change("constants that grow", "become larger than they are in the file")
def _constants(model: Any) -> None:
    levels = np.zeros((10, 10**5), np.int8)
    model.graph.initializer.append(numpy_helper.from_array(levels, "levels"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), "zero"))
    for number in range(1000):
        node = helper.make_node("DequantizeLinear", ["levels", "one", "zero"], [f"large{number}"])
        model.graph.node.insert(0, node)


@_change("a circle", "which nothing gave yet")
def _circle(model: Any) -> None:
    model.graph.node[0].input[0] = "scores"


@_change("a value twice", "two values are named")
def _value_twice(model: Any) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


@_change("a name of a megabyte", "a name of 1,000,000 bytes")
def _name(model: Any) -> None:
    model.graph.node[0].name = "x" * 10**6


@_change("a name that is a command of the terminal", r"'\\x1b\[2J")
def _terminal(model: Any) -> None:
    _insert(model, "\x1b[2J")


@_change("an attribute of many numbers", "too many numbers")
def _numbers(model: Any) -> None:
    _insert(model, "Relu", x=list(range(100_000)))


@_change("another input", "but its metadata say pixels")
def _input(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 10**9


@_change("a second input", "but its metadata say pixels")
def _second_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", 1, ["N", 3]))


@_change("another output", "one number for each of its 10 classes")
def _output(model: Any) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 10**9


@_change("no classes", "does not say what its classes are")
def _silent(model: Any) -> None:
    del model.metadata_props[:]


@_change("many metadata", "more than 50 metadata")
def _much(model: Any) -> None:
    for number in range(60):
        entry = model.metadata_props.add()
        entry.key, entry.value = str(number), "x"


def _documents() -> Iterator[tuple[str, str, str]]:
    whole = json.loads(onnx.load_from_string(good()).metadata_props[0].value)

    def changed(**changes: object) -> str:
        return json.dumps(whole | changes)

    yield "metadata: no JSON", "{", "is damaged"
    yield "metadata: deep", "[" * 100_000 + "]" * 100_000, "nested too deeply"
    yield "metadata: not a number", '{"format": NaN}', "NaN is no JSON number"
    yield "metadata: a number of a million digits", "1" * 10**6, "digits"
    yield "metadata: another format", changed(format=2), "this version reads format 1"
    yield "metadata: more classes", changed(classes=["a"] * 11), "one number for each of its 11"
    yield "metadata: no class", changed(classes=[]), "damaged metadata: classes"
    yield "metadata: an unknown key", changed(evil=1), "damaged metadata: evil"
    yield "metadata: long names", changed(classes=["a" * 2000] * 10), "more than 1,000 characters"
    large = whole["preprocessing"] | {"size": [10**9, 10**9]}
    yield "metadata: a huge picture", changed(preprocessing=large), "damaged metadata: preproc"
    other = whole["preprocessing"] | {"size": [4000, 4000]}
    yield "metadata: another picture", changed(preprocessing=other), "but its metadata say pixels"
    yield "metadata: 40 MB", json.dumps("x" * 40_000_000), "a name of 40,000,002 bytes"
