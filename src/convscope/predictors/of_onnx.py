"""The predictor of an ONNX file, by ONNX Runtime; without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.data.images import MAX_PIXELS
from convscope.data.preprocess import normalise, read_resized
from convscope.errors import InputError
from convscope.files import read_bytes
from convscope.onnx_file.check import LARGEST_FILE, check_file
from convscope.onnx_file.document import INPUT, PROBABILITIES
from convscope.onnx_file.graph import Graph, to_pieces
from convscope.predictors.interface import Images, check_images
from convscope.text import printable

LARGE = 1024
"""Bytes of a tensor from which on it is handed over apart; shapes and axes must lie in the file."""


class OnnxPredictor:
    """See `interface.Predictor`. The file is checked before ONNX Runtime sees any of it."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.shown = printable(path)
        checked = check_file(read_bytes(path, LARGEST_FILE), self.shown)
        self.document = checked.document
        self.classes = self.document.classes
        self.preprocessing = self.document.preprocessing
        self.largest_batch = checked.largest_batch
        self._session = Session(checked.graph, self.shown, threads)

    def read(self, data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Images:
        """See `interface.Predictor`."""
        return read_resized(data, self.preprocessing, max_pixels=max_pixels)

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """See `interface.Predictor`."""
        check_images(images, self)
        name = self.document.input
        given = normalise(images, self.preprocessing) if name == INPUT else images
        (result,) = self._session.run([PROBABILITIES], {name: given})
        return result


class Session:
    """ONNX Runtime on a checked graph, on the CPU.

    It sees a file written anew, of a few kilobytes; the large tensors are handed over as they are,
    where by a file it would hold them several times.

    Raises:
        InputError: ONNX Runtime is not installed, or refuses the graph.
    """

    def __init__(self, graph: Graph, shown: str, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise InputError(
                "ONNX Runtime is not installed: pip install 'convscope[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong comes as an exception
        options.add_session_config_entry("session.load_model_format", "ONNX")
        if threads is not None:
            options.intra_op_num_threads = threads
        large = [name for name, array in graph.tensors.items() if array.nbytes >= LARGE]
        self._tensors = [  # the runtime reads them where they are: they must live as long
            onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(graph.tensors[name]))
            for name in large
        ]
        if large:
            options.add_external_initializers(large, self._tensors)
        pieces = to_pieces(graph, {}, version="", apart=frozenset(large))
        try:
            self._session = onnxruntime.InferenceSession(
                b"".join(pieces), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # what it raises on a damaged file has no common type
            reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__)
            raise InputError(f"{shown} cannot be used: {reason}") from None

    def run(
        self, outputs: Sequence[str], given: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[np.float32]]:
        """The outputs of these names."""
        found: list[npt.NDArray[np.float32]] = self._session.run(outputs, given)
        return found
