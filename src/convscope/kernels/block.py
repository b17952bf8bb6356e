"""A convolution with bias, pooling and activation as one differentiable operator.

The arithmetic is in `block_forward.c` and `block_backward.c`. Sums are float32, in another order
than torch's: values and gradients agree with float64 to about 1e-6.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convscope.kernels import batch_last
from convscope.kernels.calls import address, call

POOLINGS = {"none": 0, "max": 1, "min": 2, "average": 3}
ACTIVATIONS = {
    "identity": 0,
    "tanh": 1,
    "scaled-tanh": 2,
    "sigmoid": 3,
    "relu": 4,
    "leaky-relu": 5,
    "elu": 6,
    "gelu": 7,
    "silu": 8,
}
WITH_SLOPES = ("gelu", "silu")
"""Activations that are not monotone: their slopes are kept, and they come before any pooling."""
MOST_ELEMENTS = 256
"""Of a pooling window: the winner's number is one byte."""


@dataclass(frozen=True)
class Plan:
    """What follows the convolution.

    Attributes:
        activation: a key of `ACTIVATIONS`. pooling: a key of `POOLINGS`.
        window, step: of the pooling, rows and columns; (1, 1) where there is none.
        border: how far outside windows begin, less than a window; of max and min alone.
    """

    activation: str = "identity"
    pooling: str = "none"
    window: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)
    border: tuple[int, int] = (0, 0)

    def pooled(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the pooling's result; those of its input where there is none."""
        sizes = zip((rows, columns), self.window, self.step, self.border, strict=True)
        first, second = ((n + 2 * pad - size) // step + 1 for n, size, step, pad in sizes)
        return first, second

    def fields(self) -> dict[str, int]:
        """The pooling as the kernels' structures name it."""
        names = ("window", "step", "border")
        pairs = zip(names, (self.window, self.step, self.border), strict=True)
        return {
            f"{name}_{axis}": number
            for name, pair in pairs
            for axis, number in zip(("rows", "columns"), pair, strict=True)
        }


class BlockJob(ctypes.Structure):
    """`struct block` of block.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "y", "winner", "slopes")),
        *((name, ctypes.c_void_p) for name in ("y_gradient", "x_gradient")),
        *((name, ctypes.c_void_p) for name in ("weight_gradient", "bias_gradient")),
        *((name, ctypes.c_int64) for name in ("images", "pitch", "in_maps", "out_maps")),
        *((name, ctypes.c_int64) for name in ("height", "width", "kernel_rows", "kernel_columns")),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "pooling", "window_rows")),
        *((name, ctypes.c_int64) for name in ("window_columns", "step_rows", "step_columns")),
        *((name, ctypes.c_int64) for name in ("border_rows", "border_columns")),
        *((name, ctypes.c_int64) for name in ("pooled_rows", "pooled_columns", "activation")),
    ]


def block(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
    """`pool(activation(convolution(x)))`; maximum and minimum come before a monotone activation.

    Args:
        x: float32 on the CPU, N × C × H × W in any order of memory, padded already.
        weight: maps × C × rows × columns, float32. bias: maps.
        plan: what follows; one convolution and one pooling window must fit.

    Returns:
        N × maps × H' × W', batch-last. Its gradient by x comes batch-last, too.
    """
    result: Tensor = _Fused.apply(x, weight, bias, plan)  # type: ignore[no-untyped-call]
    return result


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
        x = batch_last.batch_last(x)
        weight = weight.contiguous()
        job = _sizes(x, weight, plan)
        n, maps = job.images, job.out_maps
        y = batch_last.empty((n, maps, job.pooled_rows, job.pooled_columns))
        winner = slopes = None
        if plan.pooling == "average" or plan.activation in WITH_SLOPES:
            slopes = batch_last.empty((n, maps, job.rows, job.columns))
        if plan.pooling in ("max", "min"):
            winner = torch.empty(y.untyped_storage().nbytes() // 4, dtype=torch.uint8)
        job.x, job.weight, job.bias, job.y = map(address, (x, weight, bias, y))
        job.winner, job.slopes = address(winner), address(slopes)
        call("block_forward", job, x, weight, bias, y, winner, slopes)
        ctx.save_for_backward(x, weight, y, winner, slopes)
        ctx.job = job
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        job = ctx.job
        x, weight, y, winner, slopes = ctx.saved_tensors
        y_gradient = batch_last.batch_last(y_gradient)
        x_gradient = batch_last.empty(tuple(x.shape)) if ctx.needs_input_grad[0] else None
        weight_gradient, bias_gradient = torch.empty_like(weight), torch.empty(job.out_maps)
        job.x, job.weight, job.y = map(address, (x, weight, y))
        job.winner, job.slopes = address(winner), address(slopes)
        job.y_gradient, job.x_gradient = address(y_gradient), address(x_gradient)
        job.weight_gradient, job.bias_gradient = address(weight_gradient), address(bias_gradient)
        call("block_backward", job)
        return x_gradient, weight_gradient, bias_gradient if ctx.needs_input_grad[2] else None, None


def _sizes(x: Tensor, weight: Tensor, plan: Plan) -> BlockJob:
    n, channels, height, width = x.shape
    maps, _, kernel_rows, kernel_columns = weight.shape
    rows, columns = height - kernel_rows + 1, width - kernel_columns + 1
    pooled_rows, pooled_columns = plan.pooled(rows, columns)
    return BlockJob(
        images=n,
        pitch=batch_last.pitch(n),
        in_maps=channels,
        out_maps=maps,
        height=height,
        width=width,
        kernel_rows=kernel_rows,
        kernel_columns=kernel_columns,
        rows=rows,
        columns=columns,
        pooling=POOLINGS[plan.pooling],
        **plan.fields(),
        pooled_rows=pooled_rows,
        pooled_columns=pooled_columns,
        activation=ACTIVATIONS[plan.activation],
    )
