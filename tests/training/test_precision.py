"""Mixed precision: the twin against plain autocast, the masters against a loop of their own."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from convscope import models
from convscope.training.optimizers import build_optimizer
from convscope.training.precision import HalfWeights, half_copy
from convscope.training.recipe import Optimizer


def network() -> nn.Module:
    return models.build("alexnet-cifar", {"width": 8, "hidden": 16, "hidden_norm": True}).train()


def batch(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 32, 32, generator=generator), torch.arange(count) % 10


def test_convolutions_and_products_are_halved_and_the_rest_is_shared() -> None:
    model = network()
    twin = half_copy(model)
    masters = dict(model.named_parameters())
    for name, parameter in twin.named_parameters():
        if name.startswith(("conv", "fc")):
            assert parameter.dtype == torch.bfloat16
            assert torch.equal(parameter, masters[name].bfloat16())
        else:
            assert parameter is masters[name]
    buffers = dict(model.named_buffers())
    assert buffers
    assert all(value is buffers[name] for name, value in twin.named_buffers())


def test_the_twin_computes_what_autocast_computes() -> None:
    model = network()
    model.apply(lambda part: setattr(part, "p", 0.0) if isinstance(part, nn.Dropout) else None)
    other = copy.deepcopy(model)
    inputs, labels = batch()
    half = HalfWeights(model)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = half.network(inputs.bfloat16()), other(inputs)
    assert torch.equal(ours, theirs)
    for scores in (ours, theirs):
        F.cross_entropy(scores.float(), labels).backward()  # type: ignore[no-untyped-call]
    twins = dict(half.network.named_parameters())
    for name, parameter in other.named_parameters():
        gradient, wanted = twins[name].grad, parameter.grad
        assert gradient is not None
        assert wanted is not None
        torch.testing.assert_close(gradient.float(), wanted, atol=1e-5, rtol=1e-2)


def test_an_update_moves_the_float32_masters_by_the_gradient() -> None:
    """SGD with momentum and decay over three steps, by hand."""
    model = network()
    half = HalfWeights(model)
    choice = Optimizer(kind="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)
    optimizer = build_optimizer(choice, model.parameters())
    expected = {name: value.detach().clone() for name, value in model.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in expected.items()}
    inputs, labels = batch()
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            scores = half.network(inputs.bfloat16())
        F.cross_entropy(scores.float(), labels).backward()  # type: ignore[no-untyped-call]
        for name, parameter in half.network.named_parameters():
            assert parameter.grad is not None
            gradient = parameter.grad.float() + 0.01 * expected[name]
            velocity[name] = 0.9 * velocity[name] + gradient
            expected[name] -= 0.1 * velocity[name]
        half.step(optimizer)
        assert all(parameter.grad is None for parameter in model.parameters())
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        torch.testing.assert_close(parameter.detach(), expected[name], atol=1e-6, rtol=1e-5)
    for name, parameter in half.network.named_parameters():
        assert torch.equal(parameter, dict(model.named_parameters())[name].to(parameter.dtype))
