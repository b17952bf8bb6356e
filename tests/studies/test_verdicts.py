"""Verdicts by hand, from values whose differences are known."""

from typing import Any

import pytest

from convscope.studies.study import Claim, Comparison
from convscope.studies.verdicts import claim_verdict, effects_of, is_share, underpowered
from convscope.studies.wording import compared_text, effect_text, verdict_text

SURE = [0.10, 0.11, 0.12, 0.11, 0.10]
NOTHING = [0.01, -0.01, 0.012, -0.012, 0.0]


NONE: dict[str, Any] = {"measure": "accuracy", "arm": "a", "reference": "b", "expect": "more"}


def claim(*comparisons: dict[str, Any]) -> Claim:
    return Claim(
        id="c", quote="q", comparisons=tuple(Comparison.model_validate(one) for one in comparisons)
    )


def values(differences: list[float]) -> dict[str, dict[int, dict[str, float]]]:
    return {
        "a": {seed: {"accuracy": 0.5 + d, "n": 10.0} for seed, d in enumerate(differences)},
        "b": {seed: {"accuracy": 0.5, "n": 5.0} for seed in range(len(differences))},
    }


def judged(differences: list[float], *, exact: bool = False, **comparison: Any) -> Any:
    one = {"measure": "accuracy", "arm": "a", "reference": "b", "expect": "more"} | comparison
    return effects_of([claim(one)], values(differences), exact=exact)[0][0]


@pytest.mark.parametrize(
    ("differences", "expect", "margin", "verdict"),
    [
        (SURE, "more", 0.01, "supported"),
        (SURE, "less", 0.01, "contradicted"),
        (SURE, "same", 0.01, "contradicted"),
        (SURE, "same", 0.2, "supported"),
        (NOTHING, "more", 0.01, "not supported"),
        (NOTHING, "less", 0.01, "not supported"),
        (NOTHING, "same", 0.02, "supported"),
        (NOTHING, "same", 0.005, "not supported"),
        ([-d for d in SURE], "less", 0.01, "supported"),
        ([-d for d in SURE], "more", 0.01, "contradicted"),
        ([0.2], "more", 0.01, "not supported"),
    ],
)
def test_verdict(differences: list[float], expect: str, margin: float, verdict: str) -> None:
    assert judged(differences, expect=expect, margin=margin).verdict == verdict


@pytest.mark.parametrize(
    ("n", "verdict"), [(2, "not supported"), (5, "not supported"), (6, "supported")]
)
def test_equal_differences_of_shares_are_as_sure_as_their_signs(n: int, verdict: str) -> None:
    """One image more in each of a few seeds is easily chance; p is 2 · (1/2)^n."""
    effect = judged([0.001] * n)
    assert effect.p == pytest.approx(2 * 0.5**n)
    assert effect.verdict == verdict
    counted = judged([0.0] * n, measure="n")
    assert (counted.p, counted.verdict) == (0.0, "supported")


def test_an_effect_by_hand() -> None:
    effect = judged([0.1, 0.2, 0.3])  # sd 0.1, standard error 0.0577, t₀.₉₇₅(2) = 4.303
    assert effect.effect == pytest.approx(0.2)
    assert (effect.low, effect.high) == pytest.approx((0.2 - 0.2484, 0.2 + 0.2484), abs=1e-4)
    assert (effect.arm_mean, effect.reference_mean) == pytest.approx((0.7, 0.5))
    assert effect.n == 3


def test_a_ratio_is_a_geometric_mean() -> None:
    table = {
        "a": {0: {"x": 2.0}, 1: {"x": 8.0}},
        "b": {0: {"x": 1.0}, 1: {"x": 1.0}},
    }
    one = {"measure": "x", "arm": "a", "reference": "b", "kind": "ratio", "expect": "more"}
    effect = effects_of([claim(one)], table, exact=False)[0][0]
    assert effect.effect == pytest.approx(4.0)  # √(2·8)


def test_counted_effects_have_no_interval_to_doubt() -> None:
    assert judged([0.1], exact=True).verdict == "supported"
    assert judged([0.0], exact=True).verdict == "contradicted"
    assert judged([0.0], exact=True, expect="same").verdict == "supported"
    assert judged([-0.1], exact=True).verdict == "contradicted"


