"""Batch normalisation taken into the weights before it: the same numbers with less work.

(W·x + b)·s + t = (s·W)·x + (s·b + t)
"""

from collections import Counter
from dataclasses import replace

import numpy as np

from convscope.onnx_file.graph import Array, Graph, Node

_PRODUCTS = {"Conv", "Gemm"}


def fold(graph: Graph) -> Graph:
    """The graph with every Mul and Add of a constant a map taken into the Conv or Gemm before."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses.update(port.name for port in graph.outputs)
    tensors = dict(graph.tensors)
    made: dict[str, Node] = {}  # value → the product that gives it, as it is now
    nodes: dict[int, Node] = {}
    places: dict[str, int] = {}
    for place, node in enumerate(graph.nodes):
        product = made.get(node.inputs[0]) if node.inputs else None
        values = tensors.get(node.inputs[1]) if len(node.inputs) == 2 else None
        only = product is not None and uses[node.inputs[0]] == 1
        if product and only and values is not None and _is_row(node, product, values, tensors):
            at = places[node.inputs[0]]
            folded = _folded(product, node, values.reshape(-1), tensors)
            nodes[at] = made[node.outputs[0]] = folded
            places[node.outputs[0]] = at
            continue
        nodes[place] = node
        if node.op in _PRODUCTS:
            made[node.outputs[0]], places[node.outputs[0]] = node, place
    kept = tuple(nodes[place] for place in sorted(nodes))
    used = {name for node in kept for name in node.inputs}
    return replace(
        graph,
        nodes=kept,
        tensors={name: array for name, array in tensors.items() if name in used},
    )


def _is_row(node: Node, product: Node, values: Array, tensors: dict[str, Array]) -> bool:
    """Whether `node` multiplies or adds one number a map of what `product` gives."""
    maps = len(tensors[product.inputs[1]])
    sides = (maps, 1, 1) if product.op == "Conv" else (maps,)
    return node.op in ("Mul", "Add") and values.shape == sides


def _folded(product: Node, node: Node, values: Array, tensors: dict[str, Array]) -> Node:
    """The product with the operation taken into copies of its tensors, float64 between."""
    weight = tensors[product.inputs[1]].astype(np.float64)
    bias = (
        tensors[product.inputs[2]].astype(np.float64)
        if len(product.inputs) > 2
        else np.zeros(len(weight))
    )
    if node.op == "Mul":
        weight = weight * values.reshape(-1, *(1,) * (weight.ndim - 1))
        bias = bias * values
    else:
        bias = bias + values
    names = (product.inputs[1], f"{product.name}.bias")
    tensors[names[0]], tensors[names[1]] = weight.astype(np.float32), bias.astype(np.float32)
    return replace(product, inputs=(product.inputs[0], *names), outputs=node.outputs)
