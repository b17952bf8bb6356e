"""Static quantisation: the products of a graph in whole numbers of eight bits.

Each tensor that a Conv or Gemm takes becomes uint8 with one scale, chosen on training images;
weights become whole numbers from −63 to 63 with one scale an output map. With seven bits the sum
of two products fits in the 16 bits that older processors add in (255 · 63 · 2 < 2¹⁵), so that
every processor gives the same answers.

The graph holds pairs of QuantizeLinear and DequantizeLinear around float operators; a runtime
joins them. See Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 2.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convscope.onnx_file.check import values
from convscope.onnx_file.graph import Array, Graph, Node, Port

WEIGHT_LEVELS, LEVELS = 63, 255
LARGEST_BIAS = 2**30
"""Half of what 32 bits hold: the rest is room for the sums."""
_PRODUCTS = ("Conv", "Gemm")
_KEEPERS = ("MaxPool", "Flatten")
"""Operators whose values are among those they take: they need no range of their own."""
_SAMPLE = 2**18  # values of a tensor that are looked at
_SHARES = np.linspace(0.3, 1.0, 29)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Range:
    """What the levels 0 to 255 of a tensor stand for: (level − zero) · scale."""

    scale: float
    zero: int


def tensors_to_measure(graph: Graph) -> list[str]:
    """The values whose range must be known, in the order of computation."""
    sources = _sources(graph)
    return list(dict.fromkeys(sources.values()))


def _sources(graph: Graph) -> dict[str, str]:
    """Every value that is quantised, and the value whose range it has.

    They are what a product takes, and what a convolution gives: a runtime has no convolution of
    whole numbers that gives floats.
    """
    makers = {node.outputs[0]: node for node in graph.nodes}
    takers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            takers.setdefault(name, []).append(node)
    sources: dict[str, str] = {}
    for node in graph.nodes:
        out = node.outputs[0]
        if _is_product(node):
            chain = [node.inputs[0]]
            while (maker := makers.get(chain[-1])) and maker.op in _KEEPERS:
                chain.append(maker.inputs[0])
            head = sources.get(chain[-1], chain[-1])
            sources |= dict.fromkeys(reversed(chain), head)
            after = takers.get(out, [])
            if node.op == "Conv":  # a ReLU of whole numbers is a range that begins at zero
                out = after[0].outputs[0] if [one.op for one in after] == ["Relu"] else out
                sources[out] = out
        elif node.op in _KEEPERS and node.inputs[0] in sources:
            sources[out] = sources[node.inputs[0]]
    return sources


def _is_product(node: Node) -> bool:
    """Whether it has trained weights; sums and blurs are convolutions, too."""
    return node.op in _PRODUCTS and node.inputs[1].endswith(".weight")


def choose_range(numbers: Floats) -> Range:
    """The range with the least mean squared error of rounding `numbers`, zero always a level.

    Numbers outside are cut off: a few that are far out would make every level coarse.
    """
    low, high = min(0.0, float(numbers.min())), max(0.0, float(numbers.max()))
    if high - low <= 0:
        return Range(1.0, 0)
    candidates = [_range(low * share, high * share) for share in _SHARES]
    errors = [float(np.mean((_rounded(numbers, one) - numbers) ** 2)) for one in candidates]
    return candidates[int(np.argmin(errors))]


def _range(low: float, high: float) -> Range:
    scale = float(np.float32((high - low) / LEVELS))
    return Range(scale, int(np.clip(round(-low / scale), 0, LEVELS)))


def _rounded(numbers: Floats, to: Range) -> Floats:
    levels = np.clip(np.rint(numbers / np.float32(to.scale)) + to.zero, 0, LEVELS)
    result: Floats = (levels - to.zero) * np.float32(to.scale)
    return result


class Sample:
    """Values of tensors, gathered from batches: of each image the same share, drawn from a seed."""

    def __init__(self, images: int) -> None:
        self.images = images
        self.parts: dict[str, list[Floats]] = {}
        self.generator = np.random.default_rng(0)

    def add(self, name: str, numbers: Floats) -> None:
        """Note a batch of a tensor, N × …, and its extremes."""
        flat = numbers.reshape(-1)
        share = max(1, _SAMPLE * len(numbers) // self.images)
        if flat.size > share:
            chosen = flat[self.generator.integers(0, flat.size, share)]
            flat = np.concatenate([chosen, [flat.min(), flat.max()]])
        self.parts.setdefault(name, []).append(flat.astype(np.float32))

    def ranges(self) -> dict[str, Range]:
        """The range of each tensor."""
        return {name: choose_range(np.concatenate(parts)) for name, parts in self.parts.items()}


def with_outputs(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph with these values as its outputs."""
    known = values(graph)
    ports = tuple(Port(name, "float32", known[name].shape) for name in names)
    return replace(graph, outputs=ports)