def test_constants_and_other_measures_are_references() -> None:
    table = {"a": {0: {"x": 3.0, "y": 3.0}, 1: {"x": 5.0, "y": 4.0}}}
    constant = {"measure": "x", "arm": "a", "constant": 1.0, "expect": "more"}
    other = {"measure": "x", "arm": "a", "other": "y", "expect": "more"}
    first, second = effects_of([claim(constant, other)], table, exact=False)[0]
    assert (first.effect, second.effect) == (3.0, 0.5)


def test_only_seeds_that_both_arms_have_are_pairs() -> None:
    table = values(SURE)
    del table["b"][1]
    one = {"measure": "accuracy", "arm": "a", "reference": "b", "expect": "more"}
    assert effects_of([claim(one)], table, exact=False)[0][0].n == 4
    assert effects_of([claim(one)], {"a": {}, "b": {}}, exact=False)[0][0].verdict == "not measured"


def test_holm_is_over_all_claims_of_a_study() -> None:
    one = {"measure": "accuracy", "arm": "a", "reference": "b", "expect": "more"}
    alone = effects_of([claim(one)], values(SURE), exact=False)[0][0]
    both = effects_of([claim(one), claim(one)], values(SURE), exact=False)
    assert alone.p_holm == alone.p
    assert both[0][0].p_holm == pytest.approx(2 * alone.p)


def test_a_claim_depends_where_its_comparisons_differ() -> None:
    sure, nothing = judged(SURE, margin=0.01), judged(NOTHING, margin=0.05)
    against = judged([-d for d in SURE], margin=0.01)
    assert claim_verdict([sure, sure]) == "supported"
    assert claim_verdict([against]) == "contradicted"
    assert claim_verdict([sure, nothing]) == "depends"
    assert claim_verdict([]) == "not measured"
    missing = effects_of([claim(NONE)], {"a": {}, "b": {}}, exact=False)[0][0]
    assert claim_verdict([missing]) == "not measured"
    assert claim_verdict([sure, missing]) == "depends"


def test_an_undecided_effect_says_how_many_seeds_it_needs() -> None:
    wide = judged([0.1, -0.1, 0.12, -0.12, 0.0], margin=0.01)
    assert wide.seeds_needed is not None
    assert wide.seeds_needed > 5
    assert underpowered([wide]) == wide.seeds_needed
    assert underpowered([judged(SURE, margin=0.01)]) is None
    assert underpowered([judged(NOTHING, margin=0.05)]) is None


@pytest.mark.parametrize("name", ["test_accuracy", "gap", "agreement_3", "final_train_error"])
def test_shares_are_shown_in_percent(name: str) -> None:
    assert is_share(name)


@pytest.mark.parametrize("name", ["loss_gap", "test_loss", "parameters", "epochs_to_error"])
def test_other_measures_are_not(name: str) -> None:
    assert not is_share(name)


def test_wording() -> None:
    effect = judged(SURE, margin=0.01, condition="here").to_json()
    assert effect_text(effect) == "+10.80 points (+9.76 to +11.84)"
    assert compared_text(effect) == "accuracy: a against b"
    shown = {"verdict": "depends", "seeds_needed": 40, "effects": [effect]}
    assert verdict_text(shown) == "depends (supported: here); underpowered: 5 of 40 seeds"
    wide = judged([0.1, -0.1, 0.12, -0.12, 0.0], margin=0.01, condition="there").to_json()
    small = judged(SURE, margin=0.2, condition="everywhere").to_json()
    shown = {"verdict": "depends", "seeds_needed": None, "effects": [effect, wide, small]}
    assert verdict_text(shown) == (
        "depends (supported: here, everywhere; not supported: there); smaller than what matters: "
        "everywhere; an effect that matters is not excluded: there"
    )
    within = judged(NOTHING, margin=0.05).to_json()
    shown = {"verdict": "not supported", "seeds_needed": None, "effects": [within]}
    assert verdict_text(shown) == (
        "not supported; an effect, if there is one, is smaller than what matters"
    )
    exact = judged([0.0], exact=True, measure="n", reference="", constant=120.0).to_json()
    assert effect_text(exact) == "10"
    assert compared_text(exact) == "n: a against 120"
