"""What a handful of paired measurements can say: intervals, corrections, numbers of seeds.

Pure functions of numbers; numpy alone. The quantiles are computed here, from the incomplete beta
function, so that no other library is needed.

The design behind them: every arm of a study is trained with the same seeds, so that differences
are taken seed by seed, and what a lucky seed adds to both arms cancels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convscope.errors import InputError
from convscope.evaluation.metrics import mcnemar as mcnemar
from convscope.evaluation.metrics import wilson_interval as wilson_interval

LEVEL = 0.95
"""Of every interval."""
MOST_SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The mean of paired differences.

    Attributes:
        n: pairs.
        mean, sd: of the differences; sd is the sample's (n − 1), 0 for one pair.
        low, high: 95 % interval of the mean by Student's t; infinite for one pair.
        p: two-sided p-value of "the mean is 0"; 1 for one pair.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """`first` − `second`, pair by pair: mean, interval and p-value of Student's paired t-test.

    Where all differences are equal, the interval is a point, and p is 0 (or 1 if they are 0).

    Args:
        first, second: one value for each seed, the same seeds in the same order.

    Raises:
        InputError: no pairs, or not as many values in both.

    >>> found = paired([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])
    >>> print(f"{found.mean:.0f}, {found.low:.3f} to {found.high:.3f}")
    3, 0.516 to 5.484
    """
    if len(first) != len(second) or not len(first):
        raise InputError(
            f"{len(first)} and {len(second)} values make no pairs; give as many of each, 1 or more"
        )
    return of_mean(np.asarray(first, float) - np.asarray(second, float))


def of_mean(values: Sequence[float] | npt.NDArray[np.float64]) -> Paired:
    """The mean of values with its 95 % interval, and whether it is 0 (one-sample t-test)."""
    sample = np.asarray(values, dtype=np.float64)
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return Paired(n=1, mean=mean, sd=0.0, low=-math.inf, high=math.inf, p=1.0)
    sd = float(sample.std(ddof=1))
    if sd <= 1e-12 * max(1.0, abs(mean)):  # equal but for rounding
        return Paired(n=n, mean=mean, sd=0.0, low=mean, high=mean, p=float(abs(mean) < 1e-12))
    error = sd / math.sqrt(n)
    half = t_quantile((1 + LEVEL) / 2, n - 1) * error
    p = 2 * t_cdf(-abs(mean) / error, n - 1)
    return Paired(n=n, mean=mean, sd=sd, low=mean - half, high=mean + half, p=p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: below α, they hold together with an error of α at most (Holm 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(order) - rank) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def seeds_for_precision(sd: float, half_width: float) -> int:
    """Pairs of seeds until the 95 % interval of a mean difference is ± `half_width` or less.

    Args:
        sd: standard deviation of the differences, 0 or more.
        half_width: more than 0, in the same unit.

    >>> seeds_for_precision(1.0, 1.0)
    7
    """

    def enough(n: int) -> bool:
        return t_quantile((1 + LEVEL) / 2, n - 1) * sd / math.sqrt(n) <= half_width

    return _least(enough)


def seeds_for_power(sd: float, difference: float, *, power: float = 0.8) -> int:
    """Pairs of seeds with which a true mean `difference` is found with probability `power`.

    Found means p < 0.05, two-sided. By the usual approximation of the noncentral t distribution,
    n ≥ ((t₀.₉₇₅ + t_power)·sd/difference)², which is at most one pair off.

    Args:
        sd: standard deviation of the paired differences, 0 or more.
        difference: more than 0, in the same unit.
        power: between 0.5 and 1.

    >>> seeds_for_power(1.0, 1.0)
    10
    """

    def enough(n: int) -> bool:
        quantiles = t_quantile((1 + LEVEL) / 2, n - 1) + t_quantile(power, n - 1)
        return quantiles * sd / math.sqrt(n) <= difference

    return _least(enough)


def _least(enough: Callable[[int], bool]) -> int:
    """The least n from 2 to MOST_SEEDS with `enough(n)`; the largest where there is none."""
    low, high = 2, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def cluster_bootstrap(
    values: npt.NDArray[np.float64], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean of values that come in clusters: whole clusters are redrawn.

    The several answers about one test image (of several networks, shifts or views) are not
    independent; images are. The interval is from the 2.5 % to the 97.5 % quantile of the means
    of resampled images (Davison & Hinkley 1997, section 3.8).

    Args:
        values: clusters × members, such as test images × seeds.
        draws: how many resamples.
        seed: of the resamples: the same seed gives the same interval.

    Raises:
        InputError: fewer than two clusters.
    """
    if values.ndim != 2 or len(values) < 2:
        raise InputError(
            f"values of shape {values.shape} are no clusters; allowed: clusters × members, at "
            "least two clusters"
        )
    means = values.mean(axis=1)
    generator = np.random.Generator(np.random.PCG64(seed))
    found = np.empty(draws)
    for draw in range(draws):
        found[draw] = means[generator.integers(0, len(means), len(means))].mean()
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def t_cdf(x: float, degrees: float) -> float:
    """P(T ≤ x) of Student's t distribution."""
    square = x * x
    if square < degrees:  # near the middle, where 1 − tail would lose all digits
        middle = beta_share(square / (degrees + square), 0.5, degrees / 2) / 2
        return 0.5 + math.copysign(middle, x)
    tail = beta_share(degrees / (degrees + square), degrees / 2, 0.5) / 2
    return tail if x < 0 else 1 - tail


def t_quantile(share: float, degrees: float) -> float:
    """The x with P(T ≤ x) = `share`, for 0 < share < 1.

    >>> round(t_quantile(0.975, 4), 3)
    2.776
    """
    if share < 0.5:
        return -t_quantile(1 - share, degrees)
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < share:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < share else (low, middle)
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for 0 ≤ x ≤ 1 and a, b > 0.

    By its continued fraction (Abramowitz & Stegun 26.5.8), which converges quickly for
    x < (a + 1)/(a + b + 2); beyond, 1 − I_{1−x}(b, a) is taken.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d₁/(1 + d₂/(1 + …)), by the modified method of Lentz."""
    tiny = 1e-300
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, 500):
        m = step // 2
        if step % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / _not_zero(1 + d * denominator, tiny)
        numerator = _not_zero(1 + d / numerator, tiny)
        change = numerator * denominator
        value *= change
        if abs(change - 1) < 1e-15:
            break
    return value


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
