import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from convscope.training.recipe import Schedule
from convscope.training.schedule import learning_rate

kinds = st.sampled_from(["constant", "step", "levels", "one-cycle", "cosine"])
shares = st.floats(0, 1)


def rates(schedule: Schedule, steps: int, peak: float = 1.0, per_epoch: int = 10) -> list[float]:
    return [learning_rate(schedule, peak, step, steps, per_epoch) for step in range(steps)]


def test_constant_stays() -> None:
    assert set(rates(Schedule(), 20, peak=0.3)) == {0.3}


def test_step_falls_at_its_milestones() -> None:
    """Milestones 1 and 2.5 epochs of 4 steps: from steps 4 and 10 on."""
    schedule = Schedule(kind="step", milestones=(2.5, 1), factor=0.5)
    expected = [8.0] * 4 + [4.0] * 6 + [2.0] * 2
    assert rates(schedule, 12, peak=8.0, per_epoch=4) == expected


def test_levels_of_the_1998_paper() -> None:
    """η 5e-4 for 2 passes, 2e-4 for 3, 1e-4 for 3, 5e-5 for 4, 1e-5 after (III-B)."""
    schedule = Schedule(kind="levels", milestones=(2, 5, 8, 12), levels=(0.4, 0.2, 0.1, 0.02))
    expected = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    found = rates(schedule, 40, peak=5e-4, per_epoch=2)
    assert found[::2] == found[1::2] == pytest.approx(expected, rel=1e-12)


def test_each_milestone_has_its_level() -> None:
    with pytest.raises(ValidationError, match="levels has 1 values for 2 milestones; give one"):
        Schedule(kind="levels", milestones=(1, 2), levels=(0.5,))


def test_step_without_milestones_is_constant() -> None:
    assert set(rates(Schedule(kind="step"), 8)) == {1.0}


def test_one_cycle_by_hand() -> None:
    """8 steps, half of them rising from 0.2: 0.2 + 0.8·(1 − cos(πk/4))/2; then down to 0.1."""
    schedule = Schedule(kind="one-cycle", warmup=0.5, start=0.2, final=0.1)
    root = math.sqrt(0.5)
    expected = [
        0.2,
        0.2 + 0.4 * (1 - root),
        0.6,
        0.2 + 0.4 * (1 + root),
        1.0,
        0.1 + 0.45 * (1 + root),
        0.55,
        0.1 + 0.45 * (1 - root),
    ]
    assert rates(schedule, 8) == pytest.approx(expected, rel=1e-12)
    assert rates(schedule, 8, peak=0.02) == pytest.approx([0.02 * x for x in expected], rel=1e-12)


def test_cosine_by_hand() -> None:
    """5 steps, two of them rising in thirds; then half a cosine over three: 1, 3/4, 1/4."""
    schedule = Schedule(kind="cosine", warmup=0.4)
    assert rates(schedule, 5) == pytest.approx([1 / 3, 2 / 3, 1, 0.75, 0.25], rel=1e-12)


def test_cosine_without_warmup_starts_at_the_peak() -> None:
    assert rates(Schedule(kind="cosine"), 2) == pytest.approx([1.0, 0.5], rel=1e-12)
    assert rates(Schedule(kind="cosine"), 1) == [1.0]


@pytest.mark.parametrize("kind", ["one-cycle", "cosine"])
def test_warmup_through_the_whole_run_only_rises(kind: str) -> None:
    schedule = Schedule.model_validate({"kind": kind, "warmup": 1.0})
    found = rates(schedule, 50)
    assert found == sorted(found)
    assert found[-1] > 0.95


@given(st.sampled_from(["one-cycle", "cosine"]), shares, shares, shares, st.integers(1, 300))
def test_it_rises_to_the_peak_and_then_falls(
    kind: str, warmup: float, start: float, final: float, steps: int
) -> None:
    fields = {"kind": kind, "warmup": warmup, "start": start, "final": final}
    found = rates(Schedule.model_validate(fields), steps, peak=0.1)
    rising = math.ceil(warmup * steps)
    tiny = 1e-12
    assert all(a <= b + tiny for a, b in pairwise(found[:rising]))
    assert all(a >= b - tiny for a, b in pairwise(found[rising:]))
    assert max(found) <= 0.1 + tiny
    assert min(found[rising:], default=0.1) >= 0.1 * final - tiny
    if kind == "one-cycle":
        assert found[0] == pytest.approx(0.1 * start if rising else 0.1, abs=tiny)


@given(kinds, shares, shares, st.integers(200, 2000))
def test_it_never_jumps(kind: str, start: float, final: float, steps: int) -> None:
    """Half a cosine of height 1 over n steps is nowhere steeper than π/2n."""
    fields = {"kind": kind, "warmup": 0.3, "start": start, "final": final}
    found = rates(Schedule.model_validate(fields), steps)
    steepest = max(abs(a - b) for a, b in pairwise(found))
    assert steepest <= math.pi / 2 / (0.3 * steps) * 1.01


@given(kinds, st.integers(1, 50), st.integers(1, 20))
def test_it_depends_on_the_step_alone(kind: str, steps: int, per_epoch: int) -> None:
    fields = {"kind": kind, "warmup": 0.2, "milestones": (1, 2), "levels": (0.5, 0.1)}
    schedule = Schedule.model_validate(fields)
    forward = rates(schedule, steps, per_epoch=per_epoch)
    backward = [
        learning_rate(schedule, 1.0, step, steps, per_epoch) for step in reversed(range(steps))
    ]
    assert forward == backward[::-1]
