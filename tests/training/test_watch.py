import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import TrainingError
from convscope.training.recipe import Loss, ModelChoice, Optimizer, Recipe
from convscope.training.watch import WINDOW, check_loss, label_entropy

TEN = math.log(10)
BASE = Recipe(
    name="test", model=ModelChoice(name="lenet5"), optimizer=Optimizer(lr=0.02), stuck_after=500
)


def recipe(**changes: object) -> Recipe:
    return BASE.model_copy(update=changes)


@pytest.mark.parametrize(
    ("labels", "entropy"),
    [
        (list(range(10)), math.log(10)),
        ([0, 0, 1, 1], math.log(2)),
        ([0, 0, 0, 1], -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
        ([3, 3], 0.0),
        ([0, 7], math.log(2)),  # classes without images do not count
    ],
)
def test_the_loss_of_guessing(labels: list[int], entropy: float) -> None:
    assert label_entropy(np.array(labels)) == pytest.approx(entropy, abs=1e-12)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50))
def test_the_loss_of_guessing_is_at_most_ln_of_the_classes(labels: list[int]) -> None:
    entropy = label_entropy(np.array(labels))
    assert 0 <= entropy <= math.log(len(set(labels))) + 1e-12


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["cross-entropy", "map", "distance"])
def test_a_loss_that_is_no_number_stops_at_once(loss: float, kind: str) -> None:
    changed = recipe(loss=Loss.model_validate({"kind": kind}), stuck_after=0)
    expected = (
        f"the loss became {loss} at step 1: the learning rate of 0.02 is most likely too high; "
        "try --set optimizer.lr=0.002"
    )
    with pytest.raises(TrainingError, match=f"^{re.escape(expected)}$"):
        check_loss([loss], 1, TEN, changed)
    with pytest.raises(TrainingError, match=r"at step 77"):
        check_loss([1.0] * (WINDOW - 1) + [loss], 77, TEN, changed)


def test_a_loss_that_runs_away_stops() -> None:
    """Three times guessing and 2 more: 3 ln 10 + 2 = 8.9."""
    with pytest.raises(TrainingError, match="the loss runs away: 9 over the last 50 steps, where "):
        check_loss([9.0] * WINDOW, 2 * WINDOW, TEN, BASE)
    with pytest.raises(TrainingError, match=r"guessing gives 2\.30; .* try --set optimizer.lr=0.0"):
        check_loss([9.0] * WINDOW, 12345, TEN, BASE)


def test_a_high_loss_is_given_time() -> None:
    check_loss([9.0] * WINDOW, 2 * WINDOW - 1, TEN, BASE)  # the start may be wild
    check_loss([9.0] * (WINDOW - 1), 2 * WINDOW, TEN, BASE)  # too few to tell
    check_loss([8.8] * WINDOW, 2 * WINDOW, TEN, BASE)
    check_loss([2.0] * (WINDOW - 1) + [300.0], 2 * WINDOW, TEN, BASE)  # one bad batch


@pytest.mark.parametrize(("chance", "classes"), [(TEN, "2.303"), (math.log(2), "0.693")])
def test_a_loss_stuck_at_guessing_stops(chance: float, classes: str) -> None:
    expected = (
        f"after 500 steps the loss is {classes}, no better than guessing ({classes}). Likely "
        "causes: a learning rate (0.02) that is too high or too low, labels that do not belong to "
        "their images (look with `convscope check`); --set stuck_after=0 trains on regardless"
    )
    with pytest.raises(TrainingError, match=f"^{re.escape(expected)}$"):
        check_loss([chance] * WINDOW, 500, chance, BASE)


def test_guessing_by_the_share_of_unbalanced_classes_is_stuck_too() -> None:
    """Nine of ten images of one class: 0.325 nats, far below ln 2, and nothing learnt."""
    chance = label_entropy(np.array([0] * 9 + [1]))
    assert chance == pytest.approx(0.3251, abs=1e-4)
    with pytest.raises(TrainingError, match=r"loss is 0\.325, no better than guessing \(0\.325\)"):
        check_loss([chance] * WINDOW, 500, chance, BASE)


def test_stuck_is_judged_once_and_only_when_asked() -> None:
    check_loss([TEN] * WINDOW, 499, TEN, BASE)
    check_loss([TEN] * WINDOW, 501, TEN, BASE)
    check_loss([TEN] * WINDOW, 500, TEN, recipe(stuck_after=0))
    check_loss([TEN] * WINDOW, 500, TEN, recipe(loss=Loss(kind="map")))
    with pytest.raises(TrainingError, match="after 60 steps the loss is"):
        check_loss([TEN] * WINDOW, 60, TEN, recipe(stuck_after=60))


@given(st.lists(st.floats(0, 2.2), min_size=1, max_size=WINDOW), st.integers(1, 10_000))
def test_a_healthy_loss_is_left_alone(recent: list[float], step: int) -> None:
    check_loss(recent, step, TEN, BASE)
