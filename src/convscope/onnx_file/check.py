"""Check the ONNX file of a stranger before a runtime sees it.

The runtime is given a file written anew from what was understood and allowed: no operator that is
not on a short list, no data of other files, no more memory than what is stated here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convscope.errors import InputError
from convscope.onnx_file.document import KEY, PROBABILITIES, SCORES, OnnxDocument, parse_document
from convscope.onnx_file.graph import Graph, read_file
from convscope.onnx_file.protobuf import Damaged
from convscope.onnx_file.sizes import Known, find
from convscope.text import printable

LARGEST_FILE = 2**31 - 1
"""Bytes: as much as the format allows."""
LARGEST_VALUE = 2**26
"""Numbers that one image may become in one layer: 256 MiB of float32."""
MOST_VALUES = 2**28
"""And in all layers together."""
MOST_WORK = 2**38
"""Multiply-adds for one image: some seconds."""
MOST_IMAGES, BATCH_VALUES = 500, 2**26
"""Of a batch: so many images at most, and so many numbers in its largest layer."""


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A checked file.

    Attributes:
        graph: the network. document: the metadata.
        largest_batch: images that may go through together, at least 1.
    """

    graph: Graph
    document: OnnxDocument
    largest_batch: int


def check_file(data: bytes, shown: str) -> OnnxFile:
    """The network and the metadata of an ONNX file, both checked.

    Raises:
        InputError: what is wrong with it, or not allowed in it.
    """
    graph, metadata = read_file(data, shown)
    if KEY not in metadata:
        raise InputError(
            f"{shown} does not say what its classes are: it is no file of `convscope export`"
        )
    document = parse_document(metadata[KEY].encode(), shown)
    try:
        return OnnxFile(graph, document, check_graph(graph, document))
    except Damaged as error:
        raise InputError(
            f"{shown} cannot be used: {printable(error, 1000)}: was it changed after "
            "`convscope export`?"
        ) from None


def check_graph(graph: Graph, document: OnnxDocument) -> int:
    """How many images may go through together.

    Raises:
        Damaged: the graph does not fit its document, or is not allowed.
    """
    _check_ports(graph, document)
    known = values(graph)
    for port in graph.outputs:
        if port.name not in known or known[port.name].shape != port.shape:
            raise Damaged(f"its output '{port.name}' is not what its operators give")
    largest = max(math.prod(value.shape) for value in known.values() if value.per_image)
    return max(1, min(MOST_IMAGES, BATCH_VALUES // largest))


def values(graph: Graph) -> dict[str, Known]:
    """Every value of a graph, with its size.

    Raises:
        Damaged: an operator is not allowed, or they become too large.
    """
    known = {name: Known(array.shape, False, array) for name, array in graph.tensors.items()}
    for port in graph.inputs:
        _add(known, port.name, Known(port.shape, True))
    total = work = constants = 0
    for node in graph.nodes:
        if len(node.outputs) != 1:
            raise Damaged(f"the operator '{node.name or node.op}' has {len(node.outputs)} outputs")
        found = find(node, _taken(known, node.inputs))
        _add(known, node.outputs[0], Known(found.shape, found.per_image))
        size = math.prod(found.shape)
        work += found.work
        total, constants = total + size * found.per_image, constants + size * (not found.per_image)
        if (found.per_image and size > LARGEST_VALUE) or total > MOST_VALUES or work > MOST_WORK:
            raise Damaged(
                f"one image becomes {size:,} numbers in '{node.name or node.op}', {total:,} so "
                f"far, with {work:,} multiply-adds; allowed: {LARGEST_VALUE:,}, {MOST_VALUES:,} "
                f"and {MOST_WORK:,}"
            )
    if constants > sum(array.size for array in graph.tensors.values()):
        raise Damaged("its constants become larger than they are in the file")
    return known


def _check_ports(graph: Graph, document: OnnxDocument) -> None:
    wanted = {"pixels": "uint8", "input": "float32"}[document.input]
    given = [(port.name, port.dtype, port.shape) for port in graph.inputs]
    if given != [(document.input, wanted, document.input_shape)]:
        raise Damaged(
            f"it takes {given}, but its metadata say {document.input}, {wanted}, "
            f"{document.input_shape}"
        )
    expected = (len(document.classes),)
    names = [port.name for port in graph.outputs]
    shapes = {(port.dtype, port.shape) for port in graph.outputs}
    if names != [PROBABILITIES, SCORES] or shapes != {("float32", expected)}:
        raise Damaged(
            f"it gives {names} of {sorted(shapes)}; allowed: {PROBABILITIES} and {SCORES}, "
            f"float32, one number for each of its {len(document.classes)} classes"
        )


def _taken(known: dict[str, Known], names: Sequence[str]) -> list[Known]:
    missing = [name for name in names if name not in known]
    if missing:
        raise Damaged(f"an operator takes '{printable(missing[0], 60)}', which nothing gave yet")
    return [known[name] for name in names]


def _add(known: dict[str, Known], name: str, value: Known) -> None:
    if not name or name in known:
        raise Damaged(f"two values are named '{printable(name, 60)}'")
    known[name] = value
