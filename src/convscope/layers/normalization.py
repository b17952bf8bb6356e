"""Normalisation layers.

Across maps, what local response normalisation divides map 3 by (size 5):

    maps     1 2 3 4 5 6
    summed  [----+----]
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.spec import Spec, check_choice, check_flag, check_number, check_whole
from convscope.layers.windows import Grid, grid, sum_windows

_RESPONSE = ("size", "k", "alpha", "beta", "divide")
_SETTINGS: dict[str, tuple[str, ...]] = {
    # kind: the settings it uses
    "local-response": (*_RESPONSE, "groups"),
    "within-map": _RESPONSE,
    "batch": ("eps", "momentum"),
    "none": (),
}

KINDS = tuple(_SETTINGS)


@dataclass(frozen=True)
class Norm(Spec, tag="norm"):
    """A normalisation by name.

    Attributes:
        kind: `local-response` (Krizhevsky 2012, §3.3), `within-map` (the extra one of its
            program), `batch` (Ioffe & Szegedy 2015) or `none`.
        size: n, how many neighbouring maps are summed, 1 to 1024; `within-map`: the side of the
            square that is summed.
        k, alpha, beta: the constants of the formula; by default those of the paper. The
            program's normalisation within a map has k 1 and alpha 1e-3.
        divide: divide alpha by how many values are summed (n, or n² within a map), as
            cuda-convnet and torch do; False is the paper's formula.
        groups: `local-response` only: the maps are split into this many groups, and sums stay
            inside a group, as in a network of columns.
        eps, momentum: `batch` only, as in torch.

    Raises:
        InputError: an unknown kind, a number out of range, or a setting its kind does not use.

    >>> Norm("batch", momentum=0.05).build(8).momentum
    0.05
    """

    kind: str = "local-response"
    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    divide: bool = True
    groups: int = 1
    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        check_choice("normalisation", self.kind, KINDS)
        check_whole("normalisation size", self.size, 1)
        check_number("normalisation k", self.k, 1e-6, 1e6)
        check_number("normalisation alpha", self.alpha, 0, 1e6)
        check_number("normalisation beta", self.beta, 0, 100)
        check_flag("normalisation divide", self.divide)
        check_whole("normalisation groups", self.groups, 1)
        check_number("normalisation eps", self.eps, 1e-12, 1)
        check_number("normalisation momentum", self.momentum, 0, 1)
        self._check_used()

    def _check_used(self) -> None:
        used = _SETTINGS[self.kind]
        for field in fields(self)[1:]:
            name = field.name
            if name not in used and getattr(self, name) != field.default:
                users = [kind for kind, names in _SETTINGS.items() if name in names]
                raise InputError(
                    f"normalisation '{self.kind}' does not use {name} (only {', '.join(users)} "
                    f"{'does' if len(users) == 1 else 'do'}); leave it out"
                )

    def build(self, channels: int = 1) -> nn.Module:
        """The module for `channels` maps.

        Raises:
            InputError: `groups` that do not divide the maps.
        """
        constants = {"k": self.k, "alpha": self.alpha, "beta": self.beta}
        match self.kind:
            case "local-response":
                if channels % self.groups:
                    raise InputError(
                        f"normalisation in {self.groups} groups cannot split {channels} maps; "
                        f"allowed: divisors of {channels}"
                    )
                return LocalResponseNorm(
                    self.size, **constants, divide=self.divide, groups=self.groups
                )
            case "within-map":
                return WithinMapNorm(self.size, **constants, divide=self.divide)
            case "batch":
                return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)
        return nn.Identity()


class LocalResponseNorm(nn.Module):
    """b_i = a_i / (k + α·Σ_j a_j²)^β, the sum over `size` neighbouring maps around i.

    Krizhevsky 2012, §3.3. The paper's formula does not divide α by the size; its program, and
    torch, do (`divide=True`): then this is torch.nn.LocalResponseNorm(size, alpha, beta, k).
    For an even size the window reaches one map further down (size/2) than up.

    The program runs it in each column alone: maps of another group are not summed (`groups`).
    Sums are taken in float32 at least, whatever the type of the input.
    """

    def __init__(
        self,
        size: int = 5,
        *,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        divide: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta
        self.divide, self.groups = divide, groups

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to the same shape."""
        if self.groups > 1:
            return torch.cat([self._normalise(part) for part in x.chunk(self.groups, 1)], 1)
        return self._normalise(x)

    def _normalise(self, x: Tensor) -> Tensor:
        squares = _squares(x)
        border = (0, 0, 0, 0, self.size // 2, (self.size - 1) // 2)
        total = _sum_neighbours(F.pad(squares, border), self.size)
        alpha = self.alpha / self.size if self.divide else self.alpha
        return _respond(x, total, self.k, alpha, self.beta)

    def extra_repr(self) -> str:
        groups = "" if self.groups == 1 else f", groups={self.groups}"
        return (
            f"{self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}, "
            f"divide={self.divide}{groups}"
        )


class WithinMapNorm(nn.Module):
    """b = a / (k + α·Σ a²)^β, the sum over the `size` × `size` square around a in its own map.

    cuda-convnet's layer of type `rnorm` ("local response normalization layer (same map)"; the
    program of Krizhevsky 2012 has one in each column before its second pooling, size 5, scale
    1e-3, pow 0.75: layers-145.cfg of its published source). There k is 1, α is divided by size²
    (`divide=True`), and outside the map there is nothing. For an even size the square reaches
    one row and column further up and left (size/2) than down and right.

    It differs from cuda-convnet's contrast normalisation (`cnorm`) in that no mean is taken off.
    """

    def __init__(
        self,
        size: int = 5,
        *,
        k: float = 1.0,
        alpha: float = 1e-3,
        beta: float = 0.75,
        divide: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta
        self.divide = divide
        before, after = size // 2, (size - 1) // 2
        self.window: Grid = grid(size, 1, (before, after, before, after))

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to the same shape."""
        total = sum_windows(_squares(x), self.window)
        alpha = self.alpha / self.window.area if self.divide else self.alpha
        return _respond(x, total, self.k, alpha, self.beta)

    def extra_repr(self) -> str:
        return (
            f"{self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}, divide={self.divide}"
        )


def _squares(x: Tensor) -> Tensor:
    """x² in float32, or in float64 if `x` is."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x * x


def _respond(x: Tensor, total: Tensor, k: float, alpha: float, beta: float) -> Tensor:
    """x / (k + α·total)^β in the type of `x`."""
    return (x * (total * alpha + k) ** -beta).to(x.dtype)


def _sum_neighbours(x: Tensor, size: int) -> Tensor:
    """Sums of `size` neighbouring maps: N × C × H × W to N × (C − size + 1) × H × W.

    Pairs are added to pairs, so 5 = 4 + 1 takes three additions; torch's own normalisation runs
    a three-dimensional average, several times slower on a CPU.
    """
    maps = x.shape[1] - size + 1
    total: Tensor | None = None
    start, width = 0, 1  # x holds sums of `width` maps; `start` maps are in the total
    while True:
        if size & width:
            part = x.narrow(1, start, maps)
            total = part if total is None else total + part
            start += width
        if 2 * width > size:
            break
        left = x.shape[1] - width
        x = x.narrow(1, 0, left) + x.narrow(1, width, left)
        width *= 2
    assert total is not None  # size ≥ 1 has a highest bit
    return total


class UnitNorm(nn.BatchNorm1d):
    """Batch normalisation of fully connected units, N × units (Ioffe & Szegedy 2015).

    A batch of one image, such as the last of an epoch may be, has no deviation: it is normalised
    by the running statistics, and does not change them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """N × units to the same shape."""
        if self.training and len(x) == 1:
            weight, bias = self.weight, self.bias
            return F.batch_norm(
                x, self.running_mean, self.running_var, weight, bias, False, 0.0, self.eps
            )
        return super().forward(x)
