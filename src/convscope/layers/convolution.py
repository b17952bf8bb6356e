"""Convolution with every padding, in groups, or with a connection table between maps."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.fourier import fourier_convolution
from convscope.layers.padding import Pad, check_border, is_plain, pad_sides, padding_sides
from convscope.layers.windows import Pair, pair

Table = tuple[tuple[int, ...], ...]
"""For each output map, the input maps it sees, in ascending order."""

LENET5_C3: Table = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
"""LeNet-5's C3: which of the six S2 maps each C3 map sees (LeCun 1998, Table I): 60 links."""


class Convolution(nn.Module):
    """Two-dimensional convolution (cross-correlation, as everywhere in the field).

    With `table`, only the listed pairs of maps are connected, and only their kernels exist:
    `weight` is links × kernel rows × kernel columns, in the order of the table, so the parameter
    count and the state dict hold just these. A dense weight is assembled at each forward.
    Without it `weight` is `out_maps` × `in_maps`/`groups` × kernel rows × kernel columns.

    Args:
        in_maps, out_maps: input and output channels.
        kernel, stride, dilation: one number or (rows, columns).
        pad: how the input is padded.
        groups: the maps are split into this many groups that do not see each other.
        table: for each output map, the input maps it sees, ascending; excludes groups.
        bias: whether each output map has one.

    Attributes:
        fourier: compute by spectra (`fourier.py`), where `can_use_fourier`; the same sums in
            another order, a choice of speed alone.
        spectra_kernels: let `kernels/spectra.py` compute those, where it can.

    Raises:
        InputError: groups that do not divide the maps, or a table that does not fit them.
    """

    link_index: Tensor

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        kernel: Pair,
        *,
        stride: Pair = 1,
        pad: Pad = Pad(),
        dilation: Pair = 1,
        groups: int = 1,
        table: Sequence[Sequence[int]] | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_maps, self.out_maps, self.groups, self.pad = in_maps, out_maps, groups, pad
        self.kernel, self.stride, self.dilation = pair(kernel), pair(stride), pair(dilation)
        self.grid = pad.grid(kernel, stride, dilation)
        self.fourier = self.spectra_kernels = False
        self.table: Table | None = None
        if table is None:
            _check_groups(in_maps, out_maps, groups)
            self.weight = nn.Parameter(torch.empty(out_maps, in_maps // groups, *self.kernel))
        else:
            self.table = _checked_table(table, in_maps, out_maps, groups)
            links = [o * in_maps + i for o, seen in enumerate(self.table) for i in seen]
            self.weight = nn.Parameter(torch.empty(len(links), *self.kernel))
            self.register_buffer("link_index", torch.tensor(links), persistent=False)
        self.bias = nn.Parameter(torch.empty(out_maps)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√fan-in, kernels and biases, from torch's global generator."""
        start = 0
        for o, fan_in in enumerate(self.fan_in()):
            bound = 1 / math.sqrt(fan_in)
            count = 1 if self.table is None else len(self.table[o])
            first = o if self.table is None else start
            nn.init.uniform_(self.weight.data[first : first + count], -bound, bound)
            start += count
            if self.bias is not None:
                nn.init.uniform_(self.bias.data[o : o + 1], -bound, bound)

    def fan_in(self) -> list[int]:
        """For each output map, how many inputs one of its units sees (the bias not counted)."""
        area = math.prod(self.kernel)
        if self.table is not None:
            return [len(seen) * area for seen in self.table]
        return [self.in_maps // self.groups * area] * self.out_maps

    def dense_weight(self) -> Tensor:
        """out × in/groups × kernel rows × kernel columns, zero where the table has no link."""
        if self.table is None:
            return self.weight
        pairs = self.weight.new_zeros(self.out_maps * self.in_maps, *self.kernel)
        return pairs.index_copy(0, self.link_index, self.weight).view(
            self.out_maps, self.in_maps, *self.kernel
        )

    @property
    def is_plain(self) -> bool:
        """Whether it has no stride, dilation or groups; it may have a table."""
        return self.stride == (1, 1) and self.dilation == (1, 1) and self.groups == 1

    @property
    def can_use_fourier(self) -> bool:
        """Whether spectra could do it: every step, every map to every map."""
        return self.is_plain and self.table is None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what comes out.

        Raises:
            InputError: the window does not fit, or the border cannot be filled.
        """
        check_border(height, width, padding_sides(height, width, self.grid), self.pad.mode)
        return self.grid.output(height, width)

    def forward(self, x: Tensor) -> Tensor:
        """N × in_maps × H × W to N × out_maps × H' × W'.

        Raises:
            InputError: the window does not fit, or the border cannot be filled.
        """
        height, width = x.shape[-2:]
        self.output_size(height, width)  # says in words what does not fit
        sides = padding_sides(height, width, self.grid)
        left, _, top, _ = sides
        padding = (top, left)
        if not is_plain(sides, self.pad):
            x, padding = pad_sides(x, sides, self.pad), (0, 0)
        if self.fourier:
            result = fourier_convolution(
                x.to(self.weight.dtype), self.weight, padding, kernels=self.spectra_kernels
            )
            return result if self.bias is None else result + self.bias.view(-1, 1, 1)
        return F.conv2d(
            x, self.dense_weight(), self.bias, self.stride, padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        links = "" if self.table is None else f", links={len(self.weight)}"
        groups = "" if self.groups == 1 else f", groups={self.groups}"
        return (
            f"{self.in_maps}, {self.out_maps}, kernel={self.kernel}, stride={self.stride}, "
            f"padding={self.pad.kind}{groups}{links}"
        )


def table_text(table: Sequence[Sequence[int]] = LENET5_C3, in_maps: int = 6) -> str:
    """A connection table as text: a row for each input map, a column for each output map.

    >>> print(table_text(((0, 1), (1, 2), (0, 2)), in_maps=3))
         0  1  2
      0  X     X
      1  X  X
      2     X  X
    """
    lines = ["   " + "".join(f"{column:3d}" for column in range(len(table)))]
    for row in range(in_maps):
        marks = "".join("  X" if row in seen else "   " for seen in table)
        lines.append(f"{row:3d}{marks}".rstrip())
    return "\n".join(lines)


def _check_groups(in_maps: int, out_maps: int, groups: int) -> None:
    if groups < 1 or in_maps % groups or out_maps % groups:
        raise InputError(
            f"{groups} groups cannot split {in_maps} input and {out_maps} output maps; "
            f"allowed: divisors of {math.gcd(in_maps, out_maps)}"
        )


def _checked_table(
    table: Sequence[Sequence[int]], in_maps: int, out_maps: int, groups: int
) -> Table:
    if groups != 1:
        raise InputError(f"a connection table is given with {groups} groups; use one or the other")
    if len(table) != out_maps:
        raise InputError(
            f"the connection table has {len(table)} entries for {out_maps} output maps; "
            "give one for each"
        )
    for number, seen in enumerate(table):
        if not seen or list(seen) != sorted(set(seen)) or seen[0] < 0 or seen[-1] >= in_maps:
            raise InputError(
                f"entry {number} of the connection table is {list(seen)}; allowed: different "
                f"input maps from 0 to {in_maps - 1}, at least one, in ascending order"
            )
    return tuple(tuple(seen) for seen in table)
