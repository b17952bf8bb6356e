"""`Pool`: every pooling by name, as a spec; and the one trick that makes pooling cheap."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.activation import Activate
from convscope.layers.pool_variants import BlurPool, MixedPool, StochasticPool
from convscope.layers.pools import (
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    MinPool,
    Subsampling,
)
from convscope.layers.spec import (
    Spec,
    check_choice,
    check_flag,
    check_number,
    check_pair,
    check_sides,
    check_whole,
)
from convscope.layers.windows import Grid, Padding, Pair, grid
from convscope.shapes import PADDINGS

_WINDOW = ("kernel", "stride", "padding", "ceil", "dilation")
_SETTINGS: dict[str, tuple[str, ...]] = {
    # kind: the settings it uses
    "max": _WINDOW,
    "min": _WINDOW,
    "average": (*_WINDOW, "count_padding"),
    "l2": _WINDOW,
    "lp": (*_WINDOW, "p"),
    "stochastic": _WINDOW,
    "mixed": (*_WINDOW, "mix", "learned"),
    "subsampling": _WINDOW,
    "blur": ("kernel", "stride", "padding", "dilation", "blur"),
    "global-average": (),
    "global-max": (),
    "none": (),
}

KINDS = tuple(_SETTINGS)


@dataclass(frozen=True)
class Pool(Spec, tag="pool"):
    """A pooling layer by name.

    Attributes:
        kind: `max`, `min`, `average`, `l2`, `lp`, `stochastic` (Zeiler & Fergus 2013), `mixed`
            (max and average, Lee et al. 2016), `subsampling` (LeNet's, trainable), `blur`
            (anti-aliased max, Zhang 2019), `global-average`, `global-max` or `none`.
        kernel: one number or (rows, columns), 1 to 1024.
        stride: as `kernel`; None is side by side (stride = kernel). Smaller strides overlap.
        padding: `valid` or 0, `same`, `full`, one number, or (left, right, top, bottom); smaller
            than the window. Max pads with −∞, min with +∞; for the rest see the modules.
        ceil: keep a last window that hangs over the end, if it starts inside the input.
        dilation: distance of the elements inside a window.
        count_padding: `average` only: padding counts as zeros in the mean.
        p: `lp` only, 1 to 64.
        mix: `mixed` only: the share of the maximum at the start, 0 to 1.
        learned: `mixed` only: whether that share is learned.
        blur: `blur` only: taps of its filter, 2 to 15.

    Raises:
        InputError: an unknown kind, a value out of range, or a setting its kind does not use.

    >>> Pool("max", kernel=3, stride=2).to_json()["stride"]
    2
    >>> Pool("max", p=3)
    Traceback (most recent call last):
    convscope.errors.InputError: 'max' pooling does not use p (only lp does); leave it out
    """

    kind: str = "max"
    kernel: Pair = 2
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False
    dilation: Pair = 1
    count_padding: bool = False
    p: float = 2.0
    mix: float = 0.5
    learned: bool = True
    blur: int = 3

    def __post_init__(self) -> None:
        check_choice("pooling", self.kind, KINDS)
        check_pair("pooling kernel", self.kernel, 1)
        check_pair("pooling dilation", self.dilation, 1)
        if self.stride is not None:
            check_pair("pooling stride", self.stride, 1)
        for name in ("ceil", "count_padding", "learned"):
            check_flag(f"pooling {name}", getattr(self, name))
        check_number("pooling p", self.p, 1, 64)
        check_number("pooling mix", self.mix, 0, 1)
        check_whole("pooling blur", self.blur, 2, 15)
        if self.kind == "mixed" and self.learned and self.mix in (0, 1):
            raise InputError(f"pooling mix is {self.mix}; to learn it, start between 0 and 1")
        self._check_padding()
        self._check_used()

    def _check_padding(self) -> None:
        if isinstance(self.padding, str):
            check_choice("padding", self.padding, PADDINGS)
            return
        check_sides("pooling padding", self.padding)
        rows, columns = self.grid()
        for axis in (rows, columns):
            amounts = axis.padding if isinstance(axis.padding, tuple) else (axis.padding,)
            if any(int(amount) >= axis.effective_kernel for amount in amounts):
                raise InputError(
                    f"pooling padding is {self.padding} for a window of {axis.effective_kernel}; "
                    f"allowed: at most {axis.effective_kernel - 1}, or a window would see "
                    "nothing else"
                )

    def _check_used(self) -> None:
        used = _SETTINGS[self.kind]
        for field in fields(self)[1:]:
            name = field.name
            if name not in used and getattr(self, name) != field.default:
                users = [kind for kind, names in _SETTINGS.items() if name in names]
                why = f"only {', '.join(users)} does" if used else "it has no window"
                raise InputError(f"'{self.kind}' pooling does not use {name} ({why}); leave it out")

    def grid(self) -> Grid:
        """Its windows, along rows and columns."""
        return grid(self.kernel, self.stride, self.padding, self.dilation, self.ceil)

    def build(self, channels: int, *, generator: torch.Generator | None = None) -> nn.Module:
        """The module for `channels` maps.

        `generator` is `stochastic` pooling's source of randomness; None is torch's global one.
        """
        window = self.grid()
        match self.kind:
            case "max":
                return MaxPool(window)
            case "min":
                return MinPool(window)
            case "average":
                return AveragePool(window, count_padding=self.count_padding)
            case "l2" | "lp":
                return LpPool(window, p=self.p)
            case "stochastic":
                return StochasticPool(window, generator=generator)
            case "mixed":
                return MixedPool(window, mix=self.mix, learned=self.learned)
            case "subsampling":
                return Subsampling(channels, window)
            case "blur":
                return BlurPool(window, size=self.blur)
            case "global-average":
                return GlobalAveragePool()
            case "global-max":
                return GlobalMaxPool()
        return nn.Identity()


def activate_and_pool(x: Tensor, activation: nn.Module, pool: nn.Module) -> Tensor:
    """`pool(activation(x))`, pooling first where that gives the same and nobody looks.

    Max and min pooling commute with a monotone activation, so activating after pooling gives the
    same values on a fraction of the work, and the same gradients except where two inputs of a
    window differ but their activations round to one number. A hook in evaluation gets the
    published order, and so sees the network's own layers.
    """
    commute = isinstance(activation, Activate) and activation.monotone
    watched = bool(activation._forward_hooks or pool._forward_hooks) and not pool.training
    if commute and not watched and getattr(pool, "keeps_order", False):
        first, second = pool, activation
    else:
        first, second = activation, pool
    result: Tensor = second(first(x))
    return result
