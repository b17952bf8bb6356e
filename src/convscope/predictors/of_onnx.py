"""The predictor of an ONNX file, by ONNX Runtime; without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.data.preprocess import normalise
from convscope.errors import InputError
from convscope.files import Buffer, read_bytes
from convscope.onnx_file.check import LARGEST_FILE, check_file
from convscope.onnx_file.document import INPUT, PROBABILITIES
from convscope.predictors.interface import Images, check_images, read_picture
from convscope.text import printable


class OnnxPredictor:
    """See `interface.Predictor`. The file is checked before ONNX Runtime sees any of it."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.shown = printable(path)
        checked = check_file(read_bytes(path, LARGEST_FILE), self.shown)
        self.document = checked.document
        self.classes = self.document.classes
        self.preprocessing = self.document.preprocessing
        self.largest_batch = checked.largest_batch
        self._session = open_session(checked.pieces(), self.shown, threads)

    def read(self, data: bytes | Path) -> Images:
        """See `interface.Predictor`."""
        return read_picture(data, self.preprocessing)

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """See `interface.Predictor`."""
        check_images(images, self)
        name = self.document.input
        given = normalise(images, self.preprocessing) if name == INPUT else images
        result: npt.NDArray[np.float32]
        (result,) = self._session.run([PROBABILITIES], {name: given})
        return result


def open_session(pieces: list[Buffer], shown: str, threads: int | None = None) -> Any:
    """An ONNX Runtime session of a checked file, on the CPU.

    Raises:
        InputError: ONNX Runtime is not installed, or refuses the file.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed: pip install 'convscope[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            b"".join(pieces), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # what it raises on a damaged file has no common type
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise InputError(f"{shown} cannot be used: {reason}") from None
