"""Muon: momentum made orthogonal, for the weight matrices inside a network.

K. Jordan et al.: Muon, an optimizer for hidden layers in neural networks, 2024; in the form that
its authors use for small images (cifar10-airbench, `airbench94_muon.py`): a matrix keeps its norm,
and a step turns it. All directions of a gradient are taken equally far, also those that its
largest singular values would drown out.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Of the quintic iteration x ← a·x + b·x³ + c·x⁵, which brings singular values near 1 quickly."""
ROUNDS = 3
"""Of that iteration, as in airbench: singular values need not be exactly 1."""


def orthogonalised(
    matrix: Tensor, rounds: int = ROUNDS, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """The nearest matrix with singular values of about 1, of the shape and type of `matrix`.

    Newton and Schulz's iteration: each round takes three matrix products of the shorter side. It
    bears being computed in bfloat16, as its authors do.
    """
    tall = len(matrix) > matrix.shape[1]
    wide = (matrix.T if tall else matrix).to(dtype)
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(rounds):
        square = wide @ wide.T
        wide = _A * wide + (_B * square + _C * square @ square) @ wide
    result: Tensor = (wide.T if tall else wide).to(matrix.dtype)
    return result


def hidden_matrices(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Weights of two dimensions or more, without the first and the last layer's."""
    return [parameter for parameter in parameters if parameter.ndim >= 2][1:-1]


def velocity_of(weight: Tensor, state: dict[str, Any]) -> Tensor:
    """What `state` holds of it between steps, where torch's SGD holds its own; at first zeros."""
    if state.get("momentum_buffer") is None:
        state["momentum_buffer"] = torch.zeros_like(weight)
    found: Tensor = state["momentum_buffer"]
    return found


@torch.no_grad()
def turn(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """One step of one weight, in place; a convolution's is a matrix of a row for each map.

        v ← μv + g;   W ← W · √rows / ‖W‖ − lr · orthogonalised(g + μv)    (or of v)

    Args:
        weight: float32, two dimensions or more. gradient: of its shape.
        state: holds the velocity v between steps.
        group: `lr`, `matrix_share` (of lr, for matrices), `momentum`, `nesterov`, and `dtype` of
            the iteration.
    """
    velocity = velocity_of(weight, state).mul_(group["momentum"]).add_(gradient)
    step = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
    weight.mul_(len(weight) ** 0.5 / (weight.norm() + 1e-7))
    lr = group["lr"] * group["matrix_share"]
    turned = orthogonalised(step.flatten(1), dtype=group["dtype"])
    weight.add_(turned.view_as(weight), alpha=-lr)
