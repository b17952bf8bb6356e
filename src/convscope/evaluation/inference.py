"""Run a model over many images, in batches, and give log-probabilities."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convscope.data.batches import to_input
from convscope.data.dataset import Images
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError, unknown_name
from convscope.evaluation.metrics import require_finite
from convscope.evaluation.views import VIEWS, check_views, views_of
from convscope.layers.fusing import are_kernels_in_use, threads_for
from convscope.layers.modes import evaluation_mode

Progress = Callable[[int, int], None]
"""Called with (done, total) after each step of the work."""

MOST_IMAGES, MOST_BYTES = 500, 2**28
"""Of a batch: so many images at most, and so much memory for the largest output of a layer."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def log_probabilities(
    model: nn.Module,
    images: Images,
    preprocessing: Preprocessing,
    *,
    batch_size: int | None = None,
    views: str = "single",
    precision: str = "fp32",
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """The model's log-probabilities, N × classes: the log-softmax of its scores.

    The largest score wins. The log-softmax is taken in float64, so that finite scores give
    finite logarithms and keep their order. Memory is bounded by the batch; the result depends
    on the batch size only in the rounding of float32 inside the model.

    Args:
        model: takes float32 N × C × H × W, returns scores N × classes; used in evaluation
            mode, without gradients, on the device of its parameters, and given back in the mode
            it came in.
        images: uint8, N × C × H × W, N at least 1, of the preprocessing's channels and size; an
            array, or anything whose slices are arrays.
        preprocessing: from these pixels to the model's input.
        batch_size: images at a time, at least 1; by default as `largest_batch` says.
        views: of each image, a name of `views.VIEWS`; their probabilities are averaged.
        precision: `fp32`, or `bf16` for torch's autocast.
        progress: called with (images done, N) after each batch.

    Raises:
        InputError: no images, images that do not fit the preprocessing, unknown views or
            precision, scores that are not finite or not one row of classes for each image.
    """
    if len(images) == 0:
        raise InputError("there are no images for the model; give at least one")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"the batch size is {batch_size}; allowed: at least 1")
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    check_views(views, preprocessing)
    results = []
    with (
        evaluation_mode(model),
        torch.inference_mode(),
        _autocast(model, precision),
        threads_for(model),
    ):
        if batch_size is None:  # one image is a batch as small as can be
            batch_size = 1 if len(images) == 1 else _largest_batch(model, preprocessing)
        for start in range(0, len(images), batch_size):
            # A copy, since a data set's pixels are read-only and torch has no such tensors.
            pixels = torch.from_numpy(np.array(images[start : start + batch_size]))
            result = _seen(model, pixels.to(_device(model)), preprocessing, views).cpu().numpy()
            require_finite(result)
            results.append(result)
            if progress is not None:
                progress(start + len(pixels), len(images))
    return np.concatenate(results)


def _seen(model: nn.Module, pixels: Tensor, preprocessing: Preprocessing, views: str) -> Tensor:
    """Logarithms of the mean probabilities over the views, float64, N × classes."""
    kernels = are_kernels_in_use()
    each = [
        torch.log_softmax(_scores(model, to_input(view, preprocessing, batch_last=kernels)), dim=1)
        for view in views_of(pixels, preprocessing, views)
    ]
    if len(each) == 1:
        return each[0]
    return torch.logsumexp(torch.stack(each), dim=0) - math.log(VIEWS[views])


def _scores(model: nn.Module, inputs: Tensor) -> Tensor:
    if not are_kernels_in_use():  # torch's convolution and pooling are faster in this order
        inputs = inputs.to(memory_format=torch.channels_last)
    scores: Tensor = model(inputs)
    if scores.ndim != 2 or len(scores) != len(inputs):
        raise InputError(
            f"the model gives {tuple(scores.shape)} for {len(inputs)} images; allowed: "
            f"({len(inputs)}, classes), a row of scores for each image"
        )
    # MPS has no float64.
    return scores.double() if scores.device.type != "mps" else scores.cpu().double()


def largest_batch(model: nn.Module, preprocessing: Preprocessing) -> int:
    """How many images may go through the model together, from 1 to 500.

    So many that the largest output of a layer stays below 256 MiB. The sizes are those of one
    black image, which goes through the model for it: a picture of 1,024 × 1,024 pixels, which a
    stranger's run may ask for, is then seen alone or with few others.

    Args:
        model: as for `log_probabilities`.
        preprocessing: says how large the model's input is.
    """
    with evaluation_mode(model), torch.inference_mode():
        return _largest_batch(model, preprocessing)


def _largest_batch(model: nn.Module, preprocessing: Preprocessing) -> int:
    sizes = [math.prod(preprocessing.input_shape)]

    def note(module: nn.Module, inputs: object, output: object) -> None:
        del module, inputs
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        seen = preprocessing.crop or preprocessing.size
        black = torch.zeros(1, preprocessing.channels, *seen, dtype=torch.uint8)
        model(to_input(black.to(_device(model)), preprocessing))
    finally:
        for handle in handles:
            handle.remove()
    return max(1, min(MOST_IMAGES, MOST_BYTES // (4 * max(sizes))))


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _autocast(model: nn.Module, precision: str) -> AbstractContextManager[Any]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(_device(model).type, PRECISIONS[precision])
