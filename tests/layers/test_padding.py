"""Padding against index arithmetic, hand-drawn borders and torch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope import shapes
from convscope.errors import InputError
from convscope.layers import Pad, Padding2d
from convscope.layers.padding import MODES

ROW = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])


def border(row: Tensor, pad: Pad, kernel: int = 1) -> list[int]:
    padded: Tensor = pad.build((1, kernel))(row)
    return [int(value) for value in padded.flatten().tolist()]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("zeros", [0, 0, 1, 2, 3, 4, 0, 0, 0]),
        ("constant", [7, 7, 1, 2, 3, 4, 7, 7, 7]),
        ("reflect", [3, 2, 1, 2, 3, 4, 3, 2, 1]),
        ("replicate", [1, 1, 1, 2, 3, 4, 4, 4, 4]),
        ("circular", [3, 4, 1, 2, 3, 4, 1, 2, 3]),
    ],
)
def test_borders_by_hand(mode: str, expected: list[int]) -> None:
    value = 7.0 if mode == "constant" else 0.0
    assert border(ROW, Pad("explicit", mode, value, (2, 3, 0, 0))) == expected


def test_kinds_by_hand() -> None:
    assert border(ROW, Pad("valid"), 3) == [1, 2, 3, 4]
    assert border(ROW, Pad("same"), 3) == [0, 1, 2, 3, 4, 0]
    assert border(ROW, Pad("same"), 2) == [1, 2, 3, 4, 0]  # an odd total: the extra one last
    assert border(ROW, Pad("same"), 4) == [0, 1, 2, 3, 4, 0, 0]
    assert border(ROW, Pad("full"), 3) == [0, 0, 1, 2, 3, 4, 0, 0]


def test_sides_are_left_right_top_bottom() -> None:
    x = torch.ones(1, 1, 2, 2)
    padded = Pad("explicit", sides=(1, 0, 0, 2)).build()(x)
    assert padded[0, 0].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert Pad("explicit", sides=1).build()(x).shape == (1, 1, 4, 4)


def source(index: int, size: int, mode: str) -> int | None:
    """Which input element stands at `index`, by walking; None for a filled one."""
    if 0 <= index < size:
        return index
    if mode == "replicate":
        return 0 if index < 0 else size - 1
    if mode == "circular":
        return index % size
    if mode == "reflect":
        return -index if index < 0 else 2 * (size - 1) - index
    return None


@given(
    mode=st.sampled_from(MODES),
    height=st.integers(2, 6),
    width=st.integers(2, 6),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_every_mode_equals_index_arithmetic(
    mode: str, height: int, width: int, data: st.DataObject
) -> None:
    most = {"reflect": -1}.get(mode, 0)
    sides = tuple(data.draw(st.integers(0, size + most)) for size in (width, width, height, height))
    left, right, top, bottom = sides
    value = 2.5 if mode == "constant" else 0.0
    x = torch.randn(2, 1, height, width)
    found = Pad("explicit", mode, value, (left, right, top, bottom)).build()(x)
    assert found.shape == (2, 1, top + height + bottom, left + width + right)
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            y, z = source(row - top, height, mode), source(column - left, width, mode)
            filled = y is None or z is None
            expected = torch.full((2,), value) if filled else x[:, 0, y, z]
            assert torch.equal(found[:, 0, row, column], expected)


@given(
    st.sampled_from(["same", "full", "valid"]),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
@settings(deadline=None, max_examples=60)
def test_shapes_agree_with_the_module(
    kind: str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    module = Pad(kind).build(kernel, stride, dilation)
    x = torch.ones(1, 1, 15, 14)
    padded = module(x)
    for axis, (size, window) in enumerate(zip((15, 14), module.grid, strict=True)):
        before, after, _ = shapes.split_padding(size, window)
        assert padded.shape[2 + axis] == before + size + after
    assert padded.sum() == x.sum()
    ones = torch.ones(1, 1, *kernel)
    out = F.conv2d(padded, ones, stride=stride, dilation=dilation).shape[-2:]
    assert out == module.grid.output(15, 14)


@pytest.mark.parametrize(
    ("mode", "amount", "message"),
    [
        ("reflect", 4, r"reflect padding of 4 on width 4; allowed: at most 3; use a smaller"),
        ("circular", 5, r"circular padding of 5 on width 4; allowed: at most 4; use a smaller"),
    ],
)
def test_borders_larger_than_the_input_name_the_limit(mode: str, amount: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pad("explicit", mode, sides=(0, amount, 0, 0)).build()(ROW)
    fits = Pad("explicit", mode, sides=(0, amount - 1, 0, 0)).build()(ROW)
    assert fits.shape[-1] == 4 + amount - 1
    with pytest.raises(InputError, match="on height 1"):
        Pad("explicit", mode, sides=(0, 0, 2, 0)).build()(ROW)


def test_replicate_has_no_limit() -> None:
    assert border(ROW, Pad("explicit", "replicate", sides=(9, 0, 0, 0))) == [1] * 9 + [1, 2, 3, 4]


@pytest.mark.parametrize("mode", MODES)
def test_gradients_numerically(mode: str) -> None:
    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    module = Padding2d(Pad("explicit", mode, sides=(1, 2, 2, 0)))
    assert torch.autograd.gradcheck(module, (x,))
