"""Each layer as ONNX operators: one function a class.

`write(layer, b, x, out)` adds a layer to the builder `b`: x is what goes in, `out` what its shape
becomes; it gives the name of what comes out. A new layer gets a function here.
"""

import math
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor, nn

from convscope.exporting import windows
from convscope.exporting.builder import Builder
from convscope.exporting.tracing import Value
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.normalization import LocalResponseNorm, UnitNorm, WithinMapNorm
from convscope.layers.padding import padding_sides
from convscope.layers.pool_variants import BlurPool, MixedPool, StochasticPool
from convscope.layers.pools import (
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    MinPool,
    Subsampling,
)
from convscope.layers.rbf import RBF
from convscope.layers.windows import exact_sides
from convscope.onnx_file.graph import Array

Shape = tuple[int, ...]


@singledispatch
def write(layer: nn.Module, b: Builder, x: Value, out: Shape) -> str:
    """The name of what comes out. Raises TypeError for a layer that has no function here."""
    del b, x, out
    raise TypeError(f"no ONNX for {type(layer).__name__}")


def is_known(layer: nn.Module) -> bool:
    """Whether a layer can be written."""
    return write.dispatch(type(layer)) is not write.dispatch(object)


@write.register(nn.Identity)
@write.register(nn.Dropout)
def _nothing(layer: nn.Module, b: Builder, x: Value, out: Shape) -> str:
    del layer, b, out
    return x.name


@write.register
def _convolution(layer: Convolution, b: Builder, x: Value, out: Shape) -> str:
    del out
    name, pads = windows.border(b, x, padding_sides(*x.shape[1:], layer.grid), layer.pad)
    tensors = [b.constant(array(layer.dense_weight()), "weight")]
    if layer.bias is not None:
        tensors.append(b.constant(array(layer.bias), "bias"))
    return b.add(
        "Conv",
        name,
        *tensors,
        kernel_shape=layer.kernel,
        strides=layer.stride,
        dilations=layer.dilation,
        pads=pads,
        group=layer.groups,
    )


@write.register
def _linear(layer: nn.Linear, b: Builder, x: Value, out: Shape) -> str:
    del out
    tensors = [b.constant(array(layer.weight), "weight")]
    if layer.bias is not None:
        tensors.append(b.constant(array(layer.bias), "bias"))
    return b.add("Gemm", x.name, *tensors, transB=1)


