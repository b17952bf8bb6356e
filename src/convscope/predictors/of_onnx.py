"""The predictor of an ONNX file, by ONNX Runtime; without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.data.preprocess import normalise
from convscope.errors import InputError
from convscope.files import read_bytes
from convscope.onnx_file.document import INPUT, KEY, PROBABILITIES, parse_document
from convscope.predictors.interface import Images, check_images, read_picture
from convscope.text import printable

LARGEST_FILE = 2**31
MOST_IMAGES = 64


class OnnxPredictor:
    """See `interface.Predictor`."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.shown = printable(path)
        data = read_bytes(path, LARGEST_FILE)
        self._session = _session(data, self.shown, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        if KEY not in metadata:
            raise InputError(
                f"{self.shown} does not say what its classes are: make it with `convscope export`"
            )
        document = parse_document(metadata[KEY].encode(), self.shown)
        self.document = document
        self.classes = document.classes
        self.preprocessing = document.preprocessing
        self.largest_batch = MOST_IMAGES

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


def _session(data: bytes, shown: str, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed: pip install 'convscope[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # what it raises on a damaged file has no common type
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise InputError(f"{shown} cannot be used: {reason}") from None
