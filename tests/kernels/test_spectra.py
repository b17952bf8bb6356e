"""Convolution by spectra in bfloat16: against float64, torch's FFT, and by hand."""

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.environment import cpu_features
from convscope.kernels import library, spectra
from convscope.kernels.spectra import spectral_convolution
from convscope.layers.convolution import Convolution
from convscope.layers.fourier import fourier_convolution

ROUNDING = 2**-8
"""Of a number that is kept as bfloat16, at most, as a share of it."""


@pytest.fixture
def pairs() -> None:
    """Skips where the processor has no products of pairs of bfloat16, and there alone."""
    if not library.available():
        pytest.skip("the kernels are not compiled here: no C compiler")
    if "avx512_bf16" not in cpu_features():
        pytest.skip("this processor has no AVX512-BF16: spectra are torch's")
    kernels = library.load()
    assert kernels is not None
    assert kernels.multiplies_pairs


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    """Channels last, as the kernels want them; already rounded to bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator).bfloat16()
    return values.contiguous(memory_format=torch.channels_last)


def frequencies(periods: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """(down, across) of each, in the order of spectra.h."""
    rows, columns = periods
    for across in range(columns // 2 + 1):
        yield from ((down, across) for down in range(rows // 2 + 1))
        if 0 < across < columns // 2:
            yield from ((-down, across) for down in range(1, rows // 2))


def unpacked(found: Tensor, maps: int) -> Tensor:
    """Complex numbers from pairs: count × frequencies × maps."""
    parts = found.view(torch.bfloat16).view(*found.shape, 2)[:, :, :maps].double()
    return torch.complex(parts[..., 0], parts[..., 1])


def packed(values: Tensor) -> Tensor:
    """The other way, with the room between rows that the kernels ask for."""
    count, number, maps = values.shape
    found = torch.zeros(count, number, spectra.pitch(maps), 2, dtype=torch.bfloat16)
    found[:, :, :maps] = torch.view_as_real(values).bfloat16()
    return found.flatten(2).view(torch.int32)


@given(
    count=st.integers(1, 5),
    maps=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    spare=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    data=st.data(),
)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.usefixtures("pairs")
def test_values_and_gradients_are_those_of_the_direct_sum(
    count: int,
    maps: tuple[int, int],
    kernel: tuple[int, int],
    spare: tuple[int, int],
    data: st.DataObject,
) -> None:
    border = st.tuples(st.integers(0, kernel[0] - 1), st.integers(0, kernel[1] - 1))
    padding: tuple[int, int] = data.draw(border)
    image = [max(1, k - 2 * p) + s for k, p, s in zip(kernel, padding, spare, strict=True)]
    seed = data.draw(st.integers(0, 99))
    x = drawn((count, 16 * maps[0], *image), seed).requires_grad_()
    weight = drawn((16 * maps[1], 16 * maps[0], *kernel), seed + 100).requires_grad_()
    assert spectra.knows(x, weight)
    found = fourier_convolution(x, weight, padding, kernels=True)
    exact = x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    wanted = F.conv2d(exact[0], exact[1], padding=padding)
    slope = drawn(tuple(wanted.shape), seed + 200)
    ours = [found.detach(), *torch.autograd.grad(found, (x, weight), slope)]
    theirs = [wanted.detach(), *torch.autograd.grad(wanted, exact, slope.double())]
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == torch.bfloat16
        assert one.is_contiguous(memory_format=torch.channels_last)
        error, size = one.double() - other, other.square().mean().sqrt()
        assert float(error.square().mean().sqrt()) < 2 * ROUNDING * float(size)
        assert float(error.abs().max()) < 16 * ROUNDING * float(size)


@pytest.mark.usefixtures("pairs")
def test_one_pixel_and_one_tap() -> None:
    x = torch.zeros(1, 16, 3, 3, dtype=torch.bfloat16)
    x[0, 5, 1, 1] = 2
    weight = torch.zeros(16, 16, 3, 3, dtype=torch.bfloat16)
    weight[7, 5] = torch.arange(9.0).view(3, 3)
    x = x.contiguous(memory_format=torch.channels_last)
    found = spectral_convolution(x, weight, (1, 1), (4, 4)).float()
    wanted = torch.zeros(1, 16, 3, 3)
    wanted[0, 7] = torch.tensor([[16, 14, 12], [10, 8, 6], [4, 2, 0]])
    torch.testing.assert_close(found, wanted, atol=0.2, rtol=0)
    others = [number for number in range(16) if number != 7]
    assert not bool(found[0, others].any())


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (8, 6), (13, 13), (27, 27)])
def test_spectra_are_those_of_torchs_fft(size: tuple[int, int]) -> None:
    height, width = size
    periods = (height + 3) // 2 * 2, (width + 5) // 2 * 2
    centre = height // 2, width // 2
    x = drawn((3, 48, *size), 1)
    found = unpacked(spectra.spectra_of(x, periods, centre), 48)
    whole = torch.fft.fft2(x.double(), s=periods)
    for number, (down, across) in enumerate(frequencies(periods)):
        turns = down * centre[0] / periods[0] + across * centre[1] / periods[1]
        phase = complex(math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns))
        wanted = whole[:, :, down, across] * phase
        bound = ROUNDING * wanted.abs() + 1e-5
        assert bool(((found[:, number] - wanted).abs() <= bound).all())
    assert found.shape[1] == number + 1


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 7), (13, 13), (27, 26)])
def test_images_come_back(size: tuple[int, int]) -> None:
    periods = (size[0] + 2) // 2 * 2, (size[1] + 3) // 2 * 2
    centre = size[0] // 2, size[1] // 2
    x = drawn((2, 32, *size), 2)
    back = spectra.images_of(spectra.spectra_of(x, periods, centre), x.shape, periods, centre)
    assert float((back - x).double().square().mean().sqrt()) < ROUNDING


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("kind", list(spectra.Kind))
@pytest.mark.parametrize("columns", [16, 32, 48, 64, 112, 144])
@pytest.mark.parametrize(("rows", "inner"), [(16, 16), (32, 80), (128, 32)])
def test_products_are_those_of_complex_matrices(
    kind: spectra.Kind, columns: int, rows: int, inner: int
) -> None:
    generator = torch.Generator().manual_seed(3)
    periods = (4, 4)
    number = len(list(frequencies(periods)))

    def matrices(count: int, maps: int) -> Tensor:
        parts = torch.randn(count, number, maps, 2, generator=generator).bfloat16().double()
        return torch.view_as_complex(parts)

    if kind is spectra.Kind.PLAIN:
        a, b = matrices(rows, inner), matrices(inner, columns)
        wanted = torch.einsum("mfk,kfn->mfn", a, b)
    elif kind is spectra.Kind.CONJUGATE_B:
        a, b = matrices(rows, inner), matrices(columns, inner)
        wanted = torch.einsum("mfk,nfk->mfn", a, b.conj())
    else:
        a, b = matrices(inner, rows), matrices(inner, columns)
        wanted = torch.einsum("kfm,kfn->mfn", a.conj(), b)
    made = spectra.multiply(kind, packed(a), packed(b), rows, inner, columns)
    found = unpacked(made, columns)
    bound = ROUNDING * wanted.abs() + 1e-3 * math.sqrt(inner)
    assert bool(((found - wanted).abs() <= bound).all())


@pytest.mark.usefixtures("pairs")
def test_any_threads_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One, two or three, OpenMP's, or where torch has others, the kernels' own."""
    x, weight = drawn((5, 32, 9, 8), 3), drawn((80, 32, 3, 3), 4)
    before, found = torch.get_num_threads(), []
    try:
        for own, threads in itertools.product((False, True), (1, 2, 3)):
            if own:
                monkeypatch.setattr(spectra, "openmp_team", lambda: None)
            torch.set_num_threads(threads)
            leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
            y = spectral_convolution(*leaves, (1, 1), (10, 10))
            found.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_stays_none(value: float) -> None:
    x, weight = drawn((2, 16, 6, 6), 5), drawn((16, 16, 3, 3), 6)
    x[1, 3, 2, 2] = value
    y = spectral_convolution(x, weight, (1, 1), (8, 8))
    assert bool(y[1].isnan().all())
    assert not bool(y[0].isnan().any())


