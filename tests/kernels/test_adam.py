"""Adam for all parameters at once: against the published rule in float64, and torch's state."""

import copy
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.kernels import library
from convscope.training.optimizers import KernelAdam, build_optimizer
from convscope.training.recipe import Optimizer

CHOICES = [
    Optimizer(),
    Optimizer(lr=0.01, weight_decay=0.1, betas=(0.5, 0.9), epsilon=0.1),
    Optimizer(kind="adamw", lr=0.01, weight_decay=0.1),
]


@pytest.fixture(params=library.available(), autouse=True)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every version of the kernels that this processor can run."""
    monkeypatch.setenv(library.VARIABLE, request.param)
    return str(request.param)


def published(
    w: torch.Tensor, gradients: list[torch.Tensor], choice: Optimizer
) -> tuple[torch.Tensor, ...]:
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2, for AdamW."""
    (b1, b2), m, v = choice.betas, torch.zeros_like(w), torch.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        if choice.kind == "adamw":
            w = w - choice.lr * choice.weight_decay * w
        else:
            g = g + choice.weight_decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        step = choice.lr / (1 - b1**t)
        w = w - step * m / ((v / (1 - b2**t)).sqrt() + choice.epsilon)
    return w, m, v


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=5),
    st.sampled_from(CHOICES),
    st.integers(1, 4),
    st.integers(0, 2**31),
)
def test_any_sizes_and_steps(sizes: list[int], choice: Optimizer, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(size, generator=generator)) for size in sizes]
    start = [one.detach().double() for one in parameters]
    gradients = [[torch.randn(n, generator=generator) for _ in range(steps)] for n in sizes]
    optimizer = build_optimizer(choice, parameters, kernels=True)
    assert isinstance(optimizer, KernelAdam)
    for step in range(steps):
        for parameter, own in zip(parameters, gradients, strict=True):
            parameter.grad = own[step].clone()
        optimizer.step()
    for parameter, own, first in zip(parameters, gradients, start, strict=True):
        wanted, mean, square = published(first, [one.double() for one in own], choice)
        state = optimizer.state[parameter]
        assert float((parameter.detach().double() - wanted).abs().max()) < 1e-6
        assert float((state["exp_avg"].double() - mean).abs().max()) < 1e-6
        assert float((state["exp_avg_sq"].double() - square).abs().max()) < 1e-6
        assert state["step"].item() == steps


def test_the_first_step_is_the_rate_whatever_the_gradient() -> None:
    weight = nn.Parameter(torch.tensor([2.0, -1.0, 3.0]))
    weight.grad = torch.tensor([0.5, -100.0, 0.0])
    build_optimizer(Optimizer(lr=0.1), [weight], kernels=True).step()
    assert weight.tolist() == pytest.approx([1.9, -0.9, 3.0], rel=1e-6)


def test_torch_goes_on_from_its_state() -> None:
    """The same state whichever computes: a run may go on where there are no kernels."""
    ours, theirs = (nn.Parameter(torch.linspace(-2, 2, 37)) for _ in range(2))
    first = build_optimizer(CHOICES[1], [ours], kernels=True)
    second = build_optimizer(CHOICES[1], [theirs])
    for step in range(3):
        for one, optimizer in ((ours, first), (theirs, second)):
            one.grad = torch.sin(torch.arange(37.0) + step)
            optimizer.step()
        second.load_state_dict(copy.deepcopy(first.state_dict()))  # else the two share tensors
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    assert first.state_dict()["state"][0].keys() == second.state_dict()["state"][0].keys()


def test_weights_without_a_gradient_stay(target: str) -> None:
    del target
    moved, still = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    optimizer = build_optimizer(Optimizer(lr=0.1), [moved, still], kernels=True)
    moved.grad = torch.full((5,), math.pi)
    optimizer.step()
    assert torch.equal(still, torch.ones(5))
    assert not torch.equal(moved, torch.ones(5))


@pytest.mark.parametrize("parameter", [torch.ones(3, 4).T, torch.ones(3, dtype=torch.float64)])
def test_what_the_kernel_cannot_move_is_torchs(parameter: torch.Tensor) -> None:
    optimizer = build_optimizer(Optimizer(), [nn.Parameter(parameter)], kernels=True)
    assert not isinstance(optimizer, KernelAdam)
