"""Muon for all parameters at once: against its rule in float64, and torch's state."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.kernels import calls, library
from convscope.training.optimizers import KernelMuon, Muon, build_optimizer
from convscope.training.recipe import Optimizer

PLAIN = Optimizer(kind="muon", lr=0.05, matrix_lr=0.02)
CHOICES = [
    PLAIN,
    Optimizer(kind="muon", lr=0.1, matrix_lr=0.06, momentum=0.9, nesterov=True),
    Optimizer(kind="muon", lr=0.1, matrix_lr=0.06, momentum=0.5, weight_decay=0.1),
]
SHAPES = st.lists(st.integers(1, 70), min_size=2, max_size=2)
INNER = st.one_of(SHAPES, st.just([9, 4, 3, 2]))


@pytest.fixture(params=library.available(), autouse=True)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every version of the kernels that this processor can run."""
    monkeypatch.setenv(library.VARIABLE, request.param)
    return str(request.param)


def near_orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Three rounds of x ← a·x + b·(x xᵀ)x + c·(x xᵀ)²x, from norm 1; K. Jordan et al. 2024."""
    x: torch.Tensor = matrix / (matrix.norm() + 1e-7)
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x - 4.7750 * square @ x + 2.0315 * square @ square @ x
    return x


def published(
    w: torch.Tensor, gradients: list[torch.Tensor], choice: Optimizer, turned: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight and the velocity after a step for each gradient."""
    v = torch.zeros_like(w)
    for g in gradients:
        g = g if turned else g + choice.weight_decay * w
        v = choice.momentum * v + g
        step = g + choice.momentum * v if choice.nesterov else v
        if turned:
            w = w * len(w) ** 0.5 / (w.norm() + 1e-7)
            w = w - choice.matrix_lr * near_orthogonal(step.flatten(1)).view_as(w)
        else:
            w = w - choice.lr * step
    return w, v


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(INNER, max_size=3), st.sampled_from(CHOICES), st.integers(1, 3), st.integers(0, 2**31)
)
def test_any_network(inner: list[list[int]], choice: Optimizer, steps: int, seed: int) -> None:
    """A first and a last matrix, and vectors between, which are not turned; and any that are."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [[6, 1, 5, 5], [6], *inner, [21], [3, 21]]
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    start = [one.detach().double() for one in parameters]
    gradients = [[torch.randn(one, generator=generator) for _ in range(steps)] for one in shapes]
    optimizer = build_optimizer(choice, parameters, kernels=True)
    assert isinstance(optimizer, KernelMuon)
    for step in range(steps):
        for parameter, own in zip(parameters, gradients, strict=True):
            parameter.grad = own[step].clone()
        optimizer.step()
    for i, (parameter, own, first) in enumerate(zip(parameters, gradients, start, strict=True)):
        turned = 2 <= i < 2 + len(inner)
        wanted, velocity = published(first, [one.double() for one in own], choice, turned)
        found = optimizer.state[parameter]["momentum_buffer"]
        assert float((parameter.detach().double() - wanted).abs().max()) < 2e-6 * steps
        assert float((found.double() - velocity).abs().max()) < 1e-6


def test_a_matrix_without_a_gradient_to_follow_keeps_its_direction() -> None:
    weight = torch.linspace(-1, 1, 12).view(3, 4)
    ends = [nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    middle = nn.Parameter(weight.clone())
    optimizer = build_optimizer(PLAIN, [ends[0], middle, ends[1]], kernels=True)
    middle.grad = torch.zeros(3, 4)
    optimizer.step()
    assert torch.allclose(middle, weight * 3**0.5 / weight.norm(), atol=1e-6)
    assert torch.equal(ends[0], torch.ones(2, 2))  # had no gradient at all


def after_steps(threads: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(6, 25), (16, 150), (120, 400), (84, 120), (10, 84), (10,)]
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    optimizer = build_optimizer(CHOICES[1], parameters, kernels=True)
    calls.use_threads(threads)
    try:
        for _ in range(3):
            for one in parameters:
                one.grad = torch.randn(one.shape, generator=generator)
            optimizer.step()
    finally:
        calls.use_threads(None)
    return [one.detach() for one in parameters]


def test_the_same_bytes_whatever_the_number_of_threads() -> None:
    alone, *others = map(after_steps, (1, 2, 5))
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(alone, other, strict=True))


def test_torch_goes_on_from_its_state() -> None:
    """The same state whichever computes: a run may go on where there are no kernels."""
    shapes, made = [(3, 5), (7, 5), (4, 7), (4,)], []
    for kernels in (True, False):
        own = [nn.Parameter(torch.linspace(-2, 2, 35)[: a * b].view(a, b)) for a, b in shapes[:3]]
        own.append(nn.Parameter(torch.ones(4)))
        made.append((own, build_optimizer(CHOICES[2], own, kernels=kernels)))
    (ours, first), (theirs, second) = made
    assert not isinstance(second, KernelMuon)
    for step in range(3):
        for parameters, optimizer in made:
            for number, one in enumerate(parameters):
                one.grad = torch.sin(torch.arange(float(one.numel())) * number + step).view_as(one)
            optimizer.step()
        second.load_state_dict(copy.deepcopy(first.state_dict()))  # else the two share tensors
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
    for number, state in first.state_dict()["state"].items():
        assert state.keys() == second.state_dict()["state"][number].keys()


@pytest.mark.parametrize("parameter", [torch.ones(3, 4).T, torch.ones(3, 4, dtype=torch.float64)])
def test_what_the_kernel_cannot_move_is_torchs(parameter: torch.Tensor) -> None:
    optimizer = build_optimizer(PLAIN, [nn.Parameter(parameter)], kernels=True)
    assert type(optimizer) is Muon


def test_products_in_bfloat16_are_torchs() -> None:
    ends = [nn.Parameter(torch.ones(3, 4)) for _ in range(3)]
    assert type(build_optimizer(PLAIN, ends, torch.bfloat16, kernels=True)) is Muon
