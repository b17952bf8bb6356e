"""Convolution against loops and torch; connection tables against a masked dense layer."""

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.errors import InputError
from convscope.layers import LENET5_C3, Convolution, Pad, table_text


def naive(x: Tensor, layer: Convolution) -> Tensor:
    """Every output unit as a sum over its window, from the layer's padding by hand."""
    padded = layer.pad.build(layer.kernel, layer.stride, layer.dilation)(x)
    weight = layer.dense_weight()
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel, layer.stride, layer.dilation
    per_group = layer.in_maps // layer.groups
    maps = []
    for o in range(layer.out_maps):
        first = o // (layer.out_maps // layer.groups) * per_group
        rows = []
        for top in range(0, padded.shape[2] - dh * (kh - 1), sh):
            units = []
            for left in range(0, padded.shape[3] - dw * (kw - 1), sw):
                window = padded[
                    :,
                    first : first + per_group,
                    top : top + dh * (kh - 1) + 1 : dh,
                    left : left + dw * (kw - 1) + 1 : dw,
                ]
                unit = (window * weight[o]).sum((1, 2, 3))
                units.append(unit if layer.bias is None else unit + layer.bias[o])
            rows.append(torch.stack(units, -1))
        maps.append(torch.stack(rows, -2))
    return torch.stack(maps, 1)


@st.composite
def layers(draw: st.DrawFn) -> Convolution:
    two = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    kind = draw(st.sampled_from(["valid", "same", "full", "explicit"]))
    mode = draw(st.sampled_from(["zeros", "constant", "reflect", "replicate", "circular"]))
    sides = draw(st.tuples(*[st.integers(0, 3)] * 4)) if kind == "explicit" else None
    table = None
    if groups == 1 and draw(st.booleans()):
        seen = st.sets(st.integers(0, 3), min_size=1)
        table = [sorted(draw(seen)) for _ in range(4)]
    return Convolution(
        4,
        4,
        kernel,
        stride=draw(two),
        pad=Pad(kind, mode, 0.5 if mode == "constant" else 0.0, sides),
        dilation=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        groups=groups,
        table=table,
        bias=draw(st.booleans()),
    ).double()


@given(layers(), st.integers(7, 9), st.integers(7, 9))
@settings(deadline=None, max_examples=30)
def test_convolution_equals_loops(layer: Convolution, height: int, width: int) -> None:
    x = torch.randn(2, 4, height, width, dtype=torch.float64, requires_grad=True)
    found, expected = layer(x), naive(x, layer)
    assert found.shape[-2:] == layer.output_size(height, width)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    wanted = [x, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(found, wanted, weights), torch.autograd.grad(expected, wanted, weights)
    )


Mode = Literal["zeros", "reflect", "replicate", "circular"]


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_equals_torch(mode: Mode, kernel: int) -> None:
    layer = Convolution(3, 5, kernel, pad=Pad("same", mode))
    theirs = torch.nn.Conv2d(3, 5, kernel, padding="same", padding_mode=mode)
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 9, 8)
    torch.testing.assert_close(layer(x), theirs(x))


def test_same_with_an_even_kernel_pads_more_at_the_end() -> None:
    layer = Convolution(3, 5, 4, pad=Pad("same"))
    x = torch.randn(2, 3, 9, 8)
    expected = F.conv2d(F.pad(x, (1, 2, 1, 2)), layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)


class TestTable:
    def test_c3_has_the_papers_parameters(self) -> None:
        layer = Convolution(6, 16, 5, table=LENET5_C3)
        assert sum(p.numel() for p in layer.parameters()) == 1516
        assert {name: tuple(v.shape) for name, v in layer.state_dict().items()} == {
            "weight": (60, 5, 5),
            "bias": (16,),
        }

    def test_equals_a_masked_dense_layer(self) -> None:
        layer = Convolution(6, 16, 5, table=LENET5_C3).double()
        mask = torch.zeros(16, 6, 1, 1, dtype=torch.float64)
        dense = torch.zeros(16, 6, 5, 5, dtype=torch.float64)
        link = 0
        for o, seen in enumerate(LENET5_C3):
            for i in seen:
                mask[o, i] = 1
                dense[o, i] = layer.weight[link].detach()
                link += 1
        x = torch.randn(3, 6, 14, 14, dtype=torch.float64)
        torch.testing.assert_close(layer(x), F.conv2d(x, dense * mask, layer.bias))
        assert torch.equal(layer.dense_weight() * (1 - mask), torch.zeros_like(dense))

    def test_a_map_ignores_maps_it_is_not_linked_to(self) -> None:
        layer = Convolution(6, 16, 5, table=LENET5_C3)
        x = torch.randn(1, 6, 14, 14)
        changed = x.clone()
        changed[:, 3] += 1
        same = (layer(x) == layer(changed)).flatten(2).all(2)[0]
        assert same.tolist() == [3 not in seen for seen in LENET5_C3]

    def test_fan_in_follows_the_table(self) -> None:
        fans = Convolution(6, 16, 5, table=LENET5_C3).fan_in()
        assert fans == [75] * 6 + [100] * 9 + [150]

    def test_table_is_that_of_the_paper(self) -> None:
        # The columns of Table I, as digits.
        columns = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"
        assert ["".join(map(str, seen)) for seen in LENET5_C3] == columns.split()

    def test_text_has_a_row_for_each_input_map(self) -> None:
        lines = table_text().splitlines()
        assert len(lines) == 7
        assert "".join(lines[1:]).count("X") == 60
        assert lines[1] == "  0  X           X  X  X        X  X  X  X     X  X"

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ([[0]], "the connection table has 1 entries for 2 output maps"),
            ([[0], []], r"entry 1 of the connection table is \[\]; allowed: .*from 0 to 2"),
            ([[0], [3]], r"entry 1 of the connection table is \[3\]"),
            ([[0], [-1, 0]], r"entry 1 of the connection table is \[-1, 0\]"),
            ([[0], [1, 0]], r"entry 1 .* in ascending order"),
            ([[0], [1, 1]], r"entry 1 .*different"),
        ],
    )
    def test_bad_tables(self, table: list[list[int]], message: str) -> None:
        with pytest.raises(InputError, match=message):
            Convolution(3, 2, 3, table=table)

    def test_excludes_groups(self) -> None:
        with pytest.raises(InputError, match="connection table is given with 2 groups"):
            Convolution(2, 2, 3, groups=2, table=[[0], [1]])


def test_groups_must_divide() -> None:
    with pytest.raises(InputError, match=r"4 groups cannot split 6 input and 4 output.*of 2"):
        Convolution(6, 4, 3, groups=4)


def test_refusals_say_what_fits() -> None:
    with pytest.raises(InputError, match=r"a window of 5 does not fit into 4"):
        Convolution(1, 1, 5)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(InputError, match=r"reflect padding of 2 on width 2; allowed: at most 1"):
        Convolution(1, 1, 5, pad=Pad("same", "reflect"))(torch.zeros(1, 1, 2, 2))


def test_initial_weights_stay_inside_their_bound() -> None:
    layer = Convolution(6, 16, 5, table=LENET5_C3)
    # The last map's six kernels: fan-in 150; the first map's three: 75.
    for kernels, fan_in in ((layer.weight[-6:], 150), (layer.weight[:3], 75)):
        bound = 1 / math.sqrt(fan_in)
        assert 0.8 * bound < kernels.abs().max() <= bound
