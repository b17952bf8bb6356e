"""Mixed precision: bf16 for the arithmetic, float32 for what must not be rounded.

The weights that the optimizer moves are float32 (the masters). Convolutions and matrix products
use copies of them in bf16, made anew after each update; everything else (normalisation, its
running statistics, loss, optimizer) stays float32 (Micikevicius et al. 2018, arXiv:1710.03740,
section 3.1; bf16 has float32's range, so no loss scaling is needed, Kalamkar et al. 2019,
arXiv:1905.12322). torch.autocast alone computes the same, but converts every weight and every
gradient at each step into fresh memory.
"""

import copy

import torch
from torch import nn

from convscope.layers.convolution import Convolution
from convscope.training.optimizers import HalvesSGD

HALVED = (Convolution, nn.Conv2d, nn.Linear)
"""Modules whose parameters are copied in bf16."""


def half_copy(model: nn.Module) -> nn.Module:
    """A network that computes like `model`, with bf16 copies of the weights of `HALVED` modules.

    All other modules are the very same objects as in `model`, buffers included.
    """
    shared = {
        id(module): module
        for module in model.modules()
        if not isinstance(module, HALVED) and not list(module.children())
    }
    twin = copy.deepcopy(model, dict(shared))
    for module in twin.modules():
        if isinstance(module, HALVED):
            module.to(torch.bfloat16)
    return twin


class HalfWeights:
    """A network's bf16 twin and the way back from its gradients to the float32 masters.

    Attributes:
        network: what computes; call it under autocast.
    """

    def __init__(self, model: nn.Module) -> None:
        self.network = half_copy(model)
        pairs = zip(model.parameters(), self.network.parameters(), strict=True)
        self._pairs = [(master, half) for master, half in pairs if master is not half]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the masters' values."""
        for master, half in self._pairs:
            half.copy_(master)

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One update of all masters by the twin's gradients, which are used up.

        First the parameters that are shared, then the masters: all in one pass, if the optimizer
        can, or else one at a time, so that no more than one gradient stands in float32. An
        optimizer passes over parameters without one.
        """
        optimizer.step()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        if isinstance(optimizer, HalvesSGD):
            optimizer.step_halves(self._pairs)
            return
        for master, half in self._pairs:
            if half.grad is None:
                continue
            master.grad, half.grad = half.grad.float(), None
            optimizer.step()
            master.grad = None
            half.copy_(master)
