"""The predictor of a run, by torch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from convscope.data.images import MAX_PIXELS
from convscope.data.preprocess import read_resized
from convscope.evaluation.inference import largest_batch, log_probabilities
from convscope.predictors.interface import Images, check_images
from convscope.run import Run, load_model, open_run
from convscope.text import printable


class RunPredictor:
    """See `interface.Predictor`. `threads` is set for the whole process, as torch has it."""

    def __init__(self, run: str | Path | Run, *, threads: int | None = None) -> None:
        self._run = open_run(run)
        self._model = load_model(self._run)
        if threads is not None:
            torch.set_num_threads(threads)
        self.classes = self._run.document.classes
        self.preprocessing = self._run.document.preprocessing
        self.largest_batch = largest_batch(self._model, self.preprocessing)
        self.shown = printable(self._run.path)

    def read(self, data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Images:
        """See `interface.Predictor`."""
        return read_resized(data, self.preprocessing, max_pixels=max_pixels)

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """See `interface.Predictor`."""
        check_images(images, self)
        scores = log_probabilities(self._model, images, self.preprocessing, batch_size=len(images))
        return np.exp(scores).astype(np.float32)
