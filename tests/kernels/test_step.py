"""A whole training step in one call: what autograd gives, and only where the network is a chain."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope import models
from convscope.kernels.batch_last import batch_last
from convscope.kernels.step import record
from convscope.layers.fusing import kernels_in_use
from convscope.layers.pooling import Pool


def by_autograd(model: nn.Module, x: Tensor, labels: Tensor, smoothing: float) -> list[Tensor]:
    """Loss and gradients in float64."""
    model = model.double()
    loss = F.cross_entropy(model(x.double()), labels, label_smoothing=smoothing)
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize(("images", "smoothing"), [(16, 0.0), (37, 0.1), (2, 0.0)])
def test_loss_and_gradients_are_those_of_float64(
    target: str, images: int, smoothing: float, pool: str
) -> None:
    del target
    model = models.build("lenet5", {"pool": Pool(pool)}, seed=1).train()
    generator = torch.Generator().manual_seed(0)
    first, x = (batch_last(torch.randn(images, 1, 32, 32, generator=generator)) for _ in range(2))
    labels = torch.randint(0, 10, (images,), generator=generator)
    with kernels_in_use():
        found = record(model, first, smoothing)
    assert found is not None
    step, gradients = found
    loss, right = step(x, labels)
    correct = int((model(x).argmax(1) == labels).sum())
    wanted_loss, *wanted = by_autograd(model, x, labels, smoothing)
    assert loss == pytest.approx(float(wanted_loss.detach()), rel=1e-6, abs=1e-6)
    assert right == correct
    for mine, theirs in zip(gradients, wanted, strict=True):
        assert float((mine - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())
    with pytest.raises(ValueError, match="a label is no class"):
        step(x, labels + 10)


class Changed(nn.Module):
    """LeNet-5 with something between or after its layers."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.inner = what, models.build("lenet5")
        if what == "unused parameter":
            self.other = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "before":
            x = x + 1
        scores: Tensor = self.inner(x)
        return scores * 2 if self.what == "after" else scores


@pytest.mark.parametrize("what", ["before", "after", "unused parameter"])
def test_what_is_no_chain_is_not_taken_for_one(what: str) -> None:
    with kernels_in_use():
        assert record(Changed(what), batch_last(torch.randn(4, 1, 32, 32))) is None
        assert record(Changed(""), batch_last(torch.randn(4, 1, 32, 32))) is not None


@pytest.mark.parametrize(
    "arguments", [{"pool": Pool("l2")}, {"c3": "table"}, {"pool": Pool("stochastic")}]
)
def test_networks_that_are_no_chain(arguments: dict[str, object]) -> None:
    """Another pooling, and weights that are put together from a table at each step."""
    model = models.build("lenet5", arguments).train()
    with kernels_in_use():
        assert record(model, batch_last(torch.randn(4, 1, 32, 32))) is None


def test_a_frozen_parameter_is_no_chain() -> None:
    model = models.build("lenet5").train()
    next(model.parameters()).requires_grad_(False)
    with kernels_in_use():
        assert record(model, batch_last(torch.randn(4, 1, 32, 32))) is None
