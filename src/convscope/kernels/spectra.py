"""Convolution by spectra in bfloat16: transforms and products by kernels.

The arithmetic is in `spectra_transform.c` and `spectra_product.c`; `layers/fourier.py` has the same
in torch's operators, for every processor and type.
"""

import ctypes
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convscope.kernels import library
from convscope.kernels.calls import MAPS, address, call, openmp_team

Size = tuple[int, int]


class Kind(IntEnum):
    """Of a product: which factor's conjugate is taken. The numbers are those of spectra.h."""

    PLAIN = 0
    CONJUGATE_B = 1
    CONJUGATE_A = 2


class _Transform(ctypes.Structure):
    """`struct transform` of spectra.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("images", "spectra")),
        *((name, ctypes.c_int64) for name in ("count", "maps", "frequencies", "pitch")),
        *((name, ctypes.c_int64) for name in ("height", "width", "rows", "columns")),
        *((name, ctypes.c_int64) for name in ("centre_row", "centre_column")),
        ("team", ctypes.c_void_p),
    ]


class _Product(ctypes.Structure):
    """`struct product` of spectra.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("a", "b", "c")),
        *((name, ctypes.c_int64) for name in ("frequencies", "rows", "inner", "columns")),
        *((name, ctypes.c_int64) for name in ("a_frequency", "b_frequency", "c_frequency")),
        *((name, ctypes.c_int64) for name in ("a_row", "a_inner", "b_row", "c_row")),
        ("kind", ctypes.c_int64),
        ("team", ctypes.c_void_p),
    ]


