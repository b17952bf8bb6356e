"""Optimizers by name, and the moving average of the weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from convscope.training.recipe import Optimizer


def build_optimizer(choice: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a recipe, over `parameters`, with torch's fused kernels."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if choice.kind == "sgd":
        return torch.optim.SGD(
            trainable,
            lr=choice.lr,
            momentum=choice.momentum,
            nesterov=choice.nesterov,
            weight_decay=choice.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if choice.kind == "adam" else torch.optim.AdamW
    return kind(
        trainable,
        lr=choice.lr,
        betas=choice.betas,
        eps=choice.epsilon,
        weight_decay=choice.weight_decay,
        fused=True,
    )


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992, exponential form).

    average ← decay × average + (1 − decay) × weights after each step. For the first steps the
    decay is held to (1 + t) / (10 + t), so that the random start is forgotten. Buffers (running
    statistics) are copied, not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {key: value.clone() for key, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        trained = {name for name, _ in model.named_parameters()}
        for key, value in model.state_dict().items():
            if key in trained and value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """A context in which `model` holds the averaged weights."""
        trained = {key: value.clone() for key, value in model.state_dict().items()}
        model.load_state_dict(self.state)
        try:
            yield
        finally:
            model.load_state_dict(trained)
