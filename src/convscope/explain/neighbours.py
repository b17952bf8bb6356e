"""The images that a network finds most alike: the nearest in the space of its features."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convscope.data.batches import as_tensor, to_input
from convscope.data.preprocess import Preprocessing
from convscope.data.stored import Images
from convscope.errors import InputError, unknown_name
from convscope.explain.tracing import layers, shared_copy, trace
from convscope.text import printable

FloatArray = npt.NDArray[np.float32]

_BLOCK = 2**22
"""How many numbers of the features are compared at a time."""


def features_of(
    model: nn.Module,
    images: FloatArray | Tensor,
    layer: str | None = None,
    batch: int = 256,
) -> FloatArray:
    """The features of images: what one layer makes of them, as one row each.

    Args:
        model: takes N × C × H × W; left as it was.
        images: float32, N × C × H × W, preprocessed.
        layer: whose output the features are. Default: what the last layer with weights or codes
            sees, in which classes are parted by planes, or by distances.
        batch: how many images run through the network together.

    Returns:
        float32, N × features.

    Raises:
        InputError: images that are no batch, or an unknown layer.
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4 or len(tensor) == 0:
        raise InputError(
            f"images have shape {tuple(tensor.shape)}; allowed: a batch, N × C × H × W, N from 1"
        )
    copied = shared_copy(model)
    module = _last_weighted(copied, tensor[0]) if layer is None else _named(copied, layer)
    weight = next(copied.parameters(), torch.zeros(0))
    kept: list[FloatArray] = []

    def keep(values: Any) -> None:
        kept.append(values.detach().flatten(1).float().cpu().numpy().copy())

    if layer is None:
        module.register_forward_pre_hook(lambda _module, inputs: keep(inputs[0]))
    else:
        module.register_forward_hook(lambda _module, _inputs, output: keep(output))
    rows = []
    with torch.no_grad():
        for first in range(0, len(tensor), batch):
            kept.clear()
            copied(tensor[first : first + batch].to(weight.device, weight.dtype))
            if not kept:
                raise InputError(f"layer '{printable(layer)}' takes no part in the computation")
            rows.append(kept[-1])  # used more than once: the last time
    return np.concatenate(rows)


def feature_blocks(
    model: nn.Module,
    images: Images,
    rows: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    block: int = 256,
) -> Iterator[FloatArray]:
    """The features of some images of a data set, `block` of them at a time, in their order.

    Args:
        model: takes N × C × H × W; left as it was.
        images: uint8, N × C × H × W, as a data set holds them; read only as they are needed.
        rows: which of them.
        preprocessing: how they become the network's input.
        block: how many are in memory, and run through the network, together.
    """
    for first in range(0, len(rows), block):
        batch = as_tensor(images[rows[first : first + block]])
        yield features_of(model, to_input(batch, preprocessing), batch=block)


def _last_weighted(model: nn.Module, image: Tensor) -> nn.Module:
    for step in reversed(trace(model, image)):
        if step.kind in ("linear", "rbf", "convolution"):
            return step.module
    raise InputError("the network has no layer with weights: name the layer that gives features")


def _named(model: nn.Module, layer: str) -> nn.Module:
    known = dict(layers(model))
    if layer not in known:
        raise unknown_name("layer", printable(layer), known)
    return known[layer]


def nearest(
    features: npt.NDArray[Any], feature: npt.NDArray[Any], n: int = 8
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The rows of `features` nearest to `feature`, the nearest first; of equal ones the first.

    Args:
        features: N × F. feature: F.
        n: how many, from 1; all where there are fewer.

    Returns:
        Their indices, and their Euclidean distances.

    Raises:
        InputError: shapes that do not match, or n below 1.
    """
    feature = np.asarray(feature).reshape(-1)
    if features.ndim != 2 or features.shape[1] != len(feature):
        raise InputError(
            f"{len(feature)} features are compared with an array of shape {features.shape}; "
            "allowed: N × features, of the same layer"
        )
    if n < 1:
        raise InputError(f"n is {n}; allowed: a whole number from 1")
    wanted = feature.astype(np.float64)
    squares = np.empty(len(features))
    step = max(1, _BLOCK // max(len(feature), 1))
    for first in range(0, len(features), step):
        difference = features[first : first + step] - wanted
        squares[first : first + step] = np.einsum("ij,ij->i", difference, difference)
    order = np.argsort(squares, kind="stable")[:n]
    return order.astype(np.int64), np.sqrt(squares[order])
