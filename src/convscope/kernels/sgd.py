"""A step of gradient descent for weights that have copies in bfloat16; `sgd.c` computes it."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from convscope.kernels.calls import address, call, openmp_team


class Halved(NamedTuple):
    """A weight with what moves it, all on the CPU, of one shape and in one dense order in memory.

    Attributes:
        weight, velocity: float32; both are written.
        gradient: bfloat16.
        half: the weight's copy in bfloat16; it is written.
    """

    weight: Tensor
    velocity: Tensor
    gradient: Tensor
    half: Tensor


class _Part(ctypes.Structure):
    """`struct sgd_part` of sgd.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in Halved._fields),
        ("count", ctypes.c_int64),
    ]


class _SGD(ctypes.Structure):
    """`struct sgd` of sgd.c."""

    _fields_ = [
        ("parts", ctypes.POINTER(_Part)),
        *((name, ctypes.c_int64) for name in ("count", "nesterov")),
        *((name, ctypes.c_float) for name in ("lr", "momentum", "decay")),
        ("team", ctypes.c_void_p),
    ]


def sgd(weights: Sequence[Halved], *, nesterov: bool, **rates: float) -> None:
    """Move every weight by its gradient, as torch.optim.SGD does without dampening.

    Args:
        weights: of which a velocity of zeros has not moved yet.
        nesterov: Nesterov's momentum.
        rates: lr, momentum, decay.
    """
    parts = (_Part * len(weights))(
        *(_Part(*map(address, one), one.weight.numel()) for one in weights)
    )
    call("sgd", _SGD(parts, len(weights), nesterov, **rates, team=openmp_team()))
