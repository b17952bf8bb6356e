"""Convolution by spectra against torch's direct one, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.layers.convolution import Convolution
from convscope.layers.fourier import fourier_convolution
from convscope.layers.padding import Pad

small = st.integers(1, 4)


@given(
    count=st.integers(1, 10),
    channels=small,
    maps=small,
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    spare=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_values_and_gradients_are_those_of_the_direct_sum(
    count: int,
    channels: int,
    maps: int,
    kernel: tuple[int, int],
    spare: tuple[int, int],
    data: st.DataObject,
) -> None:
    padding = data.draw(st.tuples(*(st.integers(0, k - 1) for k in kernel)))
    image = [max(1, k - 2 * p) + s for k, p, s in zip(kernel, padding, spare, strict=True)]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    x = torch.randn(count, channels, *image, generator=generator, dtype=torch.float32)
    weight = torch.randn(maps, channels, *kernel, generator=generator)
    x.requires_grad_()
    weight.requires_grad_()
    wanted = F.conv2d(x, weight, padding=padding)
    found = fourier_convolution(x, weight, padding)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    slope = torch.randn(wanted.shape, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, weight), slope),
        torch.autograd.grad(wanted, (x, weight), slope),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=3e-4, rtol=1e-4)


def test_one_pixel_and_one_tap() -> None:
    x = torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]]])
    weight = torch.arange(9.0).view(1, 1, 3, 3)
    found = fourier_convolution(x, weight, (1, 1))
    wanted = 2 * weight.flip(2, 3)  # a cross-correlation lays the kernel down mirrored
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_bf16_errs_no_more_than_a_few_roundings() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 32, 13, 13, generator=generator)
    weight = torch.randn(32, 32, 3, 3, generator=generator) / 17
    wanted = F.conv2d(x.bfloat16().float(), weight.bfloat16().float(), padding=1)
    found = fourier_convolution(x.bfloat16(), weight.bfloat16(), (1, 1))
    assert found.dtype == torch.bfloat16
    assert (found.float() - wanted).abs().mean() < 2**-7 * wanted.abs().mean()


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_the_order_in_memory_is_kept(order: torch.memory_format) -> None:
    x = torch.randn(2, 3, 8, 8).to(memory_format=order)
    found = fourier_convolution(x, torch.randn(5, 3, 3, 3), (1, 1))
    assert found.is_contiguous(memory_format=order)


@pytest.mark.parametrize("pad", [Pad("same"), Pad("valid"), Pad("same", mode="reflect")])
def test_a_layer_gives_the_same_either_way(pad: Pad) -> None:
    layer = Convolution(3, 4, 5, pad=pad)
    x = torch.randn(2, 3, 9, 9)
    direct = layer(x)
    layer.fourier = True
    torch.testing.assert_close(layer(x), direct, atol=1e-5, rtol=1e-4)


def test_layers_that_spectra_cannot_do_say_so() -> None:
    assert Convolution(4, 4, 3).can_use_fourier
    assert not Convolution(4, 4, 3, stride=2).can_use_fourier
    assert not Convolution(4, 4, 3, groups=2).can_use_fourier
    assert not Convolution(2, 2, 3, table=((0,), (0, 1))).can_use_fourier
    assert not Convolution(4, 4, 3, dilation=2).can_use_fourier
