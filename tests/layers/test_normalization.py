"""Normalisation against its formula in loops, torch's layers and gradients."""

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers import LocalResponseNorm, Norm, spec_from_json
from convscope.layers.normalization import KINDS, UnitNorm, WithinMapNorm

FORMATS = (torch.contiguous_format, torch.channels_last)


def across_maps(x: Tensor, n: int, k: float, alpha: float, beta: float) -> Tensor:
    """Krizhevsky 2012, §3.3, one value at a time."""
    y = torch.empty_like(x)
    maps = x.shape[1]
    for index in torch.cartesian_prod(*(torch.arange(size) for size in x.shape)).tolist():
        b, i, row, column = index
        low, high = max(0, i - n // 2), min(maps - 1, i + (n - 1) // 2)
        total = sum(x[b, j, row, column].item() ** 2 for j in range(low, high + 1))
        y[b, i, row, column] = x[b, i, row, column] / (k + alpha * total) ** beta
    return y


def within_map(x: Tensor, n: int, k: float, alpha: float, beta: float) -> Tensor:
    """cuda-convnet's `rnorm`, one value at a time: the square starts n/2 before its centre."""
    y = torch.empty_like(x)
    _, _, height, width = x.shape
    for index in torch.cartesian_prod(*(torch.arange(size) for size in x.shape)).tolist():
        b, i, row, column = index
        total = 0.0
        for r in range(row - n // 2, row - n // 2 + n):
            for c in range(column - n // 2, column - n // 2 + n):
                if 0 <= r < height and 0 <= c < width:
                    total += x[b, i, r, c].item() ** 2
        y[b, i, row, column] = x[b, i, row, column] / (k + alpha * total) ** beta
    return y


class TestLocalResponse:
    @given(st.integers(1, 12), st.integers(1, 7), st.booleans())
    @settings(deadline=None, max_examples=25)
    def test_equals_loops(self, size: int, maps: int, divide: bool) -> None:
        x = torch.randn(2, maps, 2, 3, dtype=torch.float64)
        layer = Norm(size=size, k=1.5, alpha=0.3, beta=0.7, divide=divide).build(maps)
        scale = 0.3 / size if divide else 0.3
        torch.testing.assert_close(layer(x), across_maps(x, size, 1.5, scale, 0.7))

    @pytest.mark.parametrize("memory_format", FORMATS, ids=str)
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 40])
    def test_equals_torch_when_dividing(
        self, size: int, memory_format: torch.memory_format
    ) -> None:
        x = (100 * torch.randn(2, 32, 5, 5)).to(memory_format=memory_format).requires_grad_()
        ours = Norm(size=size).build(32)(x)
        theirs = nn.LocalResponseNorm(size, 1e-4, 0.75, 2.0)(x)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
        assert ours.is_contiguous(memory_format=memory_format)
        weights = torch.randn(2, 32, 5, 5)
        (one,) = torch.autograd.grad((ours * weights).sum(), x, retain_graph=True)
        (two,) = torch.autograd.grad((theirs * weights).sum(), x)
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)

    def test_undivided_alpha_is_the_papers(self) -> None:
        # One map of 100: (2 + 1e-4·10,000)^0.75 = 3^0.75, and (2 + 1/5)^0.75 when divided.
        x = torch.full((1, 1, 1, 1), 100.0)
        paper = Norm(divide=False).build(1)(x).item()
        program = Norm(divide=True).build(1)(x).item()
        assert paper == pytest.approx(100 / 3**0.75, rel=1e-6)
        assert program == pytest.approx(100 / 2.2**0.75, rel=1e-6)

    def test_groups_do_not_see_each_other(self) -> None:
        x = 100 * torch.randn(2, 12, 3, 3, dtype=torch.float64)
        y = Norm(groups=3).build(12)(x)
        for start in range(0, 12, 4):
            own = x[:, start : start + 4]
            expected = nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0)(own)
            torch.testing.assert_close(y[:, start : start + 4], expected)
        assert not torch.allclose(y, Norm().build(12)(x))

    def test_groups_must_divide_the_maps(self) -> None:
        with pytest.raises(
            InputError, match="in 5 groups cannot split 96 maps; allowed: divisors of 96"
        ):
            Norm(groups=5).build(96)

    def test_gradients_numerically(self) -> None:
        x = torch.randn(1, 6, 2, 2, dtype=torch.float64, requires_grad=True)
        layer = LocalResponseNorm(3, k=1.0, alpha=0.5, divide=False, groups=2)
        assert torch.autograd.gradcheck(layer, (x,))


