"""A dense layer with its activation as one differentiable operator; `dense.c` computes it."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convscope.kernels.batch_last import batch_last, empty, pitch
from convscope.kernels.block import ACTIVATIONS, WITH_SLOPES
from convscope.kernels.calls import address, call


class DenseJob(ctypes.Structure):
    """`struct dense` of dense.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "y", "slopes", "y_gradient")),
        *((name, ctypes.c_void_p) for name in ("x_gradient", "weight_gradient", "bias_gradient")),
        *((name, ctypes.c_int64) for name in ("images", "pitch", "inputs", "outputs")),
        ("activation", ctypes.c_int64),
    ]


def dense(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "identity") -> Tensor:
    """`activation(x @ weight.T + bias)`.

    Args:
        x: float32 on the CPU, N × inputs in any order of memory.
        weight: outputs × inputs. bias: outputs.
        activation: a key of `block.ACTIVATIONS`.

    Returns:
        N × outputs, batch-last, as is its gradient by x.
    """
    result: Tensor = _Product.apply(x, weight, bias, activation)  # type: ignore[no-untyped-call]
    return result


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, activation: str
    ) -> Tensor:
        x, weight = batch_last(x), weight.contiguous()
        y = empty((len(x), len(weight)))
        slopes = empty((len(x), len(weight))) if activation in WITH_SLOPES else None
        job = DenseJob(
            x=address(x),
            weight=address(weight),
            bias=address(bias),
            y=address(y),
            slopes=address(slopes),
            images=len(x),
            pitch=pitch(len(x)),
            inputs=x.shape[1],
            outputs=len(weight),
            activation=ACTIVATIONS[activation],
        )
        call("dense_forward", job, x, weight, bias, y, slopes)
        ctx.save_for_backward(x, weight, y, slopes)
        ctx.job = job
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        job = ctx.job
        x, weight, y, slopes = ctx.saved_tensors
        y_gradient = batch_last(y_gradient)
        x_gradient = empty(tuple(x.shape)) if ctx.needs_input_grad[0] else None
        weight_gradient, bias_gradient = torch.empty_like(weight), torch.empty(len(weight))
        job.x, job.weight, job.y = address(x), address(weight), address(y)
        job.slopes = address(slopes)
        job.y_gradient, job.x_gradient = address(y_gradient), address(x_gradient)
        job.weight_gradient, job.bias_gradient = address(weight_gradient), address(bias_gradient)
        call("dense_backward", job)
        return x_gradient, weight_gradient, bias_gradient if ctx.needs_input_grad[2] else None, None
