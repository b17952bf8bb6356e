"""The Gauss-Newton diagonal against Jacobians by finite differences, and against plain loops."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope import models
from convscope.errors import InputError
from convscope.layers.activation import Activation
from convscope.layers.convolution import Convolution
from convscope.layers.pooling import Pool
from convscope.layers.pools import Subsampling
from convscope.layers.rbf import RBF, map_loss, mean_penalty_loss
from convscope.training.curvature import _back, _Call, backpropagated_diagonal, exact_diagonal
from convscope.training.optimizers import SDLM

CODES = torch.tensor([[1.0, -1, 1], [-1, 1, 1]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1, 0])


class Small(nn.Sequential):
    """6 × 6 pixels, two shared 3 × 3 kernels, subsampling, three units, and an RBF or not."""

    def __init__(self, *end: nn.Module, pool: str = "subsampling") -> None:
        torch.manual_seed(5)
        super().__init__(
            Convolution(1, 2, 3),
            Activation("scaled-tanh").build(),
            Pool(pool).build(2),
            Activation("tanh").build(),
            nn.Flatten(),
            nn.Linear(8, 3),
            *end,
        )
        self.double()
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7)


def pictures(n: int = 4, side: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, side, side, dtype=torch.float64, generator=generator)


def jacobian(network: Callable[[], Tensor], parameter: Tensor) -> Tensor:
    """∂(N × outputs)/∂(weights) by central differences: N × outputs × weights."""
    step, columns = 1e-5, []
    flat = parameter.data.view(-1)
    for k in range(len(flat)):
        kept = flat[k].item()
        flat[k] = kept + step
        above = network()
        flat[k] = kept - step
        columns.append((above - network()) / (2 * step))
        flat[k] = kept
    return torch.stack(columns, dim=2)


def full_diagonal(features: nn.Module, hessian: Tensor, inputs: Tensor) -> dict[str, Tensor]:
    """diag(JᵀHJ), the mean over images, with every product written out."""
    found = {}
    with torch.no_grad():
        for name, parameter in features.named_parameters():
            j = jacobian(lambda: features(inputs), parameter)
            whole = torch.einsum("nok,nop,npl->nkl", j, hessian, j)
            found[name] = whole.diagonal(dim1=1, dim2=2).mean(0).view_as(parameter)
    return found


def softmax_hessian(scores: Tensor) -> Tensor:
    """diag(p) − p·pᵀ."""
    p = scores.softmax(1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


def map_hessian(x: Tensor, j: float) -> Tensor:
    """Of Eq. 9 at F6, derived by hand: 2·p₀·I plus the covariance under p of 2x, 2w₀, 2w₁ …"""
    penalties = (x[:, None, :] - CODES).square().sum(2)
    logits = torch.cat([torch.full((len(x), 1), -j, dtype=x.dtype), -penalties], dim=1)
    p = logits.softmax(1)
    points = torch.cat([2 * x[:, None, :], (2 * CODES).expand(len(x), -1, -1)], dim=1)
    apart = points - torch.einsum("nc,nck->nk", p, points)[:, None, :]
    spread = torch.einsum("nc,nck,ncl->nkl", p, apart, apart)
    return spread + 2 * p[:, 0, None, None] * torch.eye(x.shape[1], dtype=x.dtype)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9)
        assert (value > 1e-6).any(), f"{name}: the test sees no curvature"


def test_exact_behind_softmax_is_the_full_computation() -> None:
    network, inputs = Small(), pictures()
    with torch.no_grad():
        hessian = softmax_hessian(network(inputs))
    expected = full_diagonal(network, hessian, inputs)
    assert_same(exact_diagonal(network, inputs, LABELS, F.cross_entropy), expected)


@pytest.mark.parametrize("j", [None, 0.5, 6.0])
def test_exact_behind_an_rbf_is_the_full_computation(j: float | None) -> None:
    """Eq. 8 (no j): H = 2·I. Eq. 9: the matrix derived in `map_hessian`. Both at F6."""
    network, inputs = Small(RBF(CODES)), pictures()
    features = nn.Sequential(*list(network)[:-1])
    if j is None:
        loss = mean_penalty_loss
        hessian = 2 * torch.eye(3, dtype=torch.float64).expand(4, 3, 3)
    else:
        loss = lambda scores, labels: map_loss(scores, labels, j)  # noqa: E731
        with torch.no_grad():
            hessian = map_hessian(features(inputs), j)
    found = exact_diagonal(network, inputs, LABELS, loss)
    assert_same(found, full_diagonal(features, hessian, inputs))


def test_one_layer_by_hand() -> None:
    """a = w·x: h(w_ij) is the mean of p_i(1 − p_i)·x_j²; both ways agree."""
    layer = nn.Linear(2, 2, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, 0], [0, 1]], dtype=torch.float64)
    inputs = torch.tensor([[math.log(3), 0.0], [0.0, 2.0]], dtype=torch.float64)
    spread = [3 / 16, math.exp(2) / (1 + math.exp(2)) ** 2]  # p(1 − p), alike for both units
    row = [spread[0] * math.log(3) ** 2 / 2, spread[1] * 4 / 2]
    for way in (exact_diagonal, backpropagated_diagonal):
        found = way(layer, inputs, torch.tensor([0, 1]), F.cross_entropy)
        assert found["weight"].tolist() == [pytest.approx(row), pytest.approx(row)]


@pytest.mark.parametrize("pool", ["subsampling", "max", "average"])
def test_backpropagated_is_the_recursion_of_the_paper(pool: str) -> None:
    """App. C in plain loops: h(a) = f'² h(x); h(x_j) = Σ u² h(a); h(u) = Σ over places x² h(a)."""
    network, inputs = Small(RBF(CODES), pool=pool), pictures(2)
    found = backpropagated_diagonal(network, inputs, LABELS[:2], mean_penalty_loss)
    conv, squash, sub, tanh, _, line, _ = network
    assert isinstance(line, nn.Linear)
    expected = {name: torch.zeros_like(value) for name, value in found.items()}
    with torch.no_grad():
        for image in inputs:
            a1 = conv(image[None])[0]
            x1 = squash(a1[None])[0]
            x2 = tanh(sub(x1[None]))[0]
            h3 = torch.full((3,), 2.0, dtype=torch.float64)  # F6 is linear in this network
            expected["5.weight"] += h3[:, None] * x2.flatten() ** 2
            expected["5.bias"] += h3
            h_x2 = (line.weight.T**2 @ h3).view(2, 2, 2)
            for m in range(2):
                for y in range(2):
                    for x in range(2):
                        h2 = h_x2[m, y, x] * (1 - x2[m, y, x] ** 2) ** 2
                        window = [(2 * y + dy, 2 * x + dx) for dy in (0, 1) for dx in (0, 1)]
                        best = max(window, key=lambda at: x1[m][at].item())
                        if pool == "subsampling":
                            total = sum(x1[m][at] ** 2 for at in window)
                            expected["2.weight"][m] += h2 * total
                            expected["2.bias"][m] += h2
                        for at in window:
                            u = {
                                "subsampling": sub.weight[m]
                                if isinstance(sub, Subsampling)
                                else 0.0,
                                "max": float(at == best),
                                "average": 0.25,
                            }[pool]
                            slope = 1.7159 * 2 / 3 * (1 - (x1[m][at] / 1.7159) ** 2)
                            h1 = h2 * u**2 * slope**2
                            r, c = at
                            patch = image[0, r : r + 3, c : c + 3]
                            expected["0.weight"][m, 0] += h1 * patch**2
                            expected["0.bias"][m] += h1
    assert_same(found, {name: value / 2 for name, value in expected.items()})


