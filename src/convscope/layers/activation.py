"""Activation functions, by name.

`monotone` says whether an activation keeps order. Max and min pooling then commute with it, so
a block may pool first and activate a quarter of the values.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.layers.spec import Spec, check_choice


def scaled_tanh(x: Tensor) -> Tensor:
    """1.7159·tanh(2x/3): f(1) ≈ 1, f(−1) ≈ −1, the most curved there (LeCun 1998, App. A)."""
    return 1.7159 * torch.tanh(x * (2 / 3))


def _identity(x: Tensor) -> Tensor:
    return x


_FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    # name: (function, monotone)
    "identity": (_identity, True),
    "tanh": (torch.tanh, True),
    "scaled-tanh": (scaled_tanh, True),
    "sigmoid": (torch.sigmoid, True),
    "relu": (F.relu, True),
    "leaky-relu": (F.leaky_relu, True),  # slope 0.01 below zero
    "elu": (F.elu, True),  # α = 1
    "gelu": (F.gelu, False),  # exact, by the error function
    "silu": (F.silu, False),
}

KINDS = tuple(_FUNCTIONS)


@dataclass(frozen=True)
class Activation(Spec, tag="activation"):
    """An activation by name: identity, tanh, scaled-tanh (1.7159·tanh(2x/3)), sigmoid, relu,
    leaky-relu (slope 0.01), elu (α = 1), gelu (exact) or silu.

    Raises:
        InputError: an unknown name.

    >>> Activation("tanh").monotone, Activation("gelu").monotone
    (True, False)
    """

    kind: str = "relu"

    def __post_init__(self) -> None:
        check_choice("activation", self.kind, KINDS)

    @property
    def monotone(self) -> bool:
        """Whether a larger input never gives a smaller output."""
        return _FUNCTIONS[self.kind][1]

    def build(self, channels: int = 1) -> "Activate":
        """The module; `channels` is not used (no activation here has parameters)."""
        del channels
        return Activate(self)


class Activate(nn.Module):
    """Applies an activation to a tensor of any shape."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self._function, self.monotone = _FUNCTIONS[activation.kind]

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        return self._function(x)

    def extra_repr(self) -> str:
        return self.activation.kind
