"""Convolution, pooling and activation in one: against torch in float64, and by hand."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.kernels.batch_last import batch_last, empty, is_batch_last, pitch
from convscope.kernels.block import ACTIVATIONS, POOLINGS, Plan, block

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "scaled-tanh": lambda x: 1.7159 * torch.tanh(x * 2 / 3),
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "leaky-relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": lambda x: x * torch.special.ndtr(x),  # F.gelu's 1 + erf cancels far below 0
    "silu": F.silu,
}


def reference(x: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
    """The published order: convolution, activation, pooling."""
    y = FUNCTIONS[plan.activation](F.conv2d(x, weight, bias))
    if plan.pooling == "max":
        return F.max_pool2d(y, plan.window, plan.step, plan.border)
    if plan.pooling == "min":
        return -F.max_pool2d(-y, plan.window, plan.step, plan.border)
    if plan.pooling == "average":
        return F.avg_pool2d(y, plan.window, plan.step)
    return y


def relative(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest value, or of 0.1 where sums cancel."""
    assert found.shape == wanted.shape
    assert bool(torch.isfinite(found).all())
    largest = float(wanted.abs().max()) if wanted.numel() else 0.0
    return float((found.double() - wanted).abs().max()) / max(largest, 0.1)


def values_and_gradients(
    work: Callable[..., Tensor], tensors: list[Tensor], plan: Plan, upstream: Tensor
) -> list[Tensor]:
    leaves = [one.detach().clone().requires_grad_() for one in tensors]
    y = work(*leaves, plan)
    gradients = torch.autograd.grad(y, leaves, upstream.to(y.dtype))
    return [y.detach(), *gradients]


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], Plan]:
    """Shapes of input and weights, and what follows."""
    kernel = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    pooling = draw(st.sampled_from(sorted(POOLINGS)))
    window, step, border = (1, 1), (1, 1), (0, 0)
    if pooling != "none":
        window = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        step = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    if pooling in ("max", "min"):  # as far as torch goes
        border = (draw(st.integers(0, window[0] // 2)), draw(st.integers(0, window[1] // 2)))
    rows = kernel[0] - 1 + window[0] + draw(st.integers(0, 9))
    columns = kernel[1] - 1 + window[1] + draw(st.integers(0, 9))
    images, maps_in, maps_out = (draw(st.integers(1, most)) for most in (37, 5, 9))
    plan = Plan(draw(st.sampled_from(sorted(ACTIVATIONS))), pooling, window, step, border)
    return (images, maps_in, rows, columns), (maps_out, maps_in, *kernel), plan


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(shapes(), st.integers(0, 2**31))
def test_values_and_gradients_are_those_of_float64(
    target: str, found: tuple[tuple[int, ...], tuple[int, ...], Plan], seed: int
) -> None:
    del target
    shape, kernels, plan = found
    generator = torch.Generator().manual_seed(seed)
    x, weight, bias = (
        torch.randn(size, generator=generator) for size in (shape, kernels, kernels[:1])
    )
    weight /= math.sqrt(weight[0].numel())
    # Winners must not depend on rounding, nor the sign at relu's corner: that is another test's.
    exact = F.conv2d(x.double(), weight.double(), bias.double())
    upstream = torch.randn(reference(x, weight, bias, plan).shape, generator=generator)
    if nearly_equal(exact, plan):
        return
    ours = values_and_gradients(block, [x, weight, bias], plan, upstream)
    wanted = values_and_gradients(
        reference, [x.double(), weight.double(), bias.double()], plan, upstream
    )
    for mine, right in zip(ours, wanted, strict=True):
        assert relative(mine, right) < 1e-5


def nearly_equal(exact: Tensor, plan: Plan) -> bool:
    """Whether two sums in a window, or a sum and 0, are closer than float32 can tell."""
    if plan.activation in ("relu", "leaky-relu") and float(exact.abs().min()) < 5e-6:
        return True
    rows, columns = plan.border
    exact = F.pad(exact, (columns, columns, rows, rows), value=math.inf)
    windows = exact.unfold(2, plan.window[0], plan.step[0]).unfold(3, plan.window[1], plan.step[1])
    ordered = windows.flatten(4).sort(-1).values
    return bool((ordered.diff(dim=-1) < 5e-6).any())


@pytest.mark.parametrize("border", [(0, 0), (1, 1)])
@pytest.mark.parametrize("pooling", ["max", "min"])
def test_equal_values_send_the_gradient_where_torch_sends_it(
    target: str, pooling: str, border: tuple[int, int]
) -> None:
    """Of equal values in a window the first in reading order; windows overlap here."""
    del target
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 3, (21, 2, 9, 8), generator=generator).float()
    weight = torch.eye(2)[:, :, None, None]
    plan = Plan("identity", pooling, (3, 2), (2, 1), border)
    upstream = torch.randint(1, 9, reference(x, weight, None, plan).shape, generator=generator)
    bias = torch.zeros(2)
    ours = values_and_gradients(block, [x, weight, bias], plan, upstream.float())
    theirs = values_and_gradients(reference, [x, weight, bias], plan, upstream.float())
    for mine, right in zip(ours, theirs, strict=True):
        assert torch.equal(mine, right)


def test_not_a_number_goes_through(target: str) -> None:
    del target
    x = torch.zeros(3, 1, 4, 4)
    x[1, 0, 2, 3] = math.nan
    for activation in ACTIVATIONS:
        y = block(x, torch.ones(1, 1, 1, 1), None, Plan(activation, "max", (2, 2), (2, 2)))
        assert torch.isnan(y).nonzero().tolist() == [[1, 0, 1, 1]]


def test_a_block_by_hand(target: str) -> None:
    """2 × 2 kernel of 1 0 / 0 1 on 3 × 3, then the maximum of all four sums."""
    del target
    x = torch.tensor([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    weight = torch.tensor([[[[1.0, 0], [0, 1]]]])
    x.requires_grad_()
    weight.requires_grad_()
    y = block(x, weight, torch.tensor([0.5]), Plan("identity", "max", (2, 2), (2, 2)))
    assert y.tolist() == [[[[5 + 9 + 0.5]]]]
    y.backward(torch.tensor([[[[2.0]]]]))  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert weight.grad is not None
    assert x.grad.tolist() == [[[[0, 0, 0], [0, 2, 0], [0, 0, 2]]]]
    assert weight.grad.tolist() == [[[[10, 12], [16, 18]]]]


def test_activations_over_the_whole_range(target: str) -> None:
    """To four units in the last place of float32; GELU, as torch's, of x times a share below 1."""
    del target
    x = torch.cat([torch.linspace(-12, 12, 20001), torch.tensor([-1e30, -100, -0.0, 1e-30, 100])])
    for activation, function in FUNCTIONS.items():
        y = block(x.view(1, 1, 1, -1), torch.ones(1, 1, 1, 1), None, Plan(activation)).view(-1)
        wanted = function(x.double())
        tiny = 1e-30  # below, a sigmoid may be anything as small
        size = x.double() if activation == "gelu" else wanted
        off = ((y.double() - wanted).abs() / size.abs().clamp(min=tiny)).max()
        assert float(off) < 6e-7, activation
        if activation == "gelu":
            theirs = ((F.gelu(x).double() - wanted).abs() / size.abs().clamp(min=tiny)).max()
            assert float(off) < 2 * float(theirs)


def test_the_same_bytes_whatever_the_number_of_threads(target: str) -> None:
    del target
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 3, 15, 14, generator=generator)
    weight, bias = torch.randn(7, 3, 4, 5, generator=generator), torch.randn(7, generator=generator)
    plan = Plan("tanh", "max", (2, 2), (2, 2))
    upstream = torch.randn(100, 7, 6, 5, generator=generator)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, *[2, 3, 7] * 5):
            torch.set_num_threads(threads)
            results.append(values_and_gradients(block, [x, weight, bias], plan, upstream))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


def test_what_lies_behind_the_images_changes_nothing(target: str) -> None:
    """A gradient whose memory goes on with other numbers: only the batch's count."""
    del target
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(5, 2, 6, 6, generator=generator), torch.randn(3, 2, 3, 3)
    plan = Plan("relu", "average", (2, 2), (2, 2))
    upstream = empty((5, 3, 2, 2))
    torch.as_strided(upstream, (12 * pitch(5),), (1,)).fill_(7.0)
    assert is_batch_last(upstream)
    ours = values_and_gradients(block, [x, weight, torch.zeros(3)], plan, upstream)
    wanted = values_and_gradients(
        reference, [x.double(), weight.double(), torch.zeros(3).double()], plan, upstream.double()
    )
    for mine, right in zip(ours, wanted, strict=True):
        assert relative(mine, right) < 1e-5


def test_memory_stays_batch_last_from_block_to_block(target: str) -> None:
    del target
    x = batch_last(torch.randn(33, 1, 12, 12)).requires_grad_()
    weight = torch.randn(4, 1, 3, 3, requires_grad=True)
    y = block(x, weight, None, Plan("relu", "max", (2, 2), (2, 2)))
    assert is_batch_last(y)
    assert y.flatten(1).data_ptr() == y.data_ptr(), "a view"
    (gradient,) = torch.autograd.grad(y.flatten(1).sum(), x)
    assert is_batch_last(gradient)