def quantise(graph: Graph, ranges: Mapping[str, Range]) -> Graph:
    """The graph with its products in eight bits.

    Args:
        graph: float32 throughout.
        ranges: of `tensors_to_measure`.
    """
    sources = _sources(graph)
    tensors = dict(graph.tensors)
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        if _is_product(node):
            of = ranges[sources[node.inputs[0]]]
            names = tuple(_quantised_weights(node, of, tensors, nodes))
            inputs = (inputs[0], *names)
        nodes.append(replace(node, inputs=inputs))
        made = node.outputs[0]
        if made in sources:
            renamed[made] = _pair(made, ranges[sources[made]], tensors, nodes)
    used = {name for node in nodes for name in node.inputs}
    kept = {name: array for name, array in tensors.items() if name in used}
    return replace(graph, nodes=tuple(nodes), tensors=kept)


def _pair(value: str, of: Range, tensors: dict[str, Array], nodes: list[Node]) -> str:
    """Round `value` to its levels; the name of the rounded float."""
    scale, zero = f"{value}.scale", f"{value}.zero"
    tensors[scale], tensors[zero] = np.array(of.scale, np.float32), np.array(of.zero, np.uint8)
    levels, rounded = f"{value}.levels", f"{value}.rounded"
    nodes.append(Node("QuantizeLinear", (value, scale, zero), (levels,), {}, levels))
    nodes.append(Node("DequantizeLinear", (levels, scale, zero), (rounded,), {}, rounded))
    return rounded


def _quantised_weights(
    node: Node, of: Range, tensors: dict[str, Array], nodes: list[Node]
) -> Iterator[str]:
    """The weights, and the bias in 32 bits at the scale of the products.

    Where a map's weights are next to nothing beside its bias, they have so coarse a scale that the
    bias fits: it must not be lost.
    """
    name = node.inputs[1]
    weight = tensors[name].astype(np.float64)
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scales = largest / WEIGHT_LEVELS
    if len(node.inputs) > 2:
        bias = np.abs(tensors[node.inputs[2]].astype(np.float64))
        scales = np.maximum(scales, bias / (of.scale * LARGEST_BIAS))
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    across = scales.reshape(-1, *(1,) * (weight.ndim - 1))
    levels = np.clip(np.rint(weight / across), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8)
    yield _constant(name, levels, scales, tensors, nodes)
    if len(node.inputs) > 2:
        name = node.inputs[2]
        product = scales * np.float32(of.scale)
        whole = np.rint(tensors[name].astype(np.float64) / product).astype(np.int32)
        yield _constant(name, whole, product, tensors, nodes)


def _constant(
    name: str, levels: Array, scales: Array, tensors: dict[str, Array], nodes: list[Node]
) -> str:
    names = (f"{name}.levels", f"{name}.scales", f"{name}.zeros")
    tensors |= zip(names, (levels, scales, np.zeros(len(scales), levels.dtype)), strict=True)
    rounded = f"{name}.rounded"
    nodes.append(Node("DequantizeLinear", names, (rounded,), {"axis": 0}, rounded))
    return rounded
