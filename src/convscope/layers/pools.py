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

from convscope.errors import InputError
from convscope.layers.windows import (
    Grid,
    check_windows,
    count_windows,
    exact_sides,
    grid,
    native_padding,
    sum_windows,
    unfold_windows,
)
from convscope.shapes import Window


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


class StochasticPool(PoolModule):
    """Samples one value of each window by its share of the window's sum (Zeiler & Fergus 2013).

    In training the value x_i is drawn with probability x_i/Σx; in evaluation the output is the
    mean under these probabilities, Σ x_i²/Σx. The paper pools rectified values. For others,
    max(x, 0) gives the probabilities, and a window without a positive value is drawn from
    uniformly: our choice.

    Args:
        window: the windows.
        generator: the source of randomness; None is torch's global generator, which a training
            loop seeds.
    """

    def __init__(self, window: Grid, *, generator: torch.Generator | None = None) -> None:
        super().__init__(window)
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        self.check(x.shape[2], x.shape[3])
        values = unfold_windows(x, self.window, fill=-math.inf)
        inside = values > -math.inf
        values = values.where(inside, 0.0)
        weights = values.clamp(min=0)
        weights = weights.where((weights > 0).any(dim=-1, keepdim=True), inside.to(x.dtype))
        if not self.training:
            return (values * weights).sum(-1) / weights.sum(-1)
        return values.gather(-1, self._sample(weights.detach())).squeeze(-1)

    def _sample(self, weights: Tensor) -> Tensor:
        """An index into the last axis for each window, with probability as its weight."""
        cumulative = weights.cumsum(dim=-1)
        total = cumulative[..., -1:]
        uniform = torch.rand(
            total.shape, generator=self.generator, dtype=weights.dtype, device=weights.device
        )
        # Rounding must not reach the total, or an index past the last weight could be chosen.
        point = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
        return (cumulative <= point).sum(dim=-1, keepdim=True)


class MixedPool(PoolModule):
    """a·max + (1 − a)·average, one proportion a for the layer (Lee, Gallagher & Tu 2016, §3.1).

    The paper learns a by gradient descent; here its logit is the parameter, so that a stays
    between 0 and 1: our choice.

    Args:
        window: the windows; padding counts neither in the maximum nor in the mean.
        mix: a at the start, 0 < a < 1 if learned, else 0 ≤ a ≤ 1.
        learned: whether a is a parameter.
    """

    logit: nn.Parameter

    def __init__(self, window: Grid, *, mix: float = 0.5, learned: bool = True) -> None:
        super().__init__(window)
        self.maximum, self.average = MaxPool(window), AveragePool(window)
        self.start, self.learned = mix, learned
        if learned:
            if not 0 < mix < 1:
                raise InputError(f"mix is {mix}; allowed: between 0 and 1, both excluded, to learn")
            self.logit = nn.Parameter(torch.tensor(math.log(mix / (1 - mix))))

    @property
    def mix(self) -> Tensor | float:
        """The share a of the maximum."""
        return torch.sigmoid(self.logit) if self.learned else self.start

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit or sees nothing but padding."""
        average: Tensor = self.average(x)
        maximum: Tensor = self.maximum(x)
        return average + self.mix * (maximum - average)


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


class BlurPool(PoolModule):
    """Anti-aliased max pooling: maximum with stride 1, then a binomial blur with the stride.

    Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", §3.2. The blur's border is
    reflected. For an even filter the extra element of the border is at the end.

    Args:
        window: the windows of the pooling it replaces; their stride is the blur's.
        size: taps of the filter in each direction: 2 is 1 1, 3 is 1 2 1, 5 is 1 4 6 4 1.
    """

    taps: Tensor

    def __init__(self, window: Grid, *, size: int = 3) -> None:
        super().__init__(window)
        rows, columns = window
        self.size = size
        maximum = Grid(*(Window(w.kernel, 1, w.dilation, w.padding, w.ceil) for w in window))
        self.maximum = MaxPool(maximum)
        before = (size - 1) // 2
        border = (before, size - 1 - before)
        self.blur = Grid(
            Window(size, rows.stride, padding=border), Window(size, columns.stride, padding=border)
        )
        taps = torch.tensor([math.comb(size - 1, i) / 2 ** (size - 1) for i in range(size)])
        self.register_buffer("taps", torch.outer(taps, taps), persistent=False)

    def grids(self, height: int, width: int) -> tuple[Grid, ...]:
        """The maximum's windows, then the blur's."""
        del height, width
        return self.maximum.window, self.blur

    def check(self, height: int, width: int) -> None:
        """Raise InputError if a window does not fit, or the map is too small to reflect."""
        height, width = self.maximum.output_size(height, width)
        reflected = self.size // 2
        if reflected >= min(height, width):
            raise InputError(
                f"a blur of {self.size} reflects {reflected} elements of a map of "
                f"{height}×{width}; use a smaller blur, or an input that leaves at least "
                f"{reflected + 1}×{reflected + 1}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Raises InputError if a window does not fit, or the map is too small to reflect."""
        self.check(x.shape[2], x.shape[3])
        x = self.maximum(x)
        _, channels, height, width = x.shape
        left, right, top, bottom = exact_sides(height, width, self.blur)
        # A negative side only cuts what the stride leaves over, so it stays uncut here.
        x = F.pad(x, (left, max(right, 0), top, max(bottom, 0)), mode="reflect")
        kernel = self.taps.to(x.dtype).expand(channels, 1, -1, -1)
        stride = (self.blur.rows.stride, self.blur.columns.stride)
        blurred: Tensor = F.conv2d(x, kernel, stride=stride, groups=channels)
        return blurred


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
