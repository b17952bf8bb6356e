"""The statistics of the studies against scipy, known tables and simulation."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from convscope.errors import InputError
from convscope.studies.statistics import (
    beta_share,
    cluster_bootstrap,
    holm,
    of_mean,
    paired,
    seeds_for_power,
    seeds_for_precision,
    t_cdf,
    t_quantile,
)

# Student's t, two-sided 95 %, from the table of any textbook.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262, 29: 2.045, 120: 1.980}


@pytest.mark.parametrize(("degrees", "quantile"), TABLE.items())
def test_quantiles_of_the_printed_table(degrees: int, quantile: float) -> None:
    assert round(t_quantile(0.975, degrees), 3) == quantile
    assert round(t_quantile(0.025, degrees), 3) == -quantile


@given(st.floats(-50, 50), st.integers(1, 300))
def test_the_t_distribution_is_scipys(x: float, degrees: int) -> None:
    # scipy's own error near 0 is a few parts in 10⁹: P(T ≤ 1e-8) = 0.5 + 1e-8/π for one degree.
    assert t_cdf(x, degrees) == pytest.approx(stats.t.cdf(x, degrees), rel=1e-9, abs=1e-8)
    assert t_cdf(1e-8, 1) - 0.5 == pytest.approx(1e-8 / math.pi, rel=1e-6)


@given(st.floats(0, 1), st.floats(0.5, 80), st.floats(0.5, 80))
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    # scipy is off by some parts in 10⁹ near x = 1: the next test has the exact values there.
    assert beta_share(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("x", [1e-12, 0.001, 0.3, 0.999, 1 - 1e-16])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1.0, 0.5), (0.5, 30.0), (75.0, 0.5)])
def test_the_incomplete_beta_function_in_forty_digits(x: float, a: float, b: float) -> None:
    with mpmath.workdps(40):
        exact = float(mpmath.betainc(a, b, 0, x, regularized=True))
    assert beta_share(x, a, b) == pytest.approx(exact, rel=1e-11)


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=30).filter(
        lambda pairs: np.std([a - b for a, b in pairs]) > 1e-3
    )
)
def test_paired_differences_are_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    found, expected = paired(first, second), stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert found.n == len(pairs)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-7)
    assert found.half == pytest.approx((interval.high - interval.low) / 2, rel=1e-7)


def test_one_pair_says_nothing() -> None:
    found = paired([2.0], [1.0])
    assert (found.mean, found.p, found.low, found.high) == (1.0, 1.0, -math.inf, math.inf)


def test_equal_differences_are_certain() -> None:
    found = paired([0.3, 0.4, 0.5], [0.1, 0.2, 0.3])
    assert found.low == found.high == found.mean == pytest.approx(0.2)
    assert found.p == 0
    assert paired([1.0, 2.0], [1.0, 2.0]).p == 1


def test_pairs_need_as_many_of_each() -> None:
    with pytest.raises(InputError, match="3 and 2 values make no pairs"):
        paired([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="0 and 0 values"):
        paired([], [])


def test_intervals_cover_what_they_say() -> None:
    """Of 2,000 samples of 5, about 95 % of the intervals hold the true mean."""
    samples = np.random.default_rng(0).normal(3.0, 2.0, (2000, 5))
    held = sum(found.low <= 3.0 <= found.high for found in map(of_mean, samples))
    assert abs(held - 1900) < 4 * math.sqrt(2000 * 0.95 * 0.05)


def test_holm_by_hand() -> None:
    # 3 × 0.01, then 2 × 0.02, then the larger of that and 0.03
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_its_steps_reject(p_values: list[float]) -> None:
    """Step down: the smallest against α/m, the next against α/(m − 1), until one fails."""
    alpha, adjusted = 0.05, holm(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    going = True
    for rank, index in enumerate(order):
        going = going and p_values[index] * (len(order) - rank) <= alpha
        assert (adjusted[index] <= alpha) == going


def test_seeds_for_a_precision_are_the_least_that_do() -> None:
    for sd, half in [(0.1, 0.05), (1.0, 0.3), (0.12, 0.12), (2.0, 0.5)]:
        n = seeds_for_precision(sd, half)
        width = stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n)
        fewer = stats.t.ppf(0.975, n - 2) * sd / math.sqrt(n - 1) if n > 2 else math.inf
        assert width <= half < fewer
    assert seeds_for_precision(0.0, 0.1) == 2
    assert seeds_for_precision(1e9, 1e-9) == 10_000


@pytest.mark.parametrize(("sd", "difference"), [(0.1, 0.1), (0.1, 0.05), (1.0, 0.3), (0.17, 0.1)])
def test_seeds_for_a_power_have_it(sd: float, difference: float) -> None:
    """The exact power, by the noncentral t distribution, is reached to within one pair."""

    def power(n: int) -> float:
        critical = stats.t.ppf(0.975, n - 1)
        return float(stats.nct.sf(critical, n - 1, difference / sd * math.sqrt(n)))

    n = seeds_for_power(sd, difference)
    assert power(n + 1) >= 0.8 > power(n - 2)


def test_cluster_bootstrap_sees_that_members_are_not_independent() -> None:
    generator = np.random.default_rng(1)
    images = generator.normal(size=400)
    copies = np.repeat(images[:, None], 10, axis=1)
    low, high = cluster_bootstrap(copies)
    expected = 1.96 * images.std(ddof=1) / 20  # of 400 images, not of 4,000 answers
    assert (high - low) / 2 == pytest.approx(expected, rel=0.1)
    assert low < images.mean() < high
    assert cluster_bootstrap(copies) == (low, high)
    assert cluster_bootstrap(copies, seed=1) != (low, high)


def test_cluster_bootstrap_of_independent_members_is_the_usual_interval() -> None:
    values = np.random.default_rng(2).normal(size=(300, 4))
    low, high = cluster_bootstrap(values)
    assert (high - low) / 2 == pytest.approx(1.96 / math.sqrt(1200), rel=0.12)


def test_cluster_bootstrap_needs_clusters() -> None:
    with pytest.raises(InputError, match="at least two clusters"):
        cluster_bootstrap(np.ones((1, 5)))
