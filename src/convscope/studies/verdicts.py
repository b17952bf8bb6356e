"""From paired values to a verdict in plain words. Pure: numbers in, plain results out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from convscope.studies.statistics import Paired, holm, of_mean, paired, seeds_for_precision
from convscope.studies.study import Claim, Comparison

ALPHA = 0.05
Word = Literal["supported", "contradicted", "not supported", "not measured"]

SHARES = ("accuracy", "agreement", "consistency", "gap", "border_loss", "place_reliance", "error")
"""Endings of measures that are shares, shown in percent and their differences in points."""


def is_share(measure: str) -> bool:
    """Whether a measure is a share of 1.

    >>> is_share("test_accuracy"), is_share("agreement_2"), is_share("loss_gap")
    (True, True, False)
    """
    name = measure.rstrip("0123456789").rstrip("_")
    return name.endswith(SHARES) and name != "loss_gap" and not name.startswith("epochs")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One comparison with its result.

    Attributes:
        comparison: what was compared, as JSON.
        exact: counted, not estimated: there is no interval.
        n: pairs of seeds.
        effect, low, high: of the difference or the ratio, with its 95 % interval; None where
            there are no pairs, or one.
        arm_mean, reference_mean: of the measure.
        sd: standard deviation of the paired differences (of logarithms for a ratio).
        p, p_holm: of "there is no effect", alone and corrected over the study (Holm).
        verdict: of this comparison.
        seeds_needed: pairs with which the interval would be ± the margin; None where it is.
    """

    comparison: dict[str, Any]
    exact: bool
    n: int
    effect: float | None
    low: float | None
    high: float | None
    arm_mean: float | None
    reference_mean: float | None
    sd: float
    p: float
    p_holm: float
    verdict: Word
    seeds_needed: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            name: float(f"{value:.10g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


Values = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Measures by arm and seed."""


def effects_of(claims: Sequence[Claim], values: Values, *, exact: bool) -> list[list[Effect]]:
    """The effects of each claim's comparisons, with Holm's correction over all of them."""
    found = [[_effect(one, values, exact=exact) for one in claim.comparisons] for claim in claims]
    flat = [effect for effects in found for effect in effects]
    tested = [effect for effect in flat if not exact and effect.n > 1]
    adjusted = dict(zip(map(id, tested), holm([one.p for one in tested]), strict=True))
    return [
        [_judged(replace(effect, p_holm=adjusted.get(id(effect), effect.p))) for effect in effects]
        for effects in found
    ]


def _effect(one: Comparison, values: Values, *, exact: bool) -> Effect:
    first, second = _pairs(one, values)
    facts: dict[str, Any] = {
        "comparison": one.model_dump(mode="json", exclude_defaults=True),
        "exact": exact,
        "n": len(first),
        "verdict": "not measured",
        "seeds_needed": None,
    }
    if not first:
        names = ("effect", "low", "high", "arm_mean", "reference_mean")
        return Effect(**facts | dict.fromkeys(names), sd=0.0, p=1.0, p_holm=1.0)
    if one.kind == "ratio":
        found = paired([math.log(x) for x in first], [math.log(x) for x in second])
        effect, low, high = math.exp(found.mean), _exp(found.low), _exp(found.high)
    else:
        found = paired(first, second)
        effect, low, high = found.mean, found.low, found.high
    if exact:
        low = high = effect
    if not math.isfinite(low) or not math.isfinite(high):
        bounds: tuple[float | None, float | None] = (None, None)
    else:
        bounds = (low, high)
    if not exact and one.margin:
        margin = math.log1p(one.margin) if one.kind == "ratio" else one.margin
        if found.n == 1 or found.half > margin:
            facts["seeds_needed"] = seeds_for_precision(found.sd, margin) if found.n > 1 else None
    return Effect(
        **facts,
        effect=effect,
        low=bounds[0],
        high=bounds[1],
        arm_mean=of_mean(first).mean,
        reference_mean=of_mean(second).mean,
        sd=found.sd,
        p=(p := 0.0 if exact else _p(found, one.measure)),
        p_holm=p,
    )


def _p(found: Paired, measure: str) -> float:
    """Student's; of equal differences of shares that of the sign test, 2^(1−n).

    Shares come in steps of one image, so that a few seeds may well differ alike by chance. Other
    measures that do not vary at all are counted: parameters, operations, bytes.
    """
    if found.sd == 0 and found.mean and is_share(measure):
        return 2.0 ** (1 - found.n)
    return found.p


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


def _pairs(one: Comparison, values: Values) -> tuple[list[float], list[float]]:
    """The values of the arm and of its reference, for each seed that has both."""
    first, second = [], []
    others = values.get(one.reference, {})
    for seed, measures in sorted(values.get(one.arm, {}).items()):
        if one.constant is not None:
            against: float | None = one.constant
        elif one.other:
            against = measures.get(one.other)
        else:
            against = others.get(seed, {}).get(one.measure)
        value = measures.get(one.measure)
        if value is not None and against is not None:
            first.append(value)
            second.append(against)
    return first, second


def _judged(effect: Effect) -> Effect:
    """The effect with its verdict."""
    one = Comparison.model_validate(effect.comparison)
    if effect.effect is None:
        return effect
    if effect.low is None or effect.high is None:
        return replace(effect, verdict="not measured" if effect.n == 0 else "not supported")
    zero = 1.0 if one.kind == "ratio" else 0.0
    low, high = effect.low - zero, effect.high - zero
    lowest, highest = (bound - zero for bound in margins(one.kind, one.margin))
    slack = 1e-9 * max(1.0, abs(effect.effect))
    sure = effect.exact or effect.p_holm < ALPHA
    if one.expect == "same":
        if lowest - slack <= low and high <= highest + slack:
            return replace(effect, verdict="supported")
        outside = low > highest or high < lowest
        return replace(effect, verdict="contradicted" if outside and sure else "not supported")
    if one.expect == "less":
        low, high = -high, -low
    if low > 0 and sure:
        return replace(effect, verdict="supported")
    against = (high < 0 and sure) or (effect.exact and high <= 0)
    return replace(effect, verdict="contradicted" if against else "not supported")


def margins(kind: str, margin: float) -> tuple[float, float]:
    """The effects between which none matters: about 1 for a ratio, about 0 for a difference.

    >>> margins("ratio", 0.25), margins("difference", 0.25)
    ((0.8, 1.25), (-0.25, 0.25))
    """
    return (1 / (1 + margin), 1 + margin) if kind == "ratio" else (-margin, margin)


def claim_verdict(effects: Sequence[Effect]) -> str:
    """One verdict of several comparisons.

    `depends` where some support the claim and others do not, contradict it, or are missing.
    """
    words = {effect.verdict for effect in effects} or {"not measured"}
    return words.pop() if len(words) == 1 else "depends"


def underpowered(effects: Sequence[Effect]) -> int | None:
    """Seeds that the undecided comparisons of a claim would need; None where they have enough."""
    needed = [
        effect.seeds_needed or 0
        for effect in effects
        if effect.verdict == "not supported"
        and (effect.seeds_needed is not None or effect.n == 1)
        and not effect.exact
    ]
    return max(needed) if needed else None


def arm_mean(values: Sequence[float]) -> Paired:
    """Mean, standard deviation and interval of one arm's values."""
    return of_mean(values)
