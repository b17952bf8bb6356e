"""Convolution by way of the Fourier transform: fewer multiplications for large kernels.

Mathieu, Henaff & LeCun 2013, "Fast Training of Convolutional Networks through FFTs",
arXiv:1312.5851: a convolution is a product of spectra, one matrix product of maps by maps for each
frequency. The spectra of the images serve the weights' gradient, too. It is the same sum as the
direct one in another order: in float32 it differs in the last digits. For bfloat16, on processors
that multiply it in pairs, there are kernels that do the same in less time (`kernels/spectra.py`).

Real products for each pair of maps: 5 × 5 on 27 × 27 takes 30 · 16 frequencies · 4 = 1,920 instead
of 27² · 25 = 18,225; 3 × 3 on 13 × 13 takes 14 · 8 · 4 = 448 instead of 13² · 9 = 1,521.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from convscope.kernels import spectra

Size = tuple[int, int]
BLOCK = 8  # images: a few megabytes between two products


def fourier_convolution(
    x: Tensor, weight: Tensor, padding: tuple[int, int], *, kernels: bool = False
) -> Tensor:
    """`F.conv2d(x, weight, padding=padding)`, stride 1, by spectra, differentiable once.

    Args:
        x: N × C × H × W, float32 or bfloat16.
        weight: maps × C × K × L, of the same type, no larger than the padded image.
        padding: rows and columns of zeros on each side, smaller than the kernel.
        kernels: whether `kernels/spectra.py` computes what it knows.

    Returns:
        N × maps × H' × W', of the type of `x`. In bfloat16 the spectra are rounded to it before
        they are multiplied, and the transforms are float32.
    """
    if kernels and spectra.knows(x, weight):
        periods = _periods(x, weight, padding)
        return spectra.spectral_convolution(x, weight, padding, periods)
    result: Tensor = _Fourier.apply(x, weight, padding)  # type: ignore[no-untyped-call]
    return result


class _Fourier(torch.autograd.Function):
    """Spectra stand as F × … with F the frequencies of a real transform, real and imaginary parts
    as matrices of their own: torch has no bfloat16 complex numbers, and no fast complex products.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        size = _periods(x, weight, padding)
        found = _spectrum(x, size, pairs=True)
        kernels = _kernels(weight, size, padding)
        # In float32 the spectra of a whole network are hundreds of megabytes: there they are
        # computed a second time.
        ctx.anew = x.dtype == torch.float32
        ctx.save_for_backward(*((x, weight) if ctx.anew else (found, kernels)))
        ctx.sizes = x.shape, weight.shape, padding, size
        rows, columns = (
            n + 2 * p - k + 1
            for n, k, p in zip(x.shape[2:], weight.shape[2:], padding, strict=True)
        )
        return _image(found @ kernels, size, (rows, columns), x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_image, of_kernels = ctx.saved_tensors
        image, weight, padding, size = ctx.sizes
        given = _spectrum(gradient, size)  # F × 2N × maps
        for_x = for_weight = None
        # One after the other, each in a function of its own, whose temporaries end with it.
        if ctx.needs_input_grad[0]:
            kernels = _kernels(of_kernels, size, padding) if ctx.anew else of_kernels
            for_x = _image(_input_spectrum(given, kernels), size, image[2:], gradient)
            del kernels
        if ctx.needs_input_grad[1]:
            found = _spectrum(of_image, size, pairs=True) if ctx.anew else of_image
            for_weight = _taps(found, given, weight, size, padding)
        return for_x, for_weight, None


def _input_spectrum(given: Tensor, kernels: Tensor) -> Tensor:
    """F × 2N × C: the spectrum of the gradient of the layer's input."""
    count, channels = given.shape[1] // 2, kernels.shape[1] // 2
    four = (given @ kernels.transpose(1, 2)).view(-1, 2, count, 2, channels)
    real = four[:, 0, :, 0] + four[:, 1, :, 1]
    imaginary = four[:, 1, :, 0] - four[:, 0, :, 1]
    return torch.stack((real, imaginary), dim=1).flatten(1, 2)


def _taps(
    spectra: Tensor, given: Tensor, weight: torch.Size, size: Size, padding: tuple[int, int]
) -> Tensor:
    """maps × C × K × L: the gradient of the weights."""
    maps, channels, *kernel = weight
    taken = (spectra.transpose(1, 2) @ given).view(-1, channels * maps)
    back = _back(size, (kernel[0], kernel[1]), padding).to(taken.dtype)
    return (back @ taken).view(*kernel, channels, maps).permute(3, 2, 0, 1)


def _kernels(weight: Tensor, size: Size, padding: tuple[int, int]) -> Tensor:
    """F × 2C × maps: the spectra of a layer's kernels, real parts over imaginary ones."""
    maps, channels = weight.shape[:2]
    basis = _basis(size, tuple(weight.shape[2:]), padding).to(weight.dtype)
    taps = weight.permute(2, 3, 1, 0).reshape(-1, channels * maps)
    return (basis @ taps).view(-1, 2 * channels, maps)


def _periods(x: Tensor, weight: Tensor, padding: Size) -> Size:
    """Of the transform, down and across."""
    down, across = map(_period, x.shape[2:], weight.shape[2:], padding)
    return down, across


def _period(image: int, kernel: int, padding: int) -> int:
    """The smallest even period in which nothing wraps around onto the image."""
    return (image + max(padding, kernel - 1 - padding) + 1) // 2 * 2


def _spectrum(x: Tensor, size: Size, *, pairs: bool = False) -> Tensor:
    """F × 2N × C of the type of x from N × C × H × W: real parts of all images, then imaginary.

    With `pairs` F × 2N × 2C, the rows (real, −imaginary) and (imaginary, real): times the
    kernels' (real over imaginary) they give the real and imaginary parts of the product.

    Two matrix products with constant matrices, first along the columns of an image and then
    along its rows, for a few images at a time, so that what lies between stays in the cache.
    """
    count, channels, height, width = x.shape
    down, across = _forward(size[0], height, all_frequencies=True), _forward(size[1], width)
    frequencies = size[0] * (size[1] // 2 + 1)
    found = x.new_empty(frequencies, 2, count, 1 + pairs, channels)
    for first in range(0, count, BLOCK):
        some = slice(first, first + BLOCK)
        rows = x[some].permute(0, 2, 3, 1).float().contiguous()
        mixed = torch.matmul(down, rows.view(len(rows), height, width * channels))
        parts = torch.matmul(across, mixed.view(-1, 2 * width, channels))
        real, imaginary = parts.view(len(rows), frequencies, 2, channels).permute(2, 1, 0, 3)
        found[:, 0, some, 0], found[:, 1, some, 0] = real, imaginary
        if pairs:
            found[:, 0, some, 1], found[:, 1, some, 1] = -imaginary, real
    return found.view(frequencies, 2 * count, -1)


def _image(spectrum: Tensor, size: Size, output: Size, like: Tensor) -> Tensor:
    """N × C × H × W, in type and memory order of `like`, from F × 2N × C."""
    frequencies, rows, channels = spectrum.shape
    count = rows // 2
    across, down = _inverse(size[1], output[1]), _inverse(size[0], output[0], all_frequencies=True)
    parts = spectrum.view(frequencies, 2, count, channels).permute(2, 0, 1, 3)
    images = like.new_empty(count, *output, channels)
    for first in range(0, count, BLOCK):
        some = parts[first : first + BLOCK].float().contiguous()
        mixed = torch.matmul(across, some.view(len(some) * size[0], -1, channels))
        whole = torch.matmul(down, mixed.view(len(some), 2 * size[0], -1))
        images[first : first + BLOCK] = whole.view(len(some), *output, channels)
    result = images.permute(0, 3, 1, 2)
    last = like.is_contiguous(memory_format=torch.channels_last)
    return result if last else result.contiguous()


@lru_cache(maxsize=32)
def _forward(period: int, length: int, *, all_frequencies: bool = False) -> Tensor:
    """The matrix of a transform, float32.

    From real numbers to all frequencies: (frequency, part) × place. Else from complex numbers to
    the frequencies up to period/2: (frequency, part) × (part, place).
    """
    frequencies = period if all_frequencies else period // 2 + 1
    angle = _angles(frequencies, length, period)
    cos, sin = angle.cos(), angle.sin()
    if all_frequencies:
        return torch.stack((cos, -sin), dim=1).flatten(0, 1).float()
    real, imaginary = torch.cat((cos, sin), dim=1), torch.cat((-sin, cos), dim=1)
    return torch.stack((real, imaginary), dim=1).flatten(0, 1).float()


@lru_cache(maxsize=32)
def _inverse(period: int, length: int, *, all_frequencies: bool = False) -> Tensor:
    """The matrix of the way back, float32: (part, place) × (frequency, part), or only real parts.

    A frequency that stands for its mirror image, too, counts twice; with the second transform
    giving only real parts, that is all the mirror images do.
    """
    frequencies = period if all_frequencies else period // 2 + 1
    angle = _angles(frequencies, length, period).T
    cos, sin = angle.cos() / period, angle.sin() / period
    if all_frequencies:
        return torch.stack((cos, -sin), dim=2).flatten(1).float()
    twice = torch.full((frequencies,), 2.0, dtype=torch.float64)
    twice[0] = twice[-1] = 1.0
    real = torch.stack((cos * twice, -sin * twice), dim=2).flatten(1)
    imaginary = torch.stack((sin * twice, cos * twice), dim=2).flatten(1)
    return torch.cat((real, imaginary)).float()


def _angles(frequencies: int, length: int, period: int) -> Tensor:
    """2π · frequency · place / period, float64, frequencies × places."""
    products = torch.outer(torch.arange(frequencies), torch.arange(length)) % period
    return products.double() * (2 * torch.pi / period)


@lru_cache(maxsize=16)
def _basis(size: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """2F × taps, float32: what each tap gives to the kernel's spectrum; real and imaginary rows.

    The tap i of a row stands at −(i − padding): y[h] = Σ w[i] x[h + i − padding].
    """
    angles = []
    for axis, count in enumerate((size[0], size[1] // 2 + 1)):
        frequency = torch.arange(count, dtype=torch.float64)
        place = padding[axis] - torch.arange(kernel[axis], dtype=torch.float64)
        angles.append(-2 * torch.pi * torch.outer(frequency, place) / size[axis])
    total = angles[0][:, None, :, None] + angles[1][None, :, None, :]
    parts = torch.stack((total.cos(), total.sin()), dim=2)  # rows × columns × 2 × K × L
    return parts.flatten(0, 2).flatten(1).float()


@lru_cache(maxsize=16)
def _back(size: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """taps × 2F: from the gradient of the kernel's spectrum to that of its taps.

    The frequencies that a real transform leaves out are the mirror images of those it has: those
    count twice, but for the first column and the last, which are their own mirror images.
    """
    columns = size[1] // 2 + 1
    counts = torch.full((columns,), 2.0)
    counts[0] = counts[-1] = 1.0
    weights = counts.repeat(size[0]).repeat_interleave(2) / (size[0] * size[1])
    return (_basis(size, kernel, padding) * weights[:, None]).T.contiguous()
