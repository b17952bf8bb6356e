"""What each layer of a small network computes, as plain numbers for the page of a snapshot."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.provenance import maps_before
from convscope.explain.receptive import layer_grids
from convscope.explain.tracing import Step
from convscope.explain.weighted import connected_maps
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.pools import AveragePool, GlobalAveragePool, MaxPool, MinPool, Subsampling
from convscope.layers.rbf import RBF
from convscope.layers.windows import Grid
from convscope.shapes import split_padding


class Weights:
    """All numbers of a network in one row; an operation names places in it."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.float32]] = []
        self._length = 0

    def add(self, values: Tensor | npt.NDArray[Any] | None) -> int | None:
        """The place where these values begin; None for none."""
        if values is None:
            return None
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        part = np.ascontiguousarray(array, dtype="<f4").reshape(-1)
        start = self._length
        self._parts.append(part)
        self._length += part.size
        return start

    def to_bytes(self) -> bytes:
        """float32, little-endian."""
        return b"".join(part.tobytes() for part in self._parts)


def operation(steps: Sequence[Step], index: int, weights: Weights) -> dict[str, Any]:
    """What layer `index` of a trace computes, as `offline/network.js` takes it.

    Raises:
        InputError: a layer that the page cannot compute.
    """
    step = steps[index]
    module: Any = step.module
    if isinstance(module, Convolution):
        return _convolution(step, module, weights)
    if isinstance(module, Subsampling):
        own = {"weight": weights.add(module.weight), "bias": weights.add(module.bias)}
        return _pool(step, "subsampling") | own
    if isinstance(module, MaxPool | AveragePool) and not isinstance(module, GlobalAveragePool):
        kind = "average" if isinstance(module, AveragePool) else "max"
        return _pool(step, "min" if isinstance(module, MinPool) else kind)
    if isinstance(module, nn.Linear):
        maps = maps_before(steps[:index], step)
        return {
            "op": "linear",
            "weight": weights.add(module.weight),
            "bias": weights.add(module.bias),
            "maps": None if maps is None else list(maps),
        }
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        names = {"mean": "running_mean", "variance": "running_var"} | {
            name: name for name in ("weight", "bias")
        }
        places = {key: weights.add(getattr(module, name)) for key, name in names.items()}
        return {"op": "norm", "eps": module.eps} | places
    if isinstance(module, Activate):
        return {"op": "activation", "kind": module.activation.kind}
    if isinstance(module, RBF):
        return {"op": "rbf", "codes": weights.add(module.codes)}
    if isinstance(module, nn.Flatten):
        return {"op": "flatten"}
    raise InputError(
        f"layer '{step.name}' ({type(module).__name__}) cannot be computed in a snapshot; allowed: "
        "convolution, max, min and average pooling, subsampling, linear, batch normalisation, "
        "activation, RBF: open the run with `convscope lab`"
    )


def _convolution(step: Step, module: Convolution, weights: Weights) -> dict[str, Any]:
    seen = [connected_maps(module, index) for index in range(module.out_maps)]
    dense = module.dense_weight().detach()
    kernels = [
        dense[index][one] if module.table is not None else dense[index]
        for index, one in enumerate(seen)
    ]
    return {
        "op": "convolution",
        **_axes(step),
        "seen": seen,
        "starts": [weights.add(kernel) for kernel in kernels],
        "bias": weights.add(module.bias),
        "mode": module.pad.mode,
        "fill": module.pad.value,
    }


def _pool(step: Step, how: str) -> dict[str, Any]:
    return {
        "op": "pool",
        "how": how,
        **_axes(step),
        "counts": bool(getattr(step.module, "count_padding", False)),
        "weight": None,
        "bias": None,
    }


def _axes(step: Step) -> dict[str, Any]:
    (window,) = layer_grids(step)
    names: Grid = window
    found = {}
    for name, axis, size in zip(("rows", "columns"), names, step.input.shape[1:], strict=True):
        split = split_padding(size, axis)
        found[name] = {
            "kernel": axis.kernel,
            "stride": axis.stride,
            "dilation": axis.dilation,
            "before": split.before,
            "after": split.after,
        }
    return found
