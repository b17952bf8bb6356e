"""The pooling modules, for any network. N × C × H × W in, N × C × H' × W' out.

Each takes `window`, made by `windows.grid(kernel, stride, padding, dilation, ceil)`.
`Pool` in `pooling.py` names them all and builds them.

Drawn on one row, a window of 2 with stride 2 sees pairs; a window of 3 with stride 2 overlaps:

    1 2 3 4 5 6        1 2 3 4 5
    [-] [-] [-]        [---]
                           [---]

>>> x = torch.tensor([[[[1.0, 5.0, 2.0, 4.0]]]])
>>> window = grid((1, 2))
>>> MaxPool(window)(x).tolist(), AveragePool(window)(x).tolist()
([[[[5.0, 4.0]]]], [[[[3.0, 3.0]]]])
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.layers.windows import (
    Grid,
    check_windows,
    count_windows,
    exact_sides,
    grid,
    native_padding,
    sum_windows,
)


class PoolModule(nn.Module):
    """What every pooling module has.

    Attributes:
        grids: the windows it applies, in order (two for blur pooling), for shapes and fields.
        keeps_order: pooling the values of a monotone activation equals activating the pooled
            values (max and min pooling).
    """

    keeps_order = False

    def __init__(self, window: Grid) -> None:
        super().__init__()
        self.window = window

    def grids(self, height: int, width: int) -> tuple[Grid, ...]:
        """The windows that an input of this size meets, in order."""
        del height, width
        return (self.window,)

    def check(self, height: int, width: int) -> None:
        """Raise InputError if an input of this size cannot be pooled."""
        check_windows(height, width, self.window)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what comes out; raises InputError as `check` does."""
        self.check(height, width)
        for window in self.grids(height, width):
            height, width = window.output(height, width)
        return height, width

    def extra_repr(self) -> str:
        rows, columns = self.window
        text = f"kernel=({rows.kernel}, {columns.kernel}), stride=({rows.stride}, {columns.stride})"
        if rows.padding or columns.padding:
            text += f", padding=({rows.padding}, {columns.padding})"
        return text + (", ceil" if rows.ceil else "")


class MaxPool(PoolModule):
    """The largest value of each window; the padding is −∞."""

    keeps_order = True

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        height, width = x.shape[-2:]
        self.check(height, width)
        rows, columns = self.window
        kernel, stride = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
        dilation = (rows.dilation, columns.dilation)
        padding = native_padding(height, width, self.window)
        if padding is not None:
            return F.max_pool2d(x, kernel, stride, padding, dilation, rows.ceil)
        x = F.pad(x, exact_sides(height, width, self.window), value=-math.inf)
        return F.max_pool2d(x, kernel, stride, 0, dilation)


class MinPool(MaxPool):
    """The smallest value of each window; the padding is +∞."""

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        return -super().forward(-x)


class AveragePool(PoolModule):
    """The mean of each window.

    Args:
        window: the windows.
        count_padding: whether padding counts as zeros in the mean. What a ceil-mode window sees
            beyond the padding never counts.
    """

    def __init__(self, window: Grid, *, count_padding: bool = False) -> None:
        super().__init__(window)
        self.count_padding = count_padding

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        height, width = x.shape[-2:]
        self.check(height, width)
        rows, columns = self.window
        padding = native_padding(height, width, self.window)
        if padding is None or not rows.dilation == columns.dilation == 1:
            counts = count_windows(x, self.window, padding_counts=self.count_padding)
            return sum_windows(x, self.window) / counts
        kernel, stride = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
        return F.avg_pool2d(x, kernel, stride, padding, rows.ceil, self.count_padding)


class LpPool(PoolModule):
    """The Lp norm of each window, (Σ |x|^p)^(1/p); p = 1 sums magnitudes, a large p nears max.

    The gradient of a window of zeros is zero.

    Args:
        window: the windows.
        p: ≥ 1.
    """

    def __init__(self, window: Grid, *, p: float = 2.0) -> None:
        super().__init__(window)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        self.check(x.shape[2], x.shape[3])
        total = sum_windows(x * x if self.p == 2 else x.abs() ** self.p, self.window)
        positive = total > 0
        root = torch.where(positive, total, 1.0) ** (1 / self.p)
        return torch.where(positive, root, 0.0)


class Subsampling(PoolModule):
    """LeNet's: (sum of the window) × coefficient + bias, one of each a map (LeCun 1998, §II-B).

    The squashing function that follows is a layer of its own. Starts as the average: coefficient
    1/area, bias 0.

    Args:
        channels: the number of maps.
        window: the windows; padding counts as zeros.
    """

    def __init__(self, channels: int, window: Grid) -> None:
        super().__init__(window)
        self.channels = channels
        self.weight = nn.Parameter(torch.full((channels,), 1 / window.area))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        self.check(x.shape[2], x.shape[3])
        return sum_windows(x, self.window) * self.weight[:, None, None] + self.bias[:, None, None]


class GlobalAveragePool(PoolModule):
    """The mean of each whole map: N × C × H × W to N × C × 1 × 1."""

    def __init__(self) -> None:
        super().__init__(grid(1))

    def grids(self, height: int, width: int) -> tuple[Grid, ...]:
        """One window as large as the map."""
        return (grid((height, width)),)

    def check(self, height: int, width: int) -> None:
        """Any size can be pooled."""

    def forward(self, x: Tensor) -> Tensor:
        """The mean over height and width."""
        return x.mean(dim=(2, 3), keepdim=True)

    def extra_repr(self) -> str:
        return ""


class GlobalMaxPool(GlobalAveragePool):
    """The largest value of each whole map: N × C × H × W to N × C × 1 × 1."""

    keeps_order = True

    def forward(self, x: Tensor) -> Tensor:
        """The maximum over height and width."""
        return F.adaptive_max_pool2d(x, 1)
