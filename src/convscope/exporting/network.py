"""A trained network as an ONNX graph, with its preprocessing in front and probabilities behind."""

import numpy as np
from torch import nn

from convscope.data.geometry import centre
from convscope.data.preprocess import Preprocessing, constants
from convscope.data.resample import weights
from convscope.exporting import windows
from convscope.exporting.builder import Builder
from convscope.exporting.folding import fold
from convscope.exporting.layers import is_known, write
from convscope.exporting.tracing import Call, Value, trace
from convscope.onnx_file.document import INPUT, PIXELS, PROBABILITIES, SCORES
from convscope.onnx_file.graph import Graph, Port


def to_graph(
    model: nn.Module, preprocessing: Preprocessing, classes: int, *, input_name: str = PIXELS
) -> Graph:
    """The network as a graph from `pixels` (uint8) or `input` (float32, normalised).

    Raises:
        InputError: a layer, or what stands between layers, cannot be written.
    """
    b = Builder()
    p = preprocessing
    if input_name == PIXELS:
        port = Port(PIXELS, "uint8", (p.channels, *p.size))
        first = _preprocess(b, p)
    else:
        port = Port(INPUT, "float32", p.input_shape)
        first = INPUT
    scores = _network(b, trace(model, p.input_shape, is_known, first))
    b.layer = ""
    probabilities = b.add("Softmax", scores, axis=1)
    return fold(b.graph(port, {PROBABILITIES: probabilities, SCORES: scores}, classes))


def _preprocess(b: Builder, p: Preprocessing) -> str:
    """As `preprocess.normalise`, step by step."""
    b.layer = "preprocessing"
    name, size = PIXELS, p.size
    if p.crop and p.crop != p.size:
        for axis, part in zip((2, 3), centre(p.size, p.crop), strict=True):
            name = windows.cut(b, name, axis, part.start, part.stop)
        size = p.crop
    name = b.add("Cast", name, to=1)
    if p.resize and p.resize[1] != size[1]:
        across = np.ascontiguousarray(weights(size[1], p.resize[1]).T)
        name = b.add("MatMul", name, b.constant(across, "across"))
    if p.resize and p.resize[0] != size[0]:
        name = b.add("MatMul", b.constant(weights(size[0], p.resize[0]), "down"), name)
    if any(p.padding):
        name = windows.pad(b, Value(name, (p.channels, *size)), p.padding, value=p.fill)
    scale, shift = (constant[:, None, None] for constant in constants(p))
    name = b.add("Mul", name, b.constant(scale, "scale"))
    return b.add("Add", name, b.constant(shift, "shift"))


def _network(b: Builder, calls: list[Call]) -> str:
    names = {call.inputs[0].name: call.inputs[0].name for call in calls[:1]}
    for call in calls:
        (given,) = call.inputs
        x = Value(names[given.name], given.shape)
        b.layer = call.name
        if isinstance(call.what, str):
            names[call.output.name] = b.add("Flatten", x.name, axis=1)
        else:
            names[call.output.name] = write(call.what, b, x, call.output.shape)
    return names[calls[-1].output.name]
