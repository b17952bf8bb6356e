"""Operators and constants, added one by one to a graph; their names come from the layer's."""

from collections.abc import Mapping

import numpy as np

from convscope.exporting.tracing import Value
from convscope.onnx_file.graph import Array, Attribute, Graph, Node, Port


class Builder:
    """A graph that grows. `layer` is the name of the layer that is being written."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Array] = {}
        self.layer = ""
        self._taken: set[str] = set()

    def add(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """An operator with one output, whose name is returned."""
        name = self._name(op.lower())
        self.nodes.append(Node(op, inputs, (name,), attributes, name))
        return name

    def constant(self, value: Array | float, label: str = "constant") -> str:
        """A constant tensor; numbers become float32."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = self._name(label)
        self.tensors[name] = array
        return name

    def whole(self, *numbers: int) -> str:
        """A constant row of whole numbers, as shapes, axes and borders are given."""
        return self.constant(np.array(numbers, np.int64), "numbers")

    def _name(self, label: str) -> str:
        base = f"{self.layer}.{label}" if self.layer else label
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}{number}"
        self._taken.add(name)
        return name

    def graph(self, input_port: Port, outputs: Mapping[str, str], classes: int) -> Graph:
        """What was added, with outputs: what each is called, and which value it is."""
        renamed = {value: name for name, value in outputs.items()}
        nodes = tuple(
            Node(
                node.op,
                tuple(renamed.get(name, name) for name in node.inputs),
                tuple(renamed.get(name, name) for name in node.outputs),
                node.attributes,
                node.name,
            )
            for node in self.nodes
        )
        ports = tuple(Port(name, "float32", (classes,)) for name in outputs)
        return Graph(nodes, self.tensors, (input_port,), ports)


__all__ = ["Builder", "Value"]