def knows(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernels are for such tensors, and for this processor."""
    kernels = library.load()
    return (
        kernels is not None
        and kernels.multiplies_pairs
        and x.dtype == weight.dtype == torch.bfloat16
        and x.device.type == "cpu"
        and len(x) > 0
        and x.shape[1] == weight.shape[1]
        and weight.shape[0] % MAPS == weight.shape[1] % MAPS == 0
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def spectral_convolution(x: Tensor, weight: Tensor, padding: Size, periods: Size) -> Tensor:
    """`F.conv2d(x, weight, padding=padding)`, stride 1, differentiable once.

    Spectra are rounded to bfloat16, their products are summed in float32.

    Args:
        x: bfloat16 on the CPU, N × C × H × W, channels last; C a multiple of `MAPS`.
        weight: bfloat16, maps × C × K × L; maps likewise.
        padding: rows and columns of zeros on each side, smaller than the kernel.
        periods: of the transforms, even, with nothing that wraps around onto the image.
    """
    result: Tensor = _Spectral.apply(x, weight, padding, periods)  # type: ignore[no-untyped-call]
    return result


class _Spectral(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: Size, periods: Size) -> Tensor:
        places = _Places(x, weight, padding, periods)
        spectra = spectra_of(x, periods, places.image)
        kernels = spectra_of(weight, periods, places.kernel)
        ctx.save_for_backward(spectra, kernels)
        ctx.places = places
        made = multiply(Kind.CONJUGATE_B, spectra, kernels, len(x), x.shape[1], len(weight))
        return images_of(made, places.result_shape, periods, places.result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        spectra, kernels = ctx.saved_tensors
        places: _Places = ctx.places
        count, channels = places.image_shape[:2]
        maps = places.kernel_shape[0]
        given = spectra_of(gradient.to(torch.bfloat16), places.periods, places.result)
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            made = multiply(Kind.PLAIN, given, kernels, count, maps, channels)
            for_x = images_of(made, places.image_shape, places.periods, places.image)
        if ctx.needs_input_grad[1]:
            made = multiply(Kind.CONJUGATE_A, given, spectra, maps, count, channels)
            for_weight = images_of(made, places.kernel_shape, places.periods, places.kernel)
        return for_x, for_weight, None, None


class _Places:
    """Shapes, and the place in each from which phases are counted: about its middle.

    y[h] = Σ w[i] x[h + i - padding], so the result's follows from the other two.
    """

    def __init__(self, x: Tensor, weight: Tensor, padding: Size, periods: Size) -> None:
        self.image_shape, self.kernel_shape, self.periods = x.shape, weight.shape, periods
        self.image, self.kernel = _middle(x.shape), _middle(weight.shape)
        axes = range(2)
        rows, columns = (x.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i] + 1 for i in axes)
        self.result_shape = torch.Size((len(x), len(weight), rows, columns))
        down, across = (padding[i] + self.image[i] - self.kernel[i] for i in axes)
        self.result = down, across


def _middle(shape: torch.Size) -> Size:
    return shape[2] // 2, shape[3] // 2


def pitch(maps: int) -> int:
    """Pairs from one frequency of an image to the next.

    They are an odd number of cache lines: with an even one, the frequencies of a few maps, which a
    transform writes one after the other, would share few sets of the cache.
    """
    return maps + (MAPS if maps // MAPS % 2 == 0 else 0)


def _room(count: int, frequencies: int, maps: int) -> Tensor:
    return torch.empty(count, frequencies, pitch(maps), dtype=torch.int32)


def spectra_of(images: Tensor, periods: Size, centre: Size) -> Tensor:
    """The spectra of N × C × H × W, bfloat16: N × frequencies × `pitch` of C, pairs as int32.

    Their order is that of `spectra.h`. Phases are those of distances from `centre`.
    """
    assert images.shape[1] % MAPS == 0
    images = images.contiguous(memory_format=torch.channels_last)
    rows, columns = periods
    frequencies = 2 * (rows // 2 + 1) + (columns // 2 - 1) * rows
    found = _room(len(images), frequencies, images.shape[1])
    _transform("spectra_of_images", images, found, periods, centre)
    return found


def images_of(spectra: Tensor, shape: torch.Size, periods: Size, centre: Size) -> Tensor:
    """The way back: N × C × H × W of `shape`, bfloat16, channels last."""
    count, maps, height, width = shape
    found = torch.empty(count, height, width, maps, dtype=torch.bfloat16).permute(0, 3, 1, 2)
    _transform("images_of_spectra", found, spectra, periods, centre)
    return found


def _transform(name: str, images: Tensor, spectra: Tensor, periods: Size, centre: Size) -> None:
    count, maps, height, width = images.shape
    job = _Transform(
        images=address(images),
        spectra=address(spectra),
        count=count,
        maps=maps,
        frequencies=spectra.shape[1],
        pitch=spectra.shape[2],
        height=height,
        width=width,
        rows=periods[0],
        columns=periods[1],
        centre_row=centre[0],
        centre_column=centre[1],
        team=openmp_team(),
    )
    call(name, job, images, spectra)


def multiply(kind: Kind, a: Tensor, b: Tensor, rows: int, inner: int, columns: int) -> Tensor:
    """For each frequency the product of two matrices, rows × inner and inner × columns.

    Args:
        kind: whose conjugate is taken. With `CONJUGATE_B` the matrices of b lie transposed, with
            `CONJUGATE_A` those of a: it is the first index of both that is summed over.
        a, b: spectra. rows, inner, columns: multiples of `MAPS` where they are maps.
    """
    made = _room(rows, a.shape[1], columns)
    turned = kind is Kind.CONJUGATE_A
    job = _Product(
        a=address(a),
        b=address(b),
        c=address(made),
        frequencies=a.shape[1],
        rows=rows,
        inner=inner,
        columns=columns,
        a_frequency=a.stride(1),
        a_row=1 if turned else a.stride(0),
        a_inner=a.stride(0) if turned else 1,
        b_frequency=b.stride(1),
        b_row=b.stride(0),
        c_frequency=made.stride(1),
        c_row=made.stride(0),
        kind=kind,
        team=openmp_team(),
    )
    call("product_of_spectra", job, a, b, made)
    return made
