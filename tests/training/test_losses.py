import math

import pytest
import torch

from convscope.training.losses import build_loss
from convscope.training.recipe import Loss

LABELS = torch.tensor([0, 1])


def test_cross_entropy_by_hand() -> None:
    """Scores ln 3, 0 are probabilities 3/4, 1/4."""
    scores = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    expected = (-math.log(3 / 4) - math.log(1 / 4)) / 2
    assert build_loss(Loss())(scores, LABELS).item() == pytest.approx(expected, rel=1e-6)


def test_label_smoothing_by_hand() -> None:
    """Smoothing 0.2 over two classes: targets 0.9 and 0.1 (Szegedy et al. 2016, section 7)."""
    scores = torch.tensor([[math.log(3), 0.0]])
    expected = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))
    found = build_loss(Loss(label_smoothing=0.2))(scores, LABELS[:1])
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_distance_is_the_mean_penalty_of_the_right_class() -> None:
    """Eq. 8 of LeCun et al. 1998; scores are negated penalties."""
    scores = torch.tensor([[-2.0, -9.0], [-7.0, -5.0]])
    assert build_loss(Loss(kind="distance"))(scores, LABELS).item() == pytest.approx((2 + 5) / 2)


@pytest.mark.parametrize("j", [1.0, 0.25])
def test_map_by_hand(j: float) -> None:
    """Eq. 9 of LeCun et al. 1998: y_correct + log(e^−j + Σ e^−y)."""
    scores = torch.tensor([[-2.0, -9.0], [-7.0, -5.0]])
    first = 2 + math.log(math.exp(-j) + math.exp(-2) + math.exp(-9))
    second = 5 + math.log(math.exp(-j) + math.exp(-7) + math.exp(-5))
    found = build_loss(Loss(kind="map", j=j))(scores, LABELS)
    assert found.item() == pytest.approx((first + second) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", ["cross-entropy", "map", "distance"])
def test_a_step_along_the_gradient_raises_the_right_score(kind: str) -> None:
    scores = torch.tensor([[-3.0, -1.0, -2.0]], requires_grad=True)
    loss = build_loss(Loss.model_validate({"kind": kind}))(scores, torch.tensor([0]))
    assert loss.shape == ()
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    right, *wrong = scores.grad[0].tolist()
    assert right < 0
    assert all(slope >= 0 for slope in wrong)
    assert (kind == "distance") == (wrong == [0.0, 0.0])
