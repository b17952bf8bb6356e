import math
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convscope.training.optimizers import WeightAverage, build_optimizer
from convscope.training.recipe import Optimizer

WEIGHTS, GRADIENTS = [2.0, -3.0], [[0.5, -0.25], [0.1, 0.4], [-0.3, 0.2]]


def after_steps(choice: Optimizer) -> list[float]:
    """Two weights after one step a gradient."""
    weight = nn.Parameter(torch.tensor(WEIGHTS))
    optimizer = build_optimizer(choice, [weight])
    for gradient in GRADIENTS:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    return weight.tolist()


def sgd(w: float, gradients: list[float], choice: Optimizer) -> float:
    """Sutskever et al. 2013 as torch writes it: v ← μv + g; w ← w − lr·v (or g + μv)."""
    velocity = 0.0
    for gradient in gradients:
        g = gradient + choice.weight_decay * w
        velocity = choice.momentum * velocity + g
        w -= choice.lr * (g + choice.momentum * velocity if choice.nesterov else velocity)
    return w


def adam(w: float, gradients: list[float], choice: Optimizer) -> float:
    """Kingma & Ba 2015, algorithm 1; AdamW decays the weight itself (Loshchilov & Hutter 2019)."""
    (b1, b2), m, v = choice.betas, 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        g = gradient
        if choice.kind == "adamw":
            w -= choice.lr * choice.weight_decay * w
        else:
            g += choice.weight_decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w -= choice.lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + choice.epsilon)
    return w


@pytest.mark.parametrize(
    "choice",
    [
        Optimizer(kind="sgd", lr=0.1),
        Optimizer(kind="sgd", lr=0.1, weight_decay=0.01),
        Optimizer(kind="sgd", lr=0.1, momentum=0.9),
        Optimizer(kind="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        Optimizer(),
        Optimizer(kind="adam", lr=0.01, weight_decay=0.1, betas=(0.5, 0.9), epsilon=0.1),
        Optimizer(kind="adamw", lr=0.01, weight_decay=0.1),
    ],
    ids=lambda choice: f"{choice.kind} {choice.momentum} {choice.nesterov} {choice.weight_decay}",
)
def test_three_steps_by_hand(choice: Optimizer) -> None:
    rule = sgd if choice.kind == "sgd" else adam
    expected = [
        rule(weight, [gradient[i] for gradient in GRADIENTS], choice)
        for i, weight in enumerate(WEIGHTS)
    ]
    assert after_steps(choice) == pytest.approx(expected, rel=1e-6)


def test_the_first_steps_in_plain_numbers() -> None:
    """SGD: 2 − 0.1·0.5. Adam's first step is lr whatever the gradient."""
    weight = nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([0.5])
    build_optimizer(Optimizer(kind="sgd", lr=0.1), [weight]).step()
    assert weight.item() == pytest.approx(1.95)
    build_optimizer(Optimizer(kind="adam", lr=0.1), [weight]).step()
    assert weight.item() == pytest.approx(1.85)


def test_frozen_parameters_are_left_out() -> None:
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    free = nn.Parameter(torch.ones(1))
    optimizer = build_optimizer(Optimizer(), [frozen, free])
    assert [group["params"] for group in optimizer.param_groups] == [[free]]


positive = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)


@given(
    st.sampled_from(["sgd", "adam", "adamw", "muon", "sdlm"]),
    positive,
    st.floats(0, 1, exclude_max=True),
    st.booleans(),
    st.floats(0, 1e308),
    st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
    positive,
)
def test_every_optimizer_that_a_recipe_allows_can_be_built(
    kind: str,
    lr: float,
    momentum: float,
    nesterov: bool,
    decay: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    fields = {"kind": kind, "lr": lr, "momentum": momentum, "weight_decay": decay}
    fields |= {
        "nesterov": nesterov and kind in ("sgd", "muon") and momentum > 0,
        "epsilon": epsilon,
    }
    choice = Optimizer.model_validate(fields | {"betas": betas})
    assert build_optimizer(choice, [nn.Parameter(torch.ones(1))]).param_groups[0]["lr"] == lr


class Net(nn.Module):
    """Two weights, running statistics of one channel with their counter, and a code."""

    code: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1, bias=False)
        self.norm = nn.BatchNorm1d(1)
        self.register_buffer("code", torch.zeros(2))