@pytest.mark.parametrize(
    "pool",
    [
        Pool("average"),
        Pool("average", kernel=3, stride=2, padding=1),
        Pool("average", kernel=3, stride=2, padding=1, count_padding=True),
        Pool("average", kernel=2, stride=2, ceil=True),
        Pool("max", kernel=3, stride=2, padding=1),
    ],
    ids=repr,
)
def test_pooling_passes_on_the_squares_of_its_derivatives(pool: Pool) -> None:
    """App. C: h(x_j) = Σ_i u_ij² h(a_i), with all u from the Jacobian of the layer."""
    layer, x = pool.build(1), pictures(1, 7)
    y = layer(x)
    u = torch.autograd.functional.jacobian(layer, x)  # type: ignore[no-untyped-call]
    curvature = torch.rand(y.shape, dtype=torch.float64) + 0.5
    found, of_weights = _back(_Call(layer, x, y), curvature)
    wanted = u.view(y.numel(), x.numel()).square().T @ curvature.flatten()
    torch.testing.assert_close(found.flatten(), wanted)
    assert of_weights == {}


@pytest.mark.slow
def test_what_of_the_1998_network_is_exact() -> None:
    """With Eq. 8 the paper's way is exact for F6 and C5, and leaves something out below."""
    model = models.build("lenet5-1998", seed=1)
    inputs, labels = pictures(3, 32).float(), LABELS[:3]
    short = backpropagated_diagonal(model, inputs, labels, mean_penalty_loss)
    whole = exact_diagonal(model, inputs, labels, mean_penalty_loss)
    for name in ("f6.weight", "f6.bias", "c5.weight", "c5.bias"):
        torch.testing.assert_close(short[name], whole[name], rtol=2e-4, atol=1e-9)
    for name in ("s4.weight", "c3.weight", "s2.weight", "c1.weight"):
        assert not torch.allclose(short[name], whole[name], rtol=0.05), name


