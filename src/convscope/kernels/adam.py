"""A step of Adam or AdamW for all parameters of a network at once; `adam.c` computes it."""

import ctypes
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from convscope.kernels.calls import address, call


class _Part(ctypes.Structure):
    """`struct adam_part` of adam.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "gradient", "mean", "square", "steps")),
        ("count", ctypes.c_int64),
    ]


class _Adam(ctypes.Structure):
    """`struct adam` of adam.c."""

    _fields_ = [
        ("parts", ctypes.POINTER(_Part)),
        *((name, ctypes.c_int64) for name in ("count", "decoupled")),
        *((name, ctypes.c_double) for name in ("lr", "beta1", "beta2", "epsilon", "decay")),
    ]


def adam(parameters: Sequence[tuple[Tensor, ...]], *, decoupled: bool, **rates: Any) -> None:
    """Move every weight by its gradient.

    Args:
        parameters: for each its weight, gradient, running mean of the gradient and of its square,
            and number of steps made (one number); all float32, contiguous, on the CPU. All but
            the gradient are written.
        decoupled: weight decay as in AdamW.
        rates: lr, beta1, beta2, epsilon, decay.
    """
    parts = (_Part * len(parameters))(
        *(_Part(*map(address, tensors), tensors[0].numel()) for tensors in parameters)
    )
    call("adam", _Adam(parts, len(parameters), decoupled, **rates))
