"""Which pixels a score depends on, by four methods of the literature, computed by captum.

    saliency               |∂score/∂pixel|                             Simonyan et al. 2013
    integrated-gradients   gradients along the way from a baseline     Sundararajan et al. 2017
    occlusion              how much a covering square takes off it     Zeiler & Fergus 2014
    grad-cam               maps weighted by their mean gradient        Selvaraju et al. 2017

captum is imported when it is needed; it comes with the extra `lab`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.tracing import as_batch, check_image, shared_copy, trace
from convscope.layers.spec import check_choice

FloatArray = npt.NDArray[np.float32]

_STEPS = 50
"""Points on the way of integrated gradients (Gauss–Legendre)."""
_ACROSS = 14
"""Positions of the covering square along an image, about; fewer where it is small."""
_TOGETHER = 16
"""Changed images that run through the network at a time."""


def attribute(
    model: nn.Module,
    image: Tensor,
    class_index: int,
    method: str,
    *,
    baseline: Tensor | None = None,
) -> FloatArray:
    """How much each pixel speaks for a class.

    Args:
        model: takes N × C × H × W; left as it was.
        image: float32, C × H × W, preprocessed.
        class_index: whose score is explained.
        method: one of `METHODS`.
        baseline: C × H × W, what integrated gradients start from and occlusion covers with.
            Default: zeros, which after normalisation is the mean colour of the training images.

    Returns:
        float32. `saliency`: C × H × W, ≥ 0. `integrated-gradients`: C × H × W; the sum is the
        score less that of the baseline, nearly. `occlusion`: H × W, the score that is lost,
        averaged over the squares that cover a pixel. `grad-cam`: H × W, ≥ 0, of the last
        convolution with more than one pixel, enlarged bilinearly.

    Raises:
        InputError: an unknown method or class, an image or a baseline of another shape, captum
            is not installed, or a network without convolutions (grad-cam).
    """
    check_choice("method", method, METHODS)
    check_image(model, image)
    captum = _captum()
    copied = shared_copy(model)  # captum hangs hooks on it
    batch = as_batch(copied, image).requires_grad_()
    _check_class(copied, batch, class_index)
    if baseline is not None and baseline.shape != image.shape:
        raise InputError(
            f"the baseline has shape {tuple(baseline.shape)}; allowed: {tuple(image.shape)}, that "
            "of the image"
        )
    start = torch.zeros_like(batch) if baseline is None else as_batch(copied, baseline)
    found = _METHODS[method](captum, copied, batch, class_index, start)
    result: FloatArray = found.detach()[0].float().cpu().numpy().copy()
    return result


def _captum() -> Any:
    try:
        from captum import attr
    except ImportError:
        raise InputError(
            'attributions need captum: pip install "convscope[lab]"; everything else works without'
        ) from None
    return attr


def _check_class(model: nn.Module, batch: Tensor, class_index: int) -> None:
    with torch.no_grad():
        classes = model(batch).shape[1]
    if not 0 <= class_index < classes:
        raise InputError(f"class {class_index}; allowed: 0 to {classes - 1}")


def _saliency(captum: Any, model: nn.Module, batch: Tensor, target: int, _: Tensor) -> Tensor:
    found: Tensor = captum.Saliency(model).attribute(batch, target=target)
    return found


def _integrated(captum: Any, model: nn.Module, batch: Tensor, target: int, start: Tensor) -> Tensor:
    found: Tensor = captum.IntegratedGradients(model).attribute(
        batch, start, target=target, n_steps=_STEPS, internal_batch_size=_TOGETHER
    )
    return found


def _occlusion(captum: Any, model: nn.Module, batch: Tensor, target: int, start: Tensor) -> Tensor:
    """A square of about two steps over all channels."""
    channels, height, width = batch.shape[1:]
    steps = [max(1, round(n / _ACROSS)) for n in (height, width)]
    sides = [min(n, max(3, 2 * step)) for n, step in zip((height, width), steps, strict=True)]
    with torch.no_grad():
        found: Tensor = captum.Occlusion(model).attribute(
            batch,
            (channels, *sides),
            strides=(channels, *steps),
            baselines=start,
            target=target,
            perturbations_per_eval=_TOGETHER,
        )
    return found[:, 0]  # the same for all channels, as they are covered together


def _grad_cam(captum: Any, model: nn.Module, batch: Tensor, target: int, _: Tensor) -> Tensor:
    layer = _last_convolution(model, batch[0].detach())
    found = captum.LayerGradCam(model, layer).attribute(
        batch, target=target, relu_attributions=True
    )
    return F.interpolate(found, tuple(batch.shape[2:]), mode="bilinear", align_corners=False)[:, 0]


def _last_convolution(model: nn.Module, image: Tensor) -> nn.Module:
    for step in reversed(trace(model, image)):
        if step.kind == "convolution" and step.output[0].numel() > 1:
            return step.module
    raise InputError("grad-cam needs a convolution whose maps have more than one pixel")


_METHODS: dict[str, Callable[[Any, nn.Module, Tensor, int, Tensor], Tensor]] = {
    "saliency": _saliency,
    "integrated-gradients": _integrated,
    "occlusion": _occlusion,
    "grad-cam": _grad_cam,
}

METHODS = tuple(_METHODS)
