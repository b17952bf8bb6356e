"""Normalisation layers."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from convscope.layers.spec import Spec, check_choice, check_flag, check_number, check_whole

KINDS = ("local-response", "none")


@dataclass(frozen=True)
class Norm(Spec, tag="norm"):
    """A normalisation by name: `local-response` or `none`.

    Attributes:
        kind: `local-response` (Krizhevsky 2012, §3.3) or `none`.
        size: n, how many neighbouring maps are summed, 1 to 1024.
        k, alpha, beta: the constants of the formula, as in the paper.
        divide: divide alpha by n, as cuda-convnet and torch do; False is the paper's formula.

    Raises:
        InputError: an unknown kind, or a number out of range.
    """

    kind: str = "local-response"
    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    divide: bool = True

    def __post_init__(self) -> None:
        check_choice("normalisation", self.kind, KINDS)
        check_whole("normalisation size", self.size, 1)
        check_number("normalisation k", self.k, 1e-6, 1e6)
        check_number("normalisation alpha", self.alpha, 0, 1e6)
        check_number("normalisation beta", self.beta, 0, 100)
        check_flag("normalisation divide", self.divide)

    def build(self, channels: int = 1) -> nn.Module:
        """The module; `channels` is not used (it has no parameters)."""
        del channels
        if self.kind == "none":
            return nn.Identity()
        return LocalResponseNorm(
            self.size, k=self.k, alpha=self.alpha, beta=self.beta, divide=self.divide
        )


class LocalResponseNorm(nn.Module):
    """b_i = a_i / (k + α·Σ_j a_j²)^β, the sum over `size` neighbouring maps around i.

    Krizhevsky 2012, §3.3. The paper's formula does not divide α by the size; its program, and
    torch, do (`divide=True`): then this is torch.nn.LocalResponseNorm(size, alpha, beta, k).
    For an even size the window reaches one map further down (size/2) than up.
    """

    def __init__(
        self,
        size: int = 5,
        *,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        divide: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta
        self.divide = divide

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to the same shape."""
        alpha = self.alpha if self.divide else self.alpha * self.size
        return F.local_response_norm(x, self.size, alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return (
            f"{self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}, divide={self.divide}"
        )