@write.register
def _activation(layer: Activate, b: Builder, x: Value, out: Shape) -> str:
    del out
    match layer.activation.kind:
        case "identity":
            return x.name
        case "scaled-tanh":
            inner = b.add("Mul", x.name, b.constant(2 / 3))
            return b.add("Mul", b.add("Tanh", inner), b.constant(1.7159))
        case "leaky-relu":
            return b.add("LeakyRelu", x.name, alpha=0.01)
        case "elu":
            return b.add("Elu", x.name, alpha=1.0)
        case "gelu":
            error = b.add("Erf", b.add("Mul", x.name, b.constant(math.sqrt(0.5))))
            doubled = b.add("Mul", x.name, b.add("Add", error, b.constant(1.0)))
            return b.add("Mul", doubled, b.constant(0.5))
        case "silu":
            return b.add("Mul", x.name, b.add("Sigmoid", x.name))
        case kind:
            return b.add({"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}[kind], x.name)


@write.register
def _rbf(layer: RBF, b: Builder, x: Value, out: Shape) -> str:
    del out
    row = b.add("Reshape", x.name, b.whole(0, 1, x.shape[0]))
    difference = b.add("Sub", row, b.constant(array(layer.codes), "codes"))
    squares = b.add("Mul", difference, difference)
    return b.add("Neg", b.add("ReduceSum", squares, b.whole(2), keepdims=0))


@write.register(nn.BatchNorm2d)
@write.register(UnitNorm)
def _batch_norm(layer: nn.BatchNorm2d, b: Builder, x: Value, out: Shape) -> str:
    del out
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = layer.weight.double() / (layer.running_var.double() + layer.eps).sqrt()
    shift = layer.bias.double() - layer.running_mean.double() * scale
    sides = (-1,) + (1,) * (len(x.shape) - 1)
    product = b.add("Mul", x.name, b.constant(array(scale.view(sides)), "scale"))
    return b.add("Add", product, b.constant(array(shift.view(sides)), "shift"))


@write.register
def _response(layer: LocalResponseNorm, b: Builder, x: Value, out: Shape) -> str:
    """The sum over neighbouring maps as a 1 × 1 convolution with a band of ones."""
    del out
    maps = x.shape[0]
    size, part = layer.size, maps // layer.groups
    band = np.zeros((maps, maps, 1, 1), np.float32)
    for o in range(maps):
        first = o // part * part
        low, high = o - size // 2, o + (size - 1) // 2
        band[o, max(low, first) : min(high + 1, first + part)] = 1
    squares = b.add("Mul", x.name, x.name)
    total = b.add("Conv", squares, b.constant(band, "band"), kernel_shape=(1, 1))
    alpha = layer.alpha / size if layer.divide else layer.alpha
    return _respond(b, x, total, layer.k, alpha, layer.beta)


@write.register
def _within_map(layer: WithinMapNorm, b: Builder, x: Value, out: Shape) -> str:
    del out
    squares = Value(b.add("Mul", x.name, x.name), x.shape)
    total = windows.sums(b, squares, layer.window)
    alpha = layer.alpha / layer.window.area if layer.divide else layer.alpha
    return _respond(b, x, total, layer.k, alpha, layer.beta)


def _respond(b: Builder, x: Value, total: str, k: float, alpha: float, beta: float) -> str:
    """x / (k + α·total)^β; square roots are many times as fast as other powers."""
    base = b.add("Add", b.add("Mul", total, b.constant(alpha)), b.constant(k))
    if beta == 0.75:
        root = b.add("Sqrt", base)
        return b.add("Div", x.name, b.add("Mul", root, b.add("Sqrt", root)))
    return b.add("Mul", x.name, b.add("Pow", base, b.constant(-beta)))


@write.register
def _max(layer: MaxPool, b: Builder, x: Value, out: Shape) -> str:
    del out
    return windows.maximum(b, x, layer.window)


@write.register
def _min(layer: MinPool, b: Builder, x: Value, out: Shape) -> str:
    del out
    negated = Value(b.add("Neg", x.name), x.shape)
    return b.add("Neg", windows.maximum(b, negated, layer.window))


@write.register
def _average(layer: AveragePool, b: Builder, x: Value, out: Shape) -> str:
    del out
    return windows.means(b, x, layer.window, padding_counts=layer.count_padding)


@write.register
def _norm(layer: LpPool, b: Builder, x: Value, out: Shape) -> str:
    del out
    if layer.p == 2:
        powers = b.add("Mul", x.name, x.name)
    else:
        powers = b.add("Pow", b.add("Abs", x.name), b.constant(layer.p))
    total = windows.sums(b, Value(powers, x.shape), layer.window)
    return b.add("Sqrt", total) if layer.p == 2 else b.add("Pow", total, b.constant(1 / layer.p))


@write.register
def _subsampling(layer: Subsampling, b: Builder, x: Value, out: Shape) -> str:
    del out
    weight = array(layer.weight)[:, None, None, None]
    return windows.each_map(b, x, layer.window, weight, b.constant(array(layer.bias), "bias"))


@write.register
def _mixed(layer: MixedPool, b: Builder, x: Value, out: Shape) -> str:
    del out
    average = windows.means(b, x, layer.window, padding_counts=False)
    maximum = windows.maximum(b, x, layer.window)
    more = b.add(
        "Mul",
        b.add("Sub", maximum, average),
        b.constant(float(torch.as_tensor(layer.mix).detach())),
    )
    return b.add("Add", average, more)


@write.register
def _blur(layer: BlurPool, b: Builder, x: Value, out: Shape) -> str:
    del out
    height, width = layer.maximum.window.output(*x.shape[1:])
    maximum = Value(windows.maximum(b, x, layer.maximum.window), (x.shape[0], height, width))
    left, right, top, bottom = exact_sides(height, width, layer.blur)
    # A negative side only cuts what the stride leaves over.
    sides = (left, max(right, 0), top, max(bottom, 0))
    name = windows.pad(b, maximum, sides, mode="reflect") if any(sides) else maximum.name
    taps = np.broadcast_to(array(layer.taps), (x.shape[0], 1, layer.size, layer.size))
    stride = (layer.blur.rows.stride, layer.blur.columns.stride)
    return b.add(
        "Conv",
        name,
        b.constant(np.ascontiguousarray(taps), "taps"),
        kernel_shape=(layer.size, layer.size),
        strides=stride,
        group=x.shape[0],
    )


@write.register
def _stochastic(layer: StochasticPool, b: Builder, x: Value, out: Shape) -> str:
    """Σ max(x, 0)² / Σ max(x, 0), and the mean where no value is positive."""
    del out
    positive = Value(b.add("Relu", x.name), x.shape)
    squares = Value(b.add("Mul", positive.name, positive.name), x.shape)
    total = windows.sums(b, positive, layer.window)
    some = b.add("Greater", total, b.constant(0.0))
    divisor = b.add("Where", some, total, b.constant(1.0))
    drawn = b.add("Div", windows.sums(b, squares, layer.window), divisor)
    return b.add("Where", some, drawn, windows.means(b, x, layer.window, padding_counts=False))


@write.register
def _global_max(layer: GlobalMaxPool, b: Builder, x: Value, out: Shape) -> str:
    del layer, out
    return b.add("GlobalMaxPool", x.name)


@write.register
def _global_average(layer: GlobalAveragePool, b: Builder, x: Value, out: Shape) -> str:
    del layer, out
    return b.add("GlobalAveragePool", x.name)


@write.register
def _adaptive(layer: nn.AdaptiveAvgPool2d, b: Builder, x: Value, out: Shape) -> str:
    """Means along the columns and along the rows, each a product with a matrix."""
    del layer
    name = x.name
    if x.shape[2] != out[2]:
        name = b.add("MatMul", name, b.constant(_means(x.shape[2], out[2]).T.copy(), "across"))
    if x.shape[1] != out[1]:
        name = b.add("MatMul", b.constant(_means(x.shape[1], out[1]), "down"), name)
    return name


def _means(n_in: int, n_out: int) -> Array:
    """n_out × n_in: each row the mean of its share, from ⌊i·n_in/n_out⌋ to ⌈(i+1)·n_in/n_out⌉."""
    matrix = np.zeros((n_out, n_in), np.float32)
    for i in range(n_out):
        first, last = i * n_in // n_out, -(-(i + 1) * n_in // n_out)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


def array(tensor: Tensor) -> Array:
    """A tensor as float32."""
    result: Array = tensor.detach().to(torch.float32).cpu().numpy()
    return result
