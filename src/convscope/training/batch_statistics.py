"""Batch normalisation over the images of all processes, as one process has it.

Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1, the sums taken over every process's share of
the batch. torch's own SyncBatchNorm computes on accelerators alone.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from convscope.layers.draws import Dropout
from convscope.layers.normalization import UnitNorm
from convscope.training.distributed import peers


def share_batches(model: nn.Module) -> None:
    """Let the layers of `model` that see the batch as a whole see that of all processes, in place.

    Names, weights and statistics stay as they are: the state dict is the same.
    """
    for name, part in list(model.named_children()):
        if isinstance(part, _BatchNorm):
            setattr(model, name, SharedBatchNorm(part))
        elif type(part) is nn.Dropout:
            setattr(model, name, Dropout(part.p))
        else:
            share_batches(part)


class SharedBatchNorm(nn.Module):
    """Batch normalisation whose batch is spread over the processes; N × C, or N × C × H × W.

    Args:
        norm: what it stands for; its weights and statistics are taken over, not copied.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        for name, value in norm.named_buffers():
            self.register_buffer(name, value)
        self.eps, self.momentum = norm.eps, norm.momentum or 0.0
        self.spares_single = isinstance(norm, UnitNorm)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, of the type of `x`."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            with torch.no_grad():
                mean, variance, count = _moments(x)
            if count == 1 and self.spares_single:  # see UnitNorm
                return self._with(x, self.running_mean, self.running_var)
            self._follow(mean, variance, count)
            result: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
                x, self.weight, self.bias, mean, variance, self.eps
            )
            return result
        return self._with(x, mean, variance)

    def _with(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0.0, self.eps)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics; that of the variance is unbiased, as torch has it."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)


def _moments(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of each map over all processes, and of how many values."""
    over = [dimension for dimension in range(x.ndim) if dimension != 1]
    values = x.float()
    sums = torch.cat([values.sum(over), values.new_tensor([float(x.numel() // x.shape[1])])])
    mean = _sum(sums)[:-1] / sums[-1]
    deviations = (values - _along(mean, x)).square_()
    return mean, _sum(deviations.sum(over)) / sums[-1], float(sums[-1])


class _Normalise(torch.autograd.Function):
    """Forward by given moments; backward as if they had been computed from the whole batch."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, mean, var = ctx.saved_tensors
        over = [dimension for dimension in range(x.ndim) if dimension != 1]
        scale = (var + ctx.eps).rsqrt()
        normalised = (x.float() - _along(mean, x)) * _along(scale, x)
        gradient = gradient.float()
        to_bias = gradient.sum(over)
        to_weight = (gradient * normalised).sum(over)
        own = gradient.new_tensor([float(x.numel() // x.shape[1])])
        sums = _sum(torch.cat([to_bias, to_weight, own]))
        count, maps = sums[-1], x.shape[1]
        correction = _along(sums[:maps] / count, x) + normalised * _along(sums[maps:-1] / count, x)
        to_x = (gradient - correction) * _along(scale * weight, x)
        return to_x.to(x.dtype), to_weight, to_bias, None, None, None


def _along(values: Tensor, x: Tensor) -> Tensor:
    """One value for each map, in a shape that meets that of `x`."""
    return values.view(1, -1, *[1] * (x.ndim - 2))


def _sum(values: Tensor) -> Tensor:
    with peers():
        dist.all_reduce(values)
    return values