@pytest.mark.usefixtures("pairs")
def test_what_the_kernels_do_not_know_is_torchs() -> None:
    x, weight = drawn((2, 16, 6, 6), 5), drawn((16, 16, 3, 3), 6)
    assert spectra.knows(x, weight)
    assert not spectra.knows(x.float(), weight.float())
    assert not spectra.knows(x.contiguous(), weight)
    assert not spectra.knows(x[:0], weight)
    assert not spectra.knows(x, drawn((24, 16, 3, 3), 6))
    assert not spectra.knows(drawn((2, 3, 6, 6), 5), drawn((16, 3, 3, 3), 6))
    assert not spectra.knows(x, drawn((16, 32, 3, 3), 6))
    for maps in (16, 48):  # nor does torch: a layer of 32 maps says so
        layer = Convolution(32, 16, 3).bfloat16()
        layer.fourier = layer.spectra_kernels = True
        with pytest.raises(RuntimeError):
            layer(drawn((2, maps, 6, 6), 5))


@pytest.mark.usefixtures("pairs")
def test_other_processors_get_the_same_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Convolution(32, 48, 5, bias=True).bfloat16()
    layer.fourier = layer.spectra_kernels = True
    x = drawn((2, 32, 9, 9), 7)
    ours = layer(x).detach().float()
    layer.spectra_kernels = False
    theirs = layer(x).detach().float()
    layer.spectra_kernels = True
    monkeypatch.setenv(library.VARIABLE, "off")
    assert torch.equal(layer(x).detach().float(), theirs)
    assert float((ours - theirs).abs().max()) < 16 * ROUNDING * float(theirs.std())
    assert float((ours - theirs).abs().max()) > 0  # they are two ways
