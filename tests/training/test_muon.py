"""Muon: against singular values, torch's own Muon, and sums by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convscope import models
from convscope.training.muon import hidden_matrices, orthogonalised
from convscope.training.optimizers import build_optimizer
from convscope.training.recipe import Optimizer

CHOICE = Optimizer(
    kind="muon", lr=0.1, matrix_lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1e-3, 1e3), st.integers(0, 100))
def test_singular_values_come_near_one_and_directions_stay(
    rows: int, columns: int, size: float, seed: int
) -> None:
    matrix = drawn(rows, columns, seed=seed) * size
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix, rounds=8)
    assert found.shape == matrix.shape
    inside = left.T @ found @ right.T
    clear = values > 0.05 * values[0]  # a tiny one takes more rounds
    on_the_diagonal = inside.diagonal()[clear]
    assert ((on_the_diagonal > 0.6) & (on_the_diagonal < 1.3)).all()
    assert (inside - torch.diag(inside.diagonal())).abs().max() < 0.15  # bfloat16


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (16, 16)])
def test_the_step_is_that_of_torch(shape: tuple[int, int]) -> None:
    """torch.optim.Muon moves by lr · max(1, rows/columns)^½ · the same orthogonal matrix."""
    theirs = nn.Parameter(torch.zeros(shape))
    optimizer = torch.optim.Muon(
        [theirs], lr=1.0, momentum=0.9, weight_decay=0.0, ns_steps=5, nesterov=True
    )
    gradients = [drawn(*shape, seed=seed) for seed in range(3)]
    velocity = torch.zeros(shape)
    for gradient in gradients:
        before = theirs.detach().clone()
        theirs.grad = gradient.clone()
        optimizer.step()  # type: ignore[no-untyped-call]
        velocity = 0.9 * velocity + gradient
        ours = orthogonalised(gradient + 0.9 * velocity, rounds=5)
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        # torch averages, v ← μv + (1 − μ)g and (1 − μ)g + μv: a tenth, which is scaled away.
        # Both compute in bfloat16, whose last bits five rounds make larger.
        apart = before - theirs.detach() - ours * scale
        assert apart.norm() < 0.08 * (ours * scale).norm()


def test_two_steps_of_a_convolution_by_hand() -> None:
    first, inner, last = (nn.Parameter(drawn(4, 4, 3, 3, seed=seed)) for seed in range(3))
    optimizer = build_optimizer(CHOICE, [first, inner, last])
    weight, velocity = inner.detach().clone(), torch.zeros(4, 36)
    for seed in range(2):
        gradient = drawn(4, 4, 3, 3, seed=10 + seed)
        inner.grad = gradient.clone()
        optimizer.step()
        velocity = 0.9 * velocity + gradient.view(4, 36)
        step = orthogonalised(gradient.view(4, 36) + 0.9 * velocity, dtype=torch.float32)
        weight = weight * 2 / weight.norm() - 0.05 * step.view_as(weight)  # 2 = √4 rows
        assert torch.allclose(inner, weight, atol=1e-6)
        assert inner.grad is None


def test_everything_else_goes_by_sgd() -> None:
    shapes = [(4, 3), (4,), (4, 4), (4,), (2, 4), (2,)]
    ours = [nn.Parameter(drawn(*shape, seed=i)) for i, shape in enumerate(shapes)]
    theirs = [nn.Parameter(one.detach().clone()) for one in ours]
    optimizer = build_optimizer(CHOICE, ours)
    reference = torch.optim.SGD(theirs, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for seed in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            one.grad = drawn(*one.shape, seed=20 + 10 * seed + index)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
    for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.allclose(one, other, atol=1e-6) == (index != 2)


def test_the_schedule_moves_both_rates() -> None:
    parameters = [nn.Parameter(torch.ones(2, 2)) for _ in range(3)]
    optimizer = build_optimizer(CHOICE, parameters)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    parameters[1].grad = drawn(2, 2)
    optimizer.step()
    assert torch.allclose(parameters[1], torch.full((2, 2), 2**0.5 / 2))  # √rows / norm: no step


def test_the_hidden_matrices_of_alexnet() -> None:
    model = models.build("alexnet-cifar", {"width": 4, "hidden": 8, "hidden_norm": True})
    names = {id(value): name for name, value in model.named_parameters()}
    assert [names[id(one)] for one in hidden_matrices(model.parameters())] == [
        "conv2.weight",
        "conv3.weight",
        "conv4.weight",
        "conv5.weight",
        "fc6.weight",
        "fc7.weight",
    ]
