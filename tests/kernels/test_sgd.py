"""Gradient descent for weights with copies in bfloat16: against the rule in float64, and torch."""

import itertools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.kernels import sgd as kernel
from convscope.kernels.sgd import Halved, sgd
from convscope.training.optimizers import HalvesSGD, build_optimizer
from convscope.training.precision import HalfWeights
from convscope.training.recipe import Optimizer

pytestmark = pytest.mark.usefixtures("target")
CHOICE = Optimizer(kind="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)


@given(
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    nesterov=st.booleans(),
    momentum=st.sampled_from([0.5, 0.9]),
    decay=st.sampled_from([0.0, 0.01]),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_three_steps_are_the_rules(
    sizes: list[int], nesterov: bool, momentum: float, decay: float
) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    weights = [torch.randn(size, generator=generator) for size in sizes]
    exact = [(weight.double(), torch.zeros_like(weight).double()) for weight in weights]
    velocities = [torch.zeros_like(weight) for weight in weights]
    halves = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in weights]
    for _ in range(3):
        gradients = [torch.randn(size, generator=generator).bfloat16() for size in sizes]
        moved = [Halved(*one) for one in zip(weights, velocities, gradients, halves, strict=True)]
        sgd(moved, nesterov=nesterov, lr=0.1, momentum=momentum, decay=decay)
        for number, ((w, v), gradient) in enumerate(zip(exact, gradients, strict=True)):
            g = gradient.double() + decay * w
            v = momentum * v + g
            exact[number] = w - 0.1 * (g + momentum * v if nesterov else v), v
    for weight, velocity, half, (w, v) in zip(weights, velocities, halves, exact, strict=True):
        torch.testing.assert_close(weight.double(), w, atol=2e-6, rtol=1e-6)
        torch.testing.assert_close(velocity.double(), v, atol=2e-6, rtol=1e-6)
        assert torch.equal(half, weight.bfloat16())


def test_any_threads_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for own, threads in itertools.product((False, True), (1, 2, 3)):
            if own:
                monkeypatch.setattr(kernel, "openmp_team", lambda: None)
            torch.set_num_threads(threads)
            generator = torch.Generator().manual_seed(1)
            weight, velocity = torch.randn(2, 5003, generator=generator)
            gradient = torch.randn(5003, generator=generator).bfloat16()
            one = Halved(weight.clone(), velocity.clone(), gradient, torch.empty_like(gradient))
            sgd([one], nesterov=False, lr=0.1, momentum=0.9, decay=0.1)
            found.append(one)
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("place", [3, 37])  # in a vector, and behind the last whole one
def test_what_is_no_number_stays_none(place: int) -> None:
    one = Halved(
        torch.ones(38), torch.zeros(38), torch.ones(38).bfloat16(), torch.ones(38).bfloat16()
    )
    one.gradient[place] = math.nan
    sgd([one], nesterov=False, lr=0.1, momentum=0.9, decay=0.0)
    for tensor in (one.weight, one.velocity, one.half):
        assert tensor.isnan().nonzero().flatten().tolist() == [place]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5 * 36, 101)
    model: nn.Module = nn.Sequential(*layers)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_network_moves_as_with_torchs(nesterov: bool) -> None:
    """Five steps; and the state goes either way."""
    found = []
    for halves in (False, True):
        model = network(0)
        twin = HalfWeights(model)
        choice = CHOICE.model_copy(update={"nesterov": nesterov})
        optimizer = build_optimizer(choice, model.parameters(), torch.bfloat16, halves=halves)
        assert isinstance(optimizer, HalvesSGD) is halves
        for step in range(5):
            x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            with torch.autocast("cpu", torch.bfloat16):
                y = twin.network(x.to(torch.bfloat16, memory_format=torch.channels_last))
            y.float().square().mean().backward()
            twin.step(optimizer)
            assert all(one.grad is None for one in twin.network.parameters())
            if step == 2:  # as if it were resumed with the other one
                state = optimizer.state_dict()
                optimizer = build_optimizer(
                    choice, model.parameters(), torch.bfloat16, halves=not halves
                )
                optimizer.load_state_dict(state)
        found.append([*model.parameters(), *twin.network.parameters()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(
            ours, theirs, atol=1e-6, rtol=1e-2 if ours.dtype == torch.bfloat16 else 1e-5
        )


def test_without_momentum_it_is_torchs() -> None:
    plain = CHOICE.model_copy(update={"momentum": 0.0})
    parameters = list(network(0).parameters())
    assert not isinstance(
        build_optimizer(plain, parameters, torch.bfloat16, halves=True), HalvesSGD
    )


def test_gradients_and_velocities_in_another_order_are_put_in_order() -> None:
    """A convolution's weights lie by pixel here, and what moves them by map."""
    found = []
    for order in (torch.channels_last, torch.contiguous_format):
        model = network(0)
        twin = HalfWeights(model)
        optimizer = build_optimizer(CHOICE, model.parameters(), torch.bfloat16, halves=True)
        weight, half = next(model.parameters()), next(twin.network.parameters())
        generator = torch.Generator().manual_seed(1)
        velocity = torch.randn(weight.shape, generator=generator)
        half.grad = (
            torch.randn(weight.shape, generator=generator).bfloat16().to(memory_format=order)
        )
        optimizer.state[weight]["momentum_buffer"] = velocity.to(memory_format=order)
        twin.step(optimizer)
        found.append((weight, half, optimizer.state[weight]["momentum_buffer"]))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_what_has_no_gradient_stays() -> None:
    """A frozen weight, one whose copy has no gradient, and another group's rate."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.requires_grad_(False)
    twin = HalfWeights(model)
    groups = [
        {"params": [model[0].bias, *model[1].parameters()]},
        {"params": list(model[2].parameters()), "lr": 0.5},
    ]
    optimizer = HalvesSGD(groups, lr=0.1, momentum=0.9)
    before = [one.detach().clone() for one in model.parameters()]
    halves = list(twin.network.parameters())
    for half in halves[3:]:  # not of the first layer, not the weights of the second
        half.grad = torch.ones_like(half)
    twin.step(optimizer)
    moved = [
        float((b - a.detach()).mean()) for a, b in zip(model.parameters(), before, strict=True)
    ]
    assert moved == pytest.approx([0, 0, 0, 0.1, 0.5, 0.5], abs=1e-6)