def fill(net: Net, value: float) -> None:
    with torch.no_grad():
        net.line.weight.fill_(value)
        net.code.fill_(10 * value)
        assert net.norm.running_mean is not None
        net.norm.running_mean.fill_(100 * value)
        assert net.norm.num_batches_tracked is not None
        net.norm.num_batches_tracked.fill_(int(value))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_by_hand(decay: float) -> None:
    """decay·average + (1 − decay)·weights, the decay held to (1 + t)/(10 + t)."""
    net = Net()
    fill(net, 4.0)
    average, expected = WeightAverage(net, decay), 4.0
    for step, value in enumerate([1.0, 5.0, -2.0, 7.0] * 6):
        fill(net, value)
        average.update(net, step)
        held = min(decay, (1 + step) / (10 + step))
        expected = held * expected + (1 - held) * value
        found = average.state
        assert found["line.weight"].tolist() == [[pytest.approx(expected, rel=1e-5)] * 2]
        assert found["code"].tolist() == [10 * value] * 2
        assert found["norm.running_mean"].tolist() == [100 * value]
        assert found["norm.num_batches_tracked"].item() == int(value)


def test_the_average_starts_as_a_copy() -> None:
    net = Net()
    average = WeightAverage(net, 0.9)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fill(net, 3.0)
    assert average.state.keys() == before.keys()
    for name, value in average.state.items():
        assert torch.equal(value, before[name])
        assert not value.requires_grad


@pytest.mark.parametrize("fails", [False, True])
def test_it_is_applied_for_a_while_and_taken_back_exactly(fails: bool) -> None:
    net = Net()
    average = WeightAverage(net, 0.9)
    fill(net, 1 / 3)
    average.update(net, 50)
    fill(net, 2 / 3)
    trained = {name: value.clone() for name, value in net.state_dict().items()}
    weight = net.line.weight
    assert not torch.equal(average.state["line.weight"], weight)
    averaged = {name: value.clone() for name, value in average.state.items()}
    with (
        pytest.raises(ZeroDivisionError) if fails else nullcontext(),
        average.applied_to(net),
    ):
        for name, value in net.state_dict().items():
            assert torch.equal(value, averaged[name])
            value.zero_()  # what happens to the net does not reach the average
        if fails:
            raise ZeroDivisionError
    assert net.line.weight is weight, "the optimizer's parameters stay the same objects"
    for name, value in net.state_dict().items():
        assert torch.equal(value, trained[name])
        assert torch.equal(average.state[name], averaged[name])


@pytest.mark.parametrize(
    ("choice", "theirs"),
    [
        (Optimizer(kind="sgd", lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
        (
            Optimizer(kind="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        (Optimizer(kind="adam", lr=0.1), lambda p: torch.optim.Adam(p, lr=0.1, fused=True)),
        (
            Optimizer(kind="adamw", lr=0.1, weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, fused=True),
        ),
    ],
    ids=["sgd", "nesterov", "adam", "adamw"],
)
def test_the_updates_are_those_of_torch(
    choice: Optimizer, theirs: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
) -> None:
    """Ours leave out torch's hooks for its compiler, and nothing else."""
    start = torch.linspace(-1, 1, 7)
    ours, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    first, second = build_optimizer(choice, [ours]), theirs([other])
    for step in range(5):
        for parameter, optimizer in ((ours, first), (other, second)):
            parameter.grad = torch.sin(start * (step + 1))
            optimizer.step()
    torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-7)
