"""Batch normalisation, activation and maximum pooling as one differentiable operator.

The arithmetic is in `batch_norm_forward.c` and `batch_norm_backward.c`. Torch's operators for the
three write a tensor as large as their input each, and read it again for the gradient: for a network
whose convolutions run at the processor's speed, those passes through memory are what is left.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convscope.kernels.block import ACTIVATIONS, Plan
from convscope.kernels.calls import address, call, openmp_team


class _BatchNorm(ctypes.Structure):
    """`struct batch_norm` of batch_norm.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "y", "winner", "weight", "bias", "mean")),
        *((name, ctypes.c_void_p) for name in ("variance", "y_gradient", "x_gradient")),
        *((name, ctypes.c_void_p) for name in ("weight_gradient", "bias_gradient")),
        *((name, ctypes.c_int64) for name in ("images", "maps", "height", "width", "rows")),
        *((name, ctypes.c_int64) for name in ("columns", "window_rows", "window_columns")),
        *((name, ctypes.c_int64) for name in ("step_rows", "step_columns", "border_rows")),
        *((name, ctypes.c_int64) for name in ("border_columns", "activation", "half")),
        ("eps", ctypes.c_double),
        ("team", ctypes.c_void_p),
    ]


def batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, plan: Plan
) -> tuple[Tensor, Tensor, Tensor]:
    """`pool(activation(normalised))` by the batch's own statistics (Ioffe & Szegedy 2015).

    What lies between x and y is not rounded to bfloat16. Of elements of a window that are equal
    the first one wins. GELU for bfloat16 is a polynomial, within 1.4e-4 of its value, and its slope
    within 6e-4 (2e-5 and 1e-4 between -4 and 4), less than the rounding of values around 0.05.

    Args:
        x: float32 or bfloat16 on the CPU, N × C × H × W, channels last; C a multiple of `MAPS`.
        weight, bias: float32, C.
        eps: is added to the variances.
        plan: the activation, and no pooling or `max`.

    Returns:
        N × C × H' × W', of the type and in the order of x; mean and variance of the batch, C,
        float32, the latter divided by N·H·W, neither differentiable.
    """
    y, mean, variance = _BatchNormed.apply(x, weight, bias, eps, plan)  # type: ignore[no-untyped-call]
    return y, mean, variance


class _BatchNormed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, plan: Plan
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        job = _sizes(x, eps, plan)
        y = _channels_last(x, job.rows, job.columns)
        winner = torch.empty(y.numel(), dtype=torch.uint8) if plan.pooling == "max" else None
        mean, variance = torch.empty(job.maps), torch.empty(job.maps)
        tensors = (x, weight, bias, y, winner, mean, variance)
        _fill(job, *tensors)
        call("batch_norm_forward", job, *tensors)
        ctx.save_for_backward(x, weight, bias, winner, mean, variance)
        ctx.job = job
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        job = ctx.job
        x, weight, bias, winner, mean, variance = ctx.saved_tensors
        y_gradient = y_gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        x_gradient = _channels_last(x, job.height, job.width)
        weight_gradient, bias_gradient = torch.empty_like(weight), torch.empty_like(bias)
        _fill(job, x, weight, bias, None, winner, mean, variance)
        job.y_gradient, job.x_gradient = address(y_gradient), address(x_gradient)
        job.weight_gradient, job.bias_gradient = address(weight_gradient), address(bias_gradient)
        call("batch_norm_backward", job)
        return x_gradient, weight_gradient, bias_gradient, None, None


def _channels_last(like: Tensor, rows: int, columns: int) -> Tensor:
    """N × C × rows × columns without values, of the type of `like`."""
    images, maps = like.shape[:2]
    return like.new_empty(images, rows, columns, maps).permute(0, 3, 1, 2)


def _sizes(x: Tensor, eps: float, plan: Plan) -> _BatchNorm:
    images, maps, height, width = x.shape
    rows, columns = plan.pooled(height, width)
    return _BatchNorm(
        images=images,
        maps=maps,
        height=height,
        width=width,
        rows=rows,
        columns=columns,
        **plan.fields(),
        activation=ACTIVATIONS[plan.activation],
        half=x.dtype == torch.bfloat16,
        eps=eps,
        team=openmp_team(),
    )


def _fill(
    job: _BatchNorm,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    y: Tensor | None,
    winner: Tensor | None,
    mean: Tensor,
    variance: Tensor,
) -> None:
    job.x, job.weight, job.bias = address(x), address(weight), address(bias)
    job.y, job.winner = address(y), address(winner)
    job.mean, job.variance = address(mean), address(variance)