class TestWithinMap:
    @given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans())
    @settings(deadline=None, max_examples=25)
    def test_equals_loops(self, size: int, height: int, width: int, divide: bool) -> None:
        x = torch.randn(2, 2, height, width, dtype=torch.float64)
        spec = Norm("within-map", size=size, k=1.0, alpha=0.3, beta=0.7, divide=divide)
        scale = 0.3 / size**2 if divide else 0.3
        torch.testing.assert_close(spec.build(2)(x), within_map(x, size, 1.0, scale, 0.7))

    def test_by_hand(self) -> None:
        # 3 × 3 ones, square of 3: the corner sees 4, the edge 6, the centre 9; alpha 9/9 = 1.
        y = Norm("within-map", size=3, k=1.0, alpha=9.0, beta=1.0).build(1)(torch.ones(1, 1, 3, 3))
        expected = [[1 / 5, 1 / 7, 1 / 5], [1 / 7, 1 / 10, 1 / 7], [1 / 5, 1 / 7, 1 / 5]]
        torch.testing.assert_close(y[0, 0], torch.tensor(expected))

    def test_channels_last_is_kept(self) -> None:
        x = torch.randn(2, 8, 5, 5).to(memory_format=torch.channels_last)
        y = WithinMapNorm(5)(x)
        assert y.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(y, WithinMapNorm(5)(x.contiguous()))

    def test_gradients_numerically(self) -> None:
        x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(WithinMapNorm(3, alpha=0.5), (x,))


@pytest.mark.parametrize(
    "spec", [Norm(), Norm(groups=2), Norm("within-map", k=1.0, alpha=1e-3)], ids=str
)
def test_bfloat16_rounds_once(spec: Norm) -> None:
    x = (100 * torch.randn(2, 16, 6, 6)).bfloat16()
    y = spec.build(16)(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, spec.build(16)(x.float()).bfloat16())


class TestBatch:
    @pytest.mark.parametrize("training", [True, False])
    def test_equals_the_formula(self, training: bool) -> None:
        layer = Norm("batch", eps=0.01, momentum=0.25).build(3).double().train(training)
        x = torch.randn(4, 3, 5, 5, dtype=torch.float64) * 3 + 1
        y = layer(x)
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        if training:
            count = 4 * 5 * 5
            running = layer.state_dict()["running_var"]
            torch.testing.assert_close(running, 0.75 + 0.25 * variance * count / (count - 1))
        else:
            mean, variance = torch.zeros_like(mean), torch.ones_like(variance)
        expected = (x - mean[:, None, None]) / (variance[:, None, None] + 0.01).sqrt()
        torch.testing.assert_close(y, expected)

    def test_defaults_are_torchs(self) -> None:
        assert repr(Norm("batch").build(7)) == repr(nn.BatchNorm2d(7))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_builds_and_survives_json(kind: str) -> None:
    spec = Norm(kind)
    assert spec_from_json(json.loads(json.dumps(spec.to_json()))) == spec
    x = torch.randn(2, 8, 3, 3)
    y = spec.build(8)(x)
    assert y.shape == x.shape
    assert torch.equal(y, x) == (kind == "none")


def test_specs_written_before_there_were_more_kinds_still_load() -> None:
    old = {"layer": "norm", "kind": "local-response", "size": 3, "k": 1.0}
    old |= {"alpha": 0.1, "beta": 0.5, "divide": False}
    assert spec_from_json(old) == Norm(size=3, k=1.0, alpha=0.1, beta=0.5, divide=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "bacth"}, "unknown normalisation 'bacth': did you mean 'batch'"),
        (
            {"kind": "batch", "size": 3},
            r"'batch' does not use size \(only local-response, within-map do\); leave it out",
        ),
        (
            {"kind": "within-map", "groups": 2},
            r"'within-map' does not use groups \(only local-response does\); leave it out",
        ),
        ({"momentum": 0.2}, r"'local-response' does not use momentum \(only batch does\)"),
        ({"kind": "none", "alpha": 1.0}, "'none' does not use alpha"),
        ({"kind": "batch", "eps": 0.0}, "eps is 0.0; allowed: a number from 1e-12 to 1"),
        ({"kind": "batch", "momentum": 1.5}, "momentum is 1.5; allowed: a number from 0 to 1"),
        ({"kind": "batch", "momentum": math.nan}, "momentum is nan"),
        ({"groups": 0}, "groups is 0; allowed: a whole number from 1 to 1024"),
        ({"size": 10**9}, "size is 1000000000; allowed: a whole number from 1 to 1024"),
    ],
)
def test_bad_settings_say_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Norm(**arguments)


def test_one_image_has_no_statistics_of_its_own() -> None:
    layer = UnitNorm(3)
    layer.train()
    many = torch.tensor([[1.0, 2.0, 3.0], [3.0, 6.0, 3.0]])
    torch.testing.assert_close(layer(many), nn.BatchNorm1d(3)(many))
    assert layer.running_mean is not None
    assert layer.running_var is not None
    before = layer.running_mean.clone(), layer.running_var.clone()
    one = torch.tensor([[1.0, 2.0, 3.0]])
    wanted = (one - before[0]) / (before[1] + 1e-5).sqrt()
    torch.testing.assert_close(layer(one), wanted)
    assert torch.equal(layer.running_mean, before[0])
    assert torch.equal(layer.running_var, before[1])
    layer(one).sum().backward()
    assert layer.bias.grad is not None
