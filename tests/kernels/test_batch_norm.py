"""Batch normalisation, activation and pooling in one: against torch in float64, and by hand."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.kernels import batch_norm as kernel
from convscope.kernels.batch_norm import batch_norm
from convscope.kernels.block import ACTIVATIONS, Plan
from convscope.kernels.calls import MAPS

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "tanh": torch.tanh,
    "scaled-tanh": lambda z: 1.7159 * torch.tanh(z * 2 / 3),
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "leaky-relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": lambda z: z * torch.special.ndtr(z),
    "silu": F.silu,
}
POOLED = Plan("relu", "max", (3, 3), (2, 2), (1, 1))
EPS = 1e-5
pytestmark = pytest.mark.usefixtures("target")
"""Each version of the kernels that this processor runs."""


def reference(x: Tensor, weight: Tensor, bias: Tensor, plan: Plan) -> Tensor:
    """The three operators of torch."""
    z = F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)
    y = FUNCTIONS[plan.activation](z)
    return F.max_pool2d(y, plan.window, plan.step, plan.border) if plan.pooling == "max" else y


def ours(x: Tensor, weight: Tensor, bias: Tensor, plan: Plan) -> Tensor:
    return batch_norm(x, weight, bias, EPS, plan)[0]


def values_and_gradients(
    work: Callable[..., Tensor], tensors: list[Tensor], plan: Plan, upstream: Tensor
) -> list[Tensor]:
    leaves = [one.detach().clone().requires_grad_() for one in tensors]
    y = work(*leaves, plan)
    return [y.detach(), *torch.autograd.grad(y, leaves, upstream.to(y.dtype))]


def drawn(
    shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32
) -> tuple[list[Tensor], torch.Generator]:
    """Maps with means and deviations of their own, the weights, some of them negative, the biases.

    The numbers of a map are all different, far beyond float32's rounding: which one of a window is
    largest is beyond doubt.
    """
    generator = torch.Generator().manual_seed(seed)
    n, maps, height, width = shape
    order = torch.stack(
        [torch.randperm(n * height * width, generator=generator) for _ in range(maps)]
    )
    numbers = (order.float() / max(n * height * width - 1, 1) - 0.5).view(maps, n, height, width)
    mean = torch.randn(maps, 1, 1, 1, generator=generator)
    x = (numbers * 3 + mean).transpose(0, 1).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(maps, generator=generator)
    return [x, weight, torch.randn(maps, generator=generator)], generator


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], Plan]:
    """Of the input, and what follows."""
    window, step, border, pooling = (1, 1), (1, 1), (0, 0), draw(st.sampled_from(["max", "none"]))
    if pooling == "max":
        window = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        step = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
        border = (draw(st.integers(0, window[0] // 2)), draw(st.integers(0, window[1] // 2)))
    rows, columns = (one + draw(st.integers(0, 8)) for one in window)
    images = draw(st.integers(1 if rows * columns > 1 else 2, 5))
    maps = MAPS * draw(st.integers(1, 3))
    plan = Plan(draw(st.sampled_from(sorted(ACTIVATIONS))), pooling, window, step, border)
    return (images, maps, rows, columns), plan


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=shapes(), seed=st.integers(0, 2**31))
def test_values_and_gradients_are_those_of_float64(
    case: tuple[tuple[int, ...], Plan], seed: int
) -> None:
    shape, plan = case
    tensors, generator = drawn(shape, seed)
    exact = [one.double() for one in tensors]
    upstream = torch.randn(reference(exact[0], exact[1], exact[2], plan).shape, generator=generator)
    wanted = values_and_gradients(reference, exact, plan, upstream)
    found = values_and_gradients(ours, tensors, plan, upstream)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert one.dtype == torch.float32
        assert float((one.double() - other).abs().max()) < 2e-5 * max(float(other.abs().max()), 1.0)


@pytest.mark.parametrize("pooling", ["max", "none"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_bfloat16_is_as_near_as_its_digits(activation: str, pooling: str) -> None:
    """Values within a rounding; gradients, whose parts are rounded on the way, within two or so."""
    plan = Plan(activation, pooling, *(((3, 3), (2, 2), (1, 1)) if pooling == "max" else ()))
    tensors, generator = drawn((6, 32, 5, 4), 1, torch.bfloat16)
    exact = [one.double() for one in tensors]
    upstream = torch.randn(
        reference(exact[0], exact[1], exact[2], plan).shape, generator=generator
    ).bfloat16()
    wanted = values_and_gradients(reference, exact, plan, upstream)
    found = values_and_gradients(ours, tensors, plan, upstream)
    assert [one.dtype for one in found] == [torch.bfloat16] * 2 + [torch.float32] * 2
    for one, other, near in zip(found, wanted, (2**-8, 2**-6, 2**-6, 2**-6), strict=True):
        assert float((one.double() - other).abs().max()) < near * float(other.abs().max())


def test_gelu_of_bfloat16_and_its_slope() -> None:
    """Maps whose weight is 0, so that their normalised values are their biases: -12 to 12."""
    z = torch.linspace(-12, 12, 2400)
    x = torch.randn(2, len(z), 1, 1).bfloat16().to(memory_format=torch.channels_last)
    bias = z.clone().requires_grad_()
    y = batch_norm(x, torch.zeros_like(z), bias, EPS, Plan("gelu"))[0]
    y.float().sum().backward()  # type: ignore[no-untyped-call]
    assert bias.grad is not None
    exact = z.double()
    share, density = torch.special.ndtr(exact), torch.exp(-(exact**2) / 2) / math.sqrt(2 * math.pi)
    inside = exact.abs() <= 4
    values = (
        y[0].detach().flatten().double() - exact * share
    ).abs() - exact.abs() * 2**-8  # the rounding
    slopes = (bias.grad.double() / 2 - share - exact * density).abs()
    assert float(values[inside].max()) < 2e-5
    assert float(values.max()) < 1.4e-4
    assert float(slopes[inside].max()) < 1e-4
    assert float(slopes.max()) < 6e-4
    assert float(y[0, exact < -4].detach().abs().max()) == 0


def test_by_hand() -> None:
    """To a map 1, 3, 5 and 7: mean 4, variance 5; then ReLU and the largest of two."""
    x = torch.tensor([[1.0, 3.0], [5.0, 7.0]]).view(1, 1, 2, 2).expand(2, MAPS, 2, 2)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.full((MAPS,), 2.0, requires_grad=True)
    bias = torch.full((MAPS,), 0.5, requires_grad=True)
    plan = Plan("relu", "max", (1, 2), (1, 2), (0, 0))
    y, mean, variance = batch_norm(x, weight, bias, 0.0, plan)
    assert mean.tolist() == [4.0] * MAPS
    assert variance.tolist() == pytest.approx([5.0] * MAPS)
    root = math.sqrt(5)
    # z = 2 (x - 4) / √5 + 0.5: -2.18, -0.39 | 1.39, 3.18; of the first row ReLU leaves nothing.
    assert y[0, 0].flatten().tolist() == pytest.approx([0.0, 6 / root + 0.5])
    y[:, :, 1].sum().backward()  # type: ignore[no-untyped-call]
    assert bias.grad is not None
    assert weight.grad is not None
    assert x.grad is not None
    assert bias.grad.tolist() == pytest.approx([2.0] * MAPS)  # one winner in each of two images
    assert weight.grad.tolist() == pytest.approx([2 * 3 / root] * MAPS)
    # 2/√5 (1{it won} - 2/8 - (x - 4) (2 · 3) / (8 · 5))
    expected = [
        2 / root * (won - 0.25 - (value - 4) * 6 / 40)
        for value, won in ((1, 0), (3, 0), (5, 0), (7, 1))
    ]
    assert x.grad[1, 3].flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_threads_give_the_same_bytes(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, two or three, OpenMP's, or where torch has others, the kernels' own."""
    tensors, generator = drawn((7, 32, 9, 8), 3, dtype)
    upstream = torch.randn(7, 32, 5, 4, generator=generator)
    before, found = torch.get_num_threads(), []
    try:
        for own in (False, True):
            if own:
                monkeypatch.setattr(kernel, "openmp_team", lambda: None)
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                found.append(values_and_gradients(ours, tensors, POOLED, upstream))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_none(dtype: torch.dtype) -> None:
    x, weight, bias = drawn((2, 16, 4, 4), 5, dtype)[0]
    x[1, 3, 2, 2] = math.nan
    y = ours(x, weight, bias, POOLED)
    assert bool(y[:, 3].isnan().all())
    assert not bool(y[:, :3].isnan().any())


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    x = torch.randn(8, 16, 6, 6, generator=torch.Generator().manual_seed(1)) + 1000
    x = x.contiguous(memory_format=torch.channels_last)
    _, mean, variance = batch_norm(x, torch.ones(16), torch.zeros(16), EPS, Plan("identity"))
    exact = x.double()
    wanted = exact.var(dim=(0, 2, 3), correction=0)
    assert float((mean.double() - exact.mean(dim=(0, 2, 3))).abs().max()) < 1e-4
    assert float(((variance.double() - wanted) / wanted).abs().max()) < 1e-5


def test_a_number_far_from_the_others_costs_no_digits() -> None:
    """Where a border of zeros meets a filter that answers to it, the first number may be such."""
    x = torch.randn(8, 16, 6, 6, generator=torch.Generator().manual_seed(1))
    x[0, :, 0, 0] = 1000
    x = x.contiguous(memory_format=torch.channels_last)
    variance = batch_norm(x, torch.ones(16), torch.zeros(16), EPS, Plan("identity"))[2]
    wanted = x.double().var(dim=(0, 2, 3), correction=0)
    assert float(((variance.double() - wanted) / wanted).abs().max()) < 1e-6


@pytest.mark.parametrize("size", [(1, 2), (55, 55), (64, 3)])
def test_equal_numbers_have_no_variance(size: tuple[int, int]) -> None:
    x = torch.full((3, 16, *size), 0.1).contiguous(memory_format=torch.channels_last)
    y, mean, variance = batch_norm(x, torch.ones(16), torch.zeros(16), EPS, Plan("relu"))
    assert float(variance.max()) < 1e-12
    assert mean.tolist() == pytest.approx([0.1] * 16)
    assert float(y.abs().max()) < 1e-3