def test_the_model_is_left_as_it_was() -> None:
    network = Small(nn.Dropout(), nn.Linear(3, 3)).double()
    before = [parameter.clone() for parameter in network.parameters()]
    exact_diagonal(network, pictures(), LABELS, F.cross_entropy)
    assert network.training
    assert network[-2].training
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None


def test_what_the_paper_has_no_rule_for_is_said() -> None:
    network = Small(nn.LayerNorm(3))
    with pytest.raises(InputError, match="back through LayerNorm; use curvature=exact"):
        backpropagated_diagonal(network.double(), pictures(), LABELS, F.cross_entropy)


class Twice(nn.Module):
    """Two layers side by side, which are no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(36, 2), nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return torch.cat([self.a(x), self.b(x)], dim=1)


def test_a_network_that_is_no_chain_is_said() -> None:
    with pytest.raises(InputError, match=r"b gives 12 values where the next layer sees 20.*exact"):
        backpropagated_diagonal(Twice().double(), pictures(), LABELS, F.cross_entropy)


def test_on_a_quadratic_it_takes_the_known_step() -> None:
    """E = ½·Σ a·(w − c)²: w ← w − lr·a·(w − c)/(mu + a). Without mu, lr 1 is Newton's step."""
    a, c = torch.tensor([100.0, 1.0, 0.01]), torch.tensor([3.0, -2.0, 5.0])
    start = torch.tensor([1.0, 1.0, 1.0])
    for lr, mu in ((1.0, 1e-12), (0.5, 0.02)):
        w = nn.Parameter(start.clone())
        optimizer = SDLM([w], lr=lr, mu=mu)
        optimizer.set_curvature([a])
        (a * (w - c) ** 2 / 2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        expected = [
            start[k].item() - lr * a[k].item() * (start[k] - c[k]).item() / (mu + a[k].item())
            for k in range(3)
        ]
        assert w.tolist() == pytest.approx(expected, rel=1e-5)
        if lr == 1:
            assert w.tolist() == pytest.approx(c.tolist(), rel=1e-5)


def test_least_squares_is_solved_in_one_step_where_inputs_are_orthogonal() -> None:
    """The measured curvature is that of the quadratic: one step from anywhere reaches its floor."""
    inputs = torch.tensor([[2.0, 0, 0], [0, 0.1, 0], [0, 0, 7]], dtype=torch.float64)
    network = nn.Sequential(nn.Linear(3, 3, bias=False), RBF(CODES)).double()
    labels = torch.tensor([0, 1, 0])
    optimizer = SDLM(network.parameters(), lr=1.0, mu=1e-12)
    diagonal = exact_diagonal(network, inputs, labels, mean_penalty_loss)
    optimizer.set_curvature(diagonal.values())
    mean_penalty_loss(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    torch.testing.assert_close(network[0](inputs), CODES[labels], rtol=1e-9, atol=1e-9)


def test_before_any_measurement_it_is_gradient_descent() -> None:
    w = nn.Parameter(torch.tensor([2.0]))
    w.grad = torch.tensor([0.5])
    optimizer = SDLM([w], lr=0.1, mu=0.02)
    optimizer.step()
    assert w.item() == pytest.approx(2 - 0.1 / 0.02 * 0.5)
    assert optimizer.rates()[0].item() == pytest.approx(50)
