"""LeNet-5 of 1998 in steps of one image, by the kernel that does a whole step at once.

A step of batch size 1 is 2.4 million operations, some 40 µs; torch takes ten times as long to call
its dozens of functions for them. The kernel (`kernels/lenet5_1998.c`) takes many images in one
call and steps through them one after the other; the result is torch's up to the rounding of
float32. Order, learning rates, counters, checkpoints and rows are the loop's, as for all networks.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from convscope.kernels import library
from convscope.layers.rbf import RBF
from convscope.training.compute import Compute
from convscope.training.optimizers import SDLM
from convscope.training.recipe import Loss, Recipe

IMAGES_A_CALL = 256
"""Some 10 ms: a signal, a checkpoint or a row of progress need not wait longer."""
_SIZES = {"channels": 1, "input_size": 32}
_ADDRESS, _WHOLE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_ARGUMENTS = [*[_ADDRESS] * 5, _WHOLE, _ADDRESS, _WHOLE, _WHOLE, _FLOAT, _ADDRESS, _ADDRESS]


class SingleImages:
    """Steps of one image each, many in a call.

    Args:
        kernel: the C function.
        model: lenet5-1998 in its published shape; its weights are moved.
        optimizer: gives the rate of each weight.
        loss: Eq. 8, Eq. 9, or cross-entropy, which is Eq. 9 with j = ∞.
    """

    def __init__(self, kernel: Any, model: nn.Module, optimizer: SDLM, loss: Loss) -> None:
        self._kernel, self._optimizer, self._loss = kernel, optimizer, loss
        self._parameters = list(model.parameters())
        (rbf,) = (module for module in model.modules() if isinstance(module, RBF))
        self._codes = rbf.codes.contiguous()

    @torch.no_grad()
    def take(
        self, inputs: Tensor, labels: Tensor, rates: list[float]
    ) -> tuple[list[float], list[bool]]:
        """A step for each image, in order: its loss, and whether it was right, before its step.

        Args:
            inputs: float32, N × 1 × 32 × 32.
            labels: int64, N.
            rates: N, the learning rate of each step.
        """
        inputs, labels = inputs.contiguous(), labels.contiguous()
        flat = torch.cat([parameter.reshape(-1) for parameter in self._parameters])
        own = torch.cat([one.reshape(-1) for one in self._optimizer.rates()])
        steps = torch.tensor(rates)
        losses, right = torch.empty(len(labels)), torch.empty(len(labels), dtype=torch.int64)
        failed = self._kernel(
            *[one.data_ptr() for one in (flat, own, inputs, labels, steps)],
            len(labels),
            self._codes.data_ptr(),
            len(self._codes),
            self._loss.kind != "distance",
            self._loss.j if self._loss.kind == "map" else float("inf"),
            losses.data_ptr(),
            right.data_ptr(),
        )
        if failed:
            raise MemoryError
        parts = torch.split(flat, [parameter.numel() for parameter in self._parameters])
        for parameter, moved in zip(self._parameters, parts, strict=True):
            parameter.copy_(moved.view(parameter.shape))
        return losses.tolist(), right.bool().tolist()


def single_images(
    recipe: Recipe, compute: Compute, model: nn.Module, optimizer: torch.optim.Optimizer
) -> SingleImages | None:
    """The fast way, where the recipe asks for what the kernel computes; else None, and torch does.

    That is: lenet5-1998 in the paper's shape, batch size 1, sdlm, float32 on the CPU, no moving
    average of the weights, and kernels not off.
    """
    loss = recipe.loss
    arguments = recipe.model.arguments
    others = arguments.keys() - _SIZES.keys() - {"classes", "codes"}
    if (
        recipe.model.name != "lenet5-1998"
        or others
        or any(arguments.get(name, size) != size for name, size in _SIZES.items())
        or recipe.batch_size != 1
        or not isinstance(optimizer, SDLM)
        or (compute.device, compute.precision) != ("cpu", "fp32")
        or recipe.kernels == "off"
        or recipe.averaging
        or loss.label_smoothing
        or recipe.growth.size
        or recipe.teachers.count
        or compute.fourier
    ):
        return None
    kernels = library.load()
    if kernels is None:
        return None
    kernel = kernels.function("lenet5_1998_steps", _ARGUMENTS, _WHOLE)
    return SingleImages(kernel, model, optimizer, loss)
