"""The exact law: a layer with stride 2 is equivariant at even shifts, whatever it does.

Aliasing comes from leaving out samples: after a shift by one stride, the same windows are seen,
one place further. That is no matter of maximum, mean or weights.
"""

import pytest
import torch
from torch import nn

from convscope.layers import Convolution, Pad, Pool
from convscope.layers.pooling import KINDS

WINDOWED = [kind for kind in KINDS if kind not in ("none", "global-average", "global-max")]
LAYERS = {
    **{kind: Pool(kind, kernel=2, stride=2) for kind in WINDOWED},
    "overlapping max": Pool("max", kernel=3, stride=2),
    "overlapping average": Pool("average", kernel=3, stride=2),
    "every second value": Pool("max", kernel=1, stride=2),
}


def layer(name: str) -> nn.Module:
    if name == "strided convolution":
        return Convolution(3, 3, 3, stride=2, pad=Pad("valid"))
    return LAYERS[name].build(3)


def pictures() -> torch.Tensor:
    """Something in the middle of a picture, so that a shift pushes nothing over the edge."""
    x = torch.zeros(2, 3, 32, 32, dtype=torch.float64)
    x[:, :, 10:20, 10:20] = torch.rand(
        2, 3, 10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return x


def moved(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return torch.roll(x, (rows, columns), dims=(2, 3))


@pytest.mark.parametrize("name", [*LAYERS, "strided convolution"])
@pytest.mark.parametrize("shift", [(2, 0), (0, 2), (-2, 4), (6, -6), (4, 4)])
def test_stride_two_is_equivariant_at_even_shifts(name: str, shift: tuple[int, int]) -> None:
    down, right = shift
    pool, x = layer(name).double().eval(), pictures()
    with torch.no_grad():
        shifted_first, shifted_last = pool(moved(x, down, right)), pool(x)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # the rest sees the edge
    expected = moved(shifted_last, down // 2, right // 2)[inside]
    assert torch.equal(shifted_first[inside], expected)


@pytest.mark.parametrize("name", [*LAYERS, "strided convolution"])
def test_and_it_is_not_at_odd_shifts(name: str) -> None:
    pool, x = layer(name).double().eval(), pictures()
    with torch.no_grad():
        one, still = pool(moved(x, 0, 1)), pool(x)
    assert not any(torch.allclose(one, moved(still, 0, by)) for by in (0, 1))


def test_max_and_min_pooling_are_one_network_with_an_odd_activation() -> None:
    """max-pool(tanh(Wx)) = −min-pool(tanh(−Wx)): signs of weights turn one into the other."""
    from convscope import models

    most, least = models.build("lenet5"), models.build("lenet5", {"pool": Pool("min")})
    weights = most.state_dict()
    for name in ("c1", "c3"):  # the maps change sign, and the next layer takes it back
        weights[f"{name}.weight"] = -weights[f"{name}.weight"]
        weights[f"{name}.bias"] = -weights[f"{name}.bias"]
    weights["c3.weight"] = -weights["c3.weight"]  # its inputs have changed sign, too
    weights["c5.weight"] = -weights["c5.weight"]
    least.load_state_dict(weights)
    x = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(most.eval()(x), least.eval()(x), atol=1e-6)
