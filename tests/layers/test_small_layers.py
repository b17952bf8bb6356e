"""Activations and the RBF output: formulas by hand, torch, and gradients."""

import math

import pytest
import torch
from torch import nn

from convscope.errors import InputError
from convscope.layers import (
    RBF,
    Activation,
    code_text,
    digit_codes,
    map_loss,
    mean_penalty_loss,
)
from convscope.layers.activation import KINDS
from convscope.layers.rbf import CODES


class TestActivation:
    @pytest.mark.parametrize(
        ("kind", "theirs"),
        [
            ("identity", nn.Identity()),
            ("tanh", nn.Tanh()),
            ("sigmoid", nn.Sigmoid()),
            ("relu", nn.ReLU()),
            ("leaky-relu", nn.LeakyReLU(0.01)),
            ("elu", nn.ELU()),
            ("gelu", nn.GELU()),
            ("silu", nn.SiLU()),
        ],
    )
    def test_equals_torch(self, kind: str, theirs: nn.Module) -> None:
        x = torch.linspace(-4, 4, 101)
        assert torch.equal(Activation(kind).build()(x), theirs(x))

    def test_scaled_tanh_is_one_at_one(self) -> None:
        squash = Activation("scaled-tanh").build()
        x = torch.linspace(-3, 3, 13, dtype=torch.float64)
        expected = [1.7159 * math.tanh(2 / 3 * value) for value in x.tolist()]
        torch.testing.assert_close(squash(x).tolist(), expected)
        # LeCun 1998, App. A: f(±1) = ±1 and the slope at the origin is close to one.
        assert squash(torch.tensor(1.0)).item() == pytest.approx(1, abs=1e-4)
        assert pytest.approx(1.14, abs=0.01) == 1.7159 * 2 / 3

    @pytest.mark.parametrize("kind", KINDS)
    def test_monotone_says_the_truth(self, kind: str) -> None:
        y = Activation(kind).build()(torch.linspace(-10, 10, 2001, dtype=torch.float64))
        assert Activation(kind).monotone == bool((y.diff() >= 0).all())

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradients_numerically(self, kind: str) -> None:
        x = torch.tensor([-2.0, -0.3, 0.4, 1.7], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(Activation(kind).build(), (x,))


class TestRBF:
    @pytest.mark.parametrize("name", ["bitmaps", "bold", "random"])
    def test_codes_are_84_signs_and_all_differ(self, name: str) -> None:
        codes = CODES[name]()
        assert torch.equal(codes, CODES[name]()), "always the same"
        assert codes.shape == (10, 84)
        assert codes.dtype == torch.float32
        assert set(codes.flatten().tolist()) == {-1.0, 1.0}
        differing = (codes[:, None] != codes[None]).sum(2) + 84 * torch.eye(10)
        assert differing.min() >= 7  # no two digits are near each other

    def test_bold_codes_are_the_bitmaps_and_more(self) -> None:
        """Strokes at the left grow to the right, those at the right to the left."""
        thin, bold = digit_codes(), CODES["bold"]()
        assert ((bold == 1) | (thin == -1)).all()
        rows = code_text(bold[5]).splitlines()
        assert rows[:3] == [".......", "#######", "##....."]
        assert rows[6:8] == ["....##.", ".....##"]
        assert code_text(bold[1]).splitlines()[4] == "...##.."

    def test_place_codes_are_one_of_n(self) -> None:
        codes = CODES["place"]()
        assert torch.equal((codes == 1).nonzero(), torch.arange(10)[:, None].expand(10, 2))
        assert ((codes == 1) | (codes == -1)).all()
        assert codes.shape == (10, 84)

    def test_a_code_reads_as_its_digit(self) -> None:
        lines = code_text(digit_codes()[1]).splitlines()
        assert len(lines) == 12
        assert {len(line) for line in lines} == {7}
        assert lines[10] == ".#####."
        with pytest.raises(InputError, match="a code has 5 values; allowed: 84"):
            code_text(torch.ones(5))

    def test_penalty_is_the_squared_distance(self) -> None:
        codes = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
        scores = RBF(codes)(torch.tensor([[1.0, 0.0], [-1.0, 3.0]]))
        assert scores.tolist() == [[-1.0, -5.0], [-8.0, -4.0]]

    def test_each_code_recognises_itself(self) -> None:
        codes = digit_codes()
        scores = RBF(codes)(codes)
        assert torch.equal(scores.argmax(1), torch.arange(10))
        assert torch.equal(scores.diagonal(), torch.zeros(10))

    def test_codes_are_fixed_and_not_saved(self) -> None:
        layer = RBF(digit_codes())
        assert not list(layer.parameters())
        assert not layer.state_dict()
        assert layer.double().codes.dtype == torch.float64

    def test_gradients_numerically(self) -> None:
        layer = RBF(digit_codes()).double()
        x = torch.randn(2, 84, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (x,))


class TestLosses:
    def test_by_hand(self) -> None:
        scores = torch.tensor([[-1.0, -3.0], [-2.0, -0.5]], dtype=torch.float64)
        labels = torch.tensor([0, 0])
        assert mean_penalty_loss(scores, labels).item() == 1.5
        one = 1 + math.log(math.exp(-2) + math.exp(-1) + math.exp(-3))
        two = 2 + math.log(math.exp(-2) + math.exp(-2) + math.exp(-0.5))
        assert map_loss(scores, labels, j=2.0).item() == pytest.approx((one + two) / 2, abs=1e-12)

    def test_large_penalties_do_not_overflow(self) -> None:
        # e^−1000 is zero in float32: the naive form would be 1000 + log(e^−1), the loss is finite.
        scores = torch.tensor([[-1000.0, -900.0]], requires_grad=True)
        loss = map_loss(scores, torch.tensor([0]), j=950.0)
        assert loss.item() == pytest.approx(1000 - 900, abs=1e-3)
        (gradient,) = torch.autograd.grad(loss, scores)
        assert gradient.tolist() == [[-1.0, 1.0]]

    def test_gradients_numerically(self) -> None:
        scores = -torch.rand(3, 4, dtype=torch.float64) * 5
        scores.requires_grad_()
        labels = torch.tensor([0, 3, 1])
        assert torch.autograd.gradcheck(lambda s: map_loss(s, labels, 0.5), (scores,))
        assert torch.autograd.gradcheck(lambda s: mean_penalty_loss(s, labels), (scores,))

    def test_j_bounds_the_pull_on_wrong_classes(self) -> None:
        # A wrong class far beyond j has no gradient; one nearer than j has.
        scores = torch.tensor([[-1.0, -60.0, -1.0]], requires_grad=True)
        (gradient,) = torch.autograd.grad(map_loss(scores, torch.tensor([0]), j=2.0), scores)
        assert gradient[0, 1].abs() < 1e-12
        assert gradient[0, 2] > 0.1

    @pytest.mark.parametrize("j", [0.0, -1.0, math.nan, math.inf])
    def test_j_must_be_positive(self, j: float) -> None:
        with pytest.raises(InputError, match=r"j is .*; allowed: a positive number"):
            map_loss(torch.zeros(1, 2), torch.tensor([0]), j)
