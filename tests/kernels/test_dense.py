"""Dense layers and inputs: against torch in float64, and bit for bit where that is promised."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_block import FUNCTIONS, relative

from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing
from convscope.kernels.batch_last import batch_last, is_batch_last, pitch
from convscope.kernels.dense import dense


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(1, 70),
    st.integers(1, 90),
    st.integers(1, 40),
    st.sampled_from(sorted(FUNCTIONS)),
    st.integers(0, 2**31),
)
def test_values_and_gradients_are_those_of_float64(
    target: str, images: int, inputs: int, outputs: int, activation: str, seed: int
) -> None:
    del target
    generator = torch.Generator().manual_seed(seed)
    shapes = (images, inputs), (outputs, inputs), (outputs,), (images, outputs)
    x, weight, bias, upstream = (torch.randn(shape, generator=generator) for shape in shapes)
    weight /= math.sqrt(inputs)
    if float(F.linear(x.double(), weight.double(), bias.double()).abs().min()) < 5e-6:
        return  # at relu's corner rounding decides
    ours = [one.clone().requires_grad_() for one in (x, weight, bias)]
    exact = [one.double().requires_grad_() for one in (x, weight, bias)]
    y = dense(ours[0], ours[1], ours[2], activation)
    wanted = FUNCTIONS[activation](F.linear(exact[0], exact[1], exact[2]))
    assert is_batch_last(y)
    assert relative(y.detach(), wanted.detach()) < 1e-5
    mine = torch.autograd.grad(y, ours, upstream)
    right = torch.autograd.grad(wanted, exact, upstream.double(), retain_graph=True)
    for one, other in zip(mine[:2], right, strict=False):
        assert relative(one, other) < 1e-5
    # A bias gradient adds up all images, of either sign: measured by the sum of their sizes.
    (sizes,) = torch.autograd.grad(wanted, exact[2], upstream.double().abs())
    assert float((mine[2] - right[2]).abs().max()) < 1e-5 * max(float(sizes.max()), 0.1)


def test_the_same_bytes_whatever_the_number_of_threads(target: str) -> None:
    del target
    x, weight = torch.randn(200, 150, requires_grad=True), torch.randn(90, 150, requires_grad=True)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, *[2, 5] * 20):  # again and again: who takes which task changes
            torch.set_num_threads(threads)
            y = dense(x, weight, None, "tanh")
            results.append([y, *torch.autograd.grad(y.sum(), [x, weight])])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize("images", [1, 16, 37])
@pytest.mark.parametrize("channels", [1, 3])
def test_inputs_are_the_same_bits_in_another_order(target: str, images: int, channels: int) -> None:
    del target
    generator = np.random.default_rng(0)
    shape = (images, channels, 13, 9)
    pixels = torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8))
    preprocessing = Preprocessing(
        channels=channels,
        size=(13, 9),
        crop=(11, 8),
        padding=(1, 2, 3, 0),
        fill=200,
        mean=(0.13, 0.5, 0.7)[:channels],
        std=(0.31, 0.2, 0.25)[:channels],
    )
    found = to_input(pixels, preprocessing, batch_last=True)
    assert is_batch_last(found)
    assert torch.equal(found, to_input(pixels, preprocessing))


@pytest.mark.parametrize("crop", [None, (11, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_inputs_of_chosen_images(target: str, channels: int, crop: tuple[int, int] | None) -> None:
    del target
    shape = (50, channels, 13, 9)
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))
    kind = {"channels": channels, "size": (13, 9), "crop": crop, "padding": (1, 0, 2, 3), "fill": 9}
    how = Preprocessing(**kind, mean=(0.4,) * channels, std=(0.3,) * channels)
    for rows in ([49], [3, 3, 0], list(range(40, 7, -1))):
        chosen = torch.tensor(rows)
        found = to_input(pixels, how, batch_last=True, rows=chosen)
        assert is_batch_last(found)
        behind = found.as_strided(
            (found[0].numel(), pitch(len(rows)) - len(rows)), (pitch(len(rows)), 1), len(rows)
        )
        assert not behind.any()
        assert torch.equal(found, to_input(pixels[chosen], how))
        assert torch.equal(found, to_input(pixels, how, rows=chosen))
    none = to_input(pixels, how, batch_last=True, rows=torch.empty(0, dtype=torch.int64))
    assert none.shape == (0, *how.input_shape)
    assert none.is_contiguous()  # torch's own: it crashes on a convolution of none in our order
    for wrong in ([50], [0, -1]):
        with pytest.raises(ValueError if crop is None else IndexError):
            to_input(pixels, how, batch_last=True, rows=torch.tensor(wrong))


def test_a_batch_is_put_in_order_once() -> None:
    x = torch.randn(17, 2, 3, 4)
    found = batch_last(x)
    assert torch.equal(found, x)
    assert batch_last(found) is found
    assert found.stride() == (1, 12 * 48, 4 * 48, 48)
    behind = found.as_strided((24, pitch(17) - 17), (48, 1), 17)
    assert not behind.any()
    assert not is_batch_last(found[:16])
    assert not is_batch_last(x)
    assert not is_batch_last(found.double())
