"""Every layer by ONNX Runtime against torch."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_graphs import both
from torch import nn

from convscope.errors import InputError
from convscope.layers import (
    RBF,
    Activation,
    Convolution,
    Norm,
    Pad,
    Pool,
    digit_codes,
    normalization,
    pooling,
)
from convscope.layers import activation as activations
from convscope.layers.convolution import LENET5_C3
from convscope.layers.normalization import UnitNorm


def close(*layers: nn.Module, channels: int = 3, height: int = 9, width: int = 11) -> None:
    found, expected = both(*layers, channels=channels, height=height, width=width)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", activations.KINDS)
def test_activations(kind: str) -> None:
    close(Activation(kind).build(), Convolution(3, 1, 1))


PADDINGS: list[Any] = ["same", "full", 1, (2, 0, 1, 1)]
POOLS = [
    *(Pool(kind) for kind in pooling.KINDS),
    *(Pool(kind, kernel=3, stride=2) for kind in ("max", "min", "average", "l2", "blur", "mixed")),
    *(
        Pool(kind, kernel=3, stride=2, padding=padding, ceil=ceil, dilation=dilation)
        for kind, padding, ceil, dilation in itertools.product(
            ("max", "min", "average", "lp", "stochastic", "subsampling"),
            PADDINGS,
            (False, True),
            (1, 2),
        )
    ),
    Pool("average", kernel=3, stride=2, padding=1, count_padding=True),
    Pool("average", kernel=3, stride=2, padding="same", count_padding=True, ceil=True),
    Pool("lp", p=3.5),
    Pool("mixed", mix=0.25, learned=False),
    Pool("blur", kernel=2, blur=4),
    Pool("blur", kernel=3, stride=2, padding=1, blur=5),
    Pool("max", kernel=(2, 3), stride=(1, 2), dilation=(2, 1)),
]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: str(list(pool.to_json().values())[1:8]))
def test_pooling(pool: Pool) -> None:
    module = pool.build(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.linspace(0.5, -0.5, parameter.numel()).view_as(parameter))
    close(module)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(["max", "average", "subsampling", "stochastic"]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil=st.booleans(),
    sides=st.tuples(*[st.integers(0, 3)] * 4),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
)
def test_pooling_windows_of_any_kind(
    kind: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    ceil: bool,
    sides: tuple[int, int, int, int],
    height: int,
    width: int,
) -> None:
    left, right, top, bottom = (
        min(side, size - 1)
        for side, size in zip(sides, (kernel[1], kernel[1], kernel[0], kernel[0]), strict=True)
    )
    padding = (left, right, top, bottom)
    close(
        Pool(kind, kernel, stride, padding, ceil).build(1), channels=1, height=height, width=width
    )


PADS = [
    Pad("valid"),
    *(
        Pad(kind, mode=mode)
        for kind in ("same", "full")
        for mode in ("zeros", "reflect", "replicate", "circular")
    ),
    Pad("same", mode="constant", value=-0.75),
    Pad("explicit", sides=(0, 3, 1, 2)),
    Pad("explicit", sides=(0, 3, 0, 0), mode="circular"),
    Pad("explicit", sides=(1, 0, 2, 3), mode="reflect"),
]


@pytest.mark.parametrize("pad", PADS, ids=lambda pad: f"{pad.kind}-{pad.mode}-{pad.sides}")
@pytest.mark.parametrize(("stride", "dilation", "kernel"), [(1, 1, 4), ((2, 3), (1, 2), (3, 2))])
def test_convolutions(pad: Pad, stride: int, dilation: int, kernel: int) -> None:
    close(Convolution(3, 4, kernel, stride=stride, dilation=dilation, pad=pad))


def test_convolutions_in_groups_and_with_a_table() -> None:
    close(Convolution(3, 6, 1), Convolution(6, 4, 3, groups=2, bias=False))
    close(Convolution(3, 6, 1), Convolution(6, 16, 3, table=LENET5_C3))


NORMS = [
    Norm("local-response"),
    Norm("local-response", divide=False, size=4, alpha=0.5, k=1.0),
    Norm("local-response", groups=2, alpha=0.3, beta=0.5),
    Norm("local-response", size=11, alpha=0.3),
    Norm("within-map", alpha=0.3),
    Norm("within-map", size=4, alpha=0.3, divide=False, beta=0.6),
    Norm("batch"),
    Norm("none"),
]


def test_every_kind_of_normalisation_is_here() -> None:
    assert {norm.kind for norm in NORMS} == set(normalization.KINDS)


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.kind}-{norm.size}-{norm.groups}")
def test_normalisation(norm: Norm) -> None:
    """After a convolution, where batch normalisation is taken into its weights, and alone."""
    for first in ([Convolution(3, 6, 3)], [Convolution(3, 6, 3), Activation("relu").build()]):
        module = norm.build(6)
        if isinstance(module, nn.BatchNorm2d):
            shuffle(module)
        close(*first, module)


def shuffle(module: nn.BatchNorm2d | nn.BatchNorm1d) -> None:
    generator = torch.Generator().manual_seed(1)
    for name, tensor in module.state_dict().items():
        if tensor.dtype == torch.float32:
            low = 0.5 if name == "running_var" else -1.0
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)


def test_normalised_units() -> None:
    norm = UnitNorm(7)
    shuffle(norm)
    close(Whole(297, 7), norm)


class Whole(nn.Module):
    """A fully connected layer of a whole image."""

    def __init__(self, seen: int, units: int) -> None:
        super().__init__()
        self.units = nn.Linear(seen, units, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N × C × H × W to N × units."""
        found: torch.Tensor = self.units(x.flatten(1))
        return found


def test_radial_units() -> None:
    found, expected = both(Whole(297, 84), RBF(digit_codes()), height=9, width=11)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 4, 9, 12])
def test_adaptive_means(size: int) -> None:
    close(nn.AdaptiveAvgPool2d(size))


def test_what_cannot_be_written_is_named() -> None:
    class Strange(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erfinv(x)

    with pytest.raises(InputError, match="the network calls 'erfinv', which cannot be written"):
        close(Strange())
