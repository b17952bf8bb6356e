"""Run a model over many images, in batches, and give log-probabilities."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.evaluation.metrics import require_finite
from convscope.layers.modes import evaluation_mode

Progress = Callable[[int, int], None]
"""Called with (done, total) after each step of the work."""


def log_probabilities(
    model: nn.Module,
    images: npt.NDArray[np.uint8],
    preprocessing: Preprocessing,
    *,
    batch_size: int = 500,
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """The model's log-probabilities, N × classes: the log-softmax of its scores.

    The largest score wins. The log-softmax is taken in float64, so that finite scores give
    finite logarithms and keep their order. Memory is bounded by the batch; the result depends
    on the batch size only in the rounding of float32 inside the model.

    Args:
        model: takes float32 N × C × H × W, returns scores N × classes; used in evaluation
            mode, without gradients, and given back in the mode it came in.
        images: uint8, N × C × H × W, N at least 1, of the preprocessing's channels and size.
        preprocessing: from these pixels to the model's input.
        batch_size: images at a time, at least 1.
        progress: called with (images done, N) after each batch.

    Raises:
        InputError: no images, images that do not fit the preprocessing, scores that are not
            finite or not one row of classes for each image.
    """
    if len(images) == 0:
        raise InputError("there are no images for the model; give at least one")
    if batch_size < 1:
        raise InputError(f"the batch size is {batch_size}; allowed: at least 1")
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    results = []
    with evaluation_mode(model), torch.inference_mode():
        for start in range(0, len(images), batch_size):
            # A copy, since a data set's pixels are read-only and torch has no such tensors.
            pixels = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
            inputs = to_input(pixels, preprocessing)
            # Convolution and pooling are faster in this order.
            scores = model(inputs.to(memory_format=torch.channels_last))
            if scores.ndim != 2 or len(scores) != len(pixels):
                raise InputError(
                    f"the model gives {tuple(scores.shape)} for {len(pixels)} images; allowed: "
                    f"({len(pixels)}, classes), a row of scores for each image"
                )
            result = torch.log_softmax(scores.double(), dim=1).cpu().numpy()
            require_finite(result)
            results.append(result)
            if progress is not None:
                progress(start + len(pixels), len(images))
    return np.concatenate(results)
