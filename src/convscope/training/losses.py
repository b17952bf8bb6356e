"""Losses by name, on scores of which the largest wins."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from convscope.layers.rbf import map_loss, mean_penalty_loss
from convscope.training.recipe import Loss

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(choice: Loss) -> LossFunction:
    """The loss of a recipe: (scores N × classes, labels N) → mean over the batch."""
    if choice.kind == "map":
        return lambda scores, labels: map_loss(scores, labels, j=choice.j)
    if choice.kind == "distance":
        return mean_penalty_loss
    smoothing = choice.label_smoothing
    return lambda scores, labels: F.cross_entropy(scores, labels, label_smoothing=smoothing)
