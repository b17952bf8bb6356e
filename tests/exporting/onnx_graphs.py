"""Graphs of networks, computed by ONNX Runtime and by torch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from convscope.data.preprocess import Preprocessing
from convscope.exporting.network import to_graph
from convscope.onnx_file.check import check_graph
from convscope.onnx_file.document import OnnxDocument
from convscope.onnx_file.graph import Graph, to_pieces
from convscope.predictors.of_onnx import Session

Array = npt.NDArray[np.float32]


class Layers(nn.Module):
    """Layers one after the other, and their output as scores."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × scores."""
        scores: Tensor = self.layers(x).flatten(1)
        return scores


def document(preprocessing: Preprocessing, classes: int, **more: Any) -> OnnxDocument:
    """The least that a file says."""
    return OnnxDocument(
        convscope="test",
        created="2026-01-01T00:00:00+00:00",
        model="test",
        classes=tuple(f"class {number}" for number in range(classes)),
        preprocessing=preprocessing,
        **more,
    )


def plain(channels: int, height: int, width: int) -> Preprocessing:
    """Nothing but a size."""
    return Preprocessing(
        channels=3 if channels == 3 else 1,
        size=(height, width),
        mean=(0.0,) * (3 if channels == 3 else 1),
        std=(1.0,) * (3 if channels == 3 else 1),
    )


def run(graph: Graph, **given: npt.NDArray[Any]) -> list[Array]:
    """What ONNX Runtime gives, after ONNX' own checker has seen the file: probabilities, scores."""
    pieces = to_pieces(graph, {}, version="test")
    onnx.checker.check_model(onnx.load_from_string(b"".join(pieces)), full_check=True)
    return Session(graph, "test").run([port.name for port in graph.outputs], given)


def both(*layers: nn.Module, channels: int = 3, height: int, width: int) -> tuple[Array, Array]:
    """The scores of three random images by ONNX Runtime and by torch, of values around zero."""
    model = Layers(*layers).eval()
    images = torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(images).numpy()
    how = plain(channels, height, width)
    classes = expected.shape[1]
    graph = to_graph(model, how, classes, input_name="input")
    check_graph(graph, document(how, classes, input="input"))
    _, found = run(graph, input=images.numpy())
    return found, expected
