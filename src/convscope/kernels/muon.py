"""A step of Muon for all parameters of a network at once; `muon.c` computes it."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from convscope.kernels.calls import address, call


class _Part(ctypes.Structure):
    """`struct muon_part` of muon.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "gradient", "velocity")),
        *((name, ctypes.c_int64) for name in ("rows", "columns")),
        ("lr", ctypes.c_double),
    ]


class _Muon(ctypes.Structure):
    """`struct muon` of muon.c."""

    _fields_ = [
        ("parts", ctypes.POINTER(_Part)),
        *((name, ctypes.c_int64) for name in ("count", "nesterov")),
        *((name, ctypes.c_double) for name in ("momentum", "decay")),
    ]


@dataclass(frozen=True)
class Moved:
    """A parameter and what moves it: float32, contiguous, on the CPU.

    Attributes:
        weight, velocity: written. gradient: read.
        lr: of the step.
        turned: whether it is a matrix to be turned, of a row for each of its first dimension.
    """

    weight: Tensor
    gradient: Tensor
    velocity: Tensor
    lr: float
    turned: bool

    def part(self) -> _Part:
        """What the kernel is told of it."""
        rows = len(self.weight) if self.turned else 0
        columns = self.weight.numel() // (rows or 1)
        places = map(address, (self.weight, self.gradient, self.velocity))
        return _Part(*places, rows, columns, self.lr)


def muon(moved: Sequence[Moved], *, momentum: float, nesterov: bool, decay: float) -> None:
    """Move every weight by its gradient, as `training/muon.turn` does; `decay`: of the others."""
    parts = (_Part * len(moved))(*(one.part() for one in moved))
    call("muon", _Muon(parts, len(moved), nesterov, momentum, decay))
