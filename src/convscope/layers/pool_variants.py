"""Pooling that samples, mixes or blurs. N × C × H × W in, N × C × H' × W' out.

>>> from convscope.layers import grid
>>> x = torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]])
>>> StochasticPool(grid(2)).eval()(x).item()  # 1·(1/4) + 3·(3/4)
2.5
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.draws import draw
from convscope.layers.pools import AveragePool, MaxPool, PoolModule
from convscope.layers.windows import Grid, exact_sides, unfold_windows
from convscope.shapes import Window


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
        weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
        cumulative = weights.cumsum(dim=-1)
        total = cumulative[..., -1:]
        uniform = draw(
            total.shape,
            lambda shape: torch.rand(
                shape, generator=self.generator, dtype=weights.dtype, device=weights.device
            ),
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
