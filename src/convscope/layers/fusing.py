"""Where layers leave the work to the kernels of `convscope.kernels`, and where they do not.

Inside `kernels_in_use()` a convolution, its activation and its pooling become one operator, and so
do a dense layer and its activation; inside `norms_in_use()` a batch normalisation in training, its
activation and its pooling do, if the kernels know such ones. Everywhere else, and while somebody
watches a layer, they are the layers themselves.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.kernels import library
from convscope.kernels.batch_norm import batch_norm
from convscope.kernels.block import ACTIVATIONS, MOST_ELEMENTS, Plan, block
from convscope.kernels.calls import MAPS, all_threads
from convscope.kernels.dense import dense as dense_by_kernels
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.padding import pad_sides, padding_sides
from convscope.layers.pooling import activate_and_pool
from convscope.layers.pools import AveragePool, MaxPool, MinPool, PoolModule
from convscope.layers.windows import native_padding


@dataclass
class Use:
    """How often layers called kernels in a context."""

    calls: int = 0


_in_use: ContextVar[Use | None] = ContextVar("kernels_in_use", default=None)
_norms_in_use: ContextVar[Use | None] = ContextVar("norms_in_use", default=None)
_NO_POOLING = nn.Identity()
_POOLINGS: dict[type[nn.Module], str] = {MaxPool: "max", MinPool: "min", AveragePool: "average"}


def kernels_in_use() -> AbstractContextManager[Use]:
    """A context in which layers compute by kernels where there are such."""
    return _used(_in_use)


def norms_in_use() -> AbstractContextManager[Use]:
    """A context in which batch normalisation in training is computed by a kernel."""
    return _used(_norms_in_use)


@contextmanager
def _used(variable: ContextVar[Use | None]) -> Iterator[Use]:
    use = Use()
    token = variable.set(use if library.load() else None)
    try:
        yield use
    finally:
        variable.reset(token)


def are_kernels_in_use() -> bool:
    """Whether this is such a context, and there are kernels: inputs then come best batch-last."""
    return _in_use.get() is not None


@contextmanager
def threads_for(model: nn.Module) -> Iterator[None]:
    """A context in which the threads are where `model` is computed: with the kernels or with torch.

    They are the kernels' where those are in use and know all layers that have weights.
    """
    weighted = [one for one in model.modules() if any(True for _ in one.parameters(recurse=False))]
    known = all(
        isinstance(one, nn.Linear) or (isinstance(one, Convolution) and one.is_plain)
        for one in weighted
    )
    with all_threads() if known and are_kernels_in_use() else nullcontext():
        yield


def convolve_and_pool(
    x: Tensor, convolution: Convolution, activation: nn.Module, pool: nn.Module
) -> Tensor:
    """`pool(activation(convolution(x)))`; see `activate_and_pool` for the order."""
    if _in_use.get() and convolution.is_plain:
        height, width = convolution.output_size(*x.shape[-2:])
        plan = _plan(activation, pool, height, width)
        if plan is not None and _usable(x, convolution, activation, pool):
            if isinstance(pool, PoolModule):
                pool.check(height, width)
            sides = padding_sides(*x.shape[-2:], convolution.grid)
            if any(sides):
                x = pad_sides(x, sides, convolution.pad)
            return block(x, convolution.dense_weight(), convolution.bias, plan)
    return activate_and_pool(convolution(x), activation, pool)


def dense(x: Tensor, layer: nn.Linear, activation: nn.Module | None = None) -> Tensor:
    """`activation(layer(x))` for N × inputs."""
    if _in_use.get():
        after = () if activation is None else (activation,)
        kind = _activation(activation) if activation is not None else "identity"
        if kind is not None and _usable(x, layer, *after):
            return dense_by_kernels(x, layer.weight, layer.bias, kind)
    result: Tensor = layer(x)
    return result if activation is None else activation(result)


def normalise_and_pool(
    x: Tensor, norm: nn.Module, activation: nn.Module, pool: nn.Module = _NO_POOLING
) -> Tensor:
    """`pool(activation(norm(x)))`; see `activate_and_pool` for the order."""
    use = _norms_in_use.get()
    if use and _normalisable(x, norm, activation, pool):
        assert isinstance(norm, nn.BatchNorm2d)
        height, width = x.shape[-2:]
        plan = _plan(activation, pool, height, width)
        if plan is not None and plan.pooling in ("none", "max"):
            if isinstance(pool, PoolModule):
                pool.check(height, width)
            y, mean, variance = batch_norm(x, norm.weight, norm.bias, norm.eps, plan)
            _follow(norm, mean, variance, x.numel() // x.shape[1])
            use.calls += 1
            return y
    return activate_and_pool(norm(x), activation, pool)


def _normalisable(x: Tensor, norm: nn.Module, *after: nn.Module) -> bool:
    """Whether the kernel knows such a normalisation and tensor, and nobody watches."""
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.momentum is not None
        and norm.running_mean is not None
        and x.dtype in (torch.float32, torch.bfloat16)
        and norm.weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.shape[1] % MAPS == 0
        and x.numel() > x.shape[1]  # torch refuses a single number to a map
        and x.is_contiguous(memory_format=torch.channels_last)
        and not any(map(_is_watched, (norm, *after)))
    )


def _is_watched(module: nn.Module) -> bool:
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


@torch.no_grad()
def _follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics; that of the variance is unbiased, as torch has it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)


def _usable(x: Tensor, *layers: nn.Module) -> bool:
    use = _in_use.get()
    usable = (
        use is not None
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and len(x) > 0  # no images have no address
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
    )
    if use and usable:
        use.calls += 1
    return usable


def _activation(activation: nn.Module) -> str | None:
    """The kernels' name of it; None where they have none."""
    kind = activation.activation.kind if isinstance(activation, Activate) else ""
    return kind if kind in ACTIVATIONS else None


def _plan(activation: nn.Module, pool: nn.Module, height: int, width: int) -> Plan | None:
    """What the kernels are told of the two, for maps of a size; None where they cannot do it."""
    kind = _activation(activation)
    if kind is None or type(pool) not in {*_POOLINGS, nn.Identity}:
        return None
    if not isinstance(pool, PoolModule):
        return Plan(kind)
    rows, columns = pool.window
    if any(one.ceil or one.dilation != 1 or one.padding in ("same", "full") for one in pool.window):
        return None
    border = native_padding(height, width, pool.window)
    pooling = _POOLINGS[type(pool)]
    if border is None or (pooling == "average" and border != (0, 0)):
        return None
    if rows.kernel * columns.kernel > MOST_ELEMENTS:
        return None
    window, step = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
    return Plan(kind, pooling, window, step, border)
