"""How large each value of a graph is, worked out before anything is allocated.

A value that depends on the images has N × shape, any N; only such operators are allowed as keep N
in front and treat each image alone, so that memory grows with N and no faster. Everything else is
a constant. One function an operator: an operator that has none here is not allowed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convscope.onnx_file.graph import DTYPES, Array, Node
from convscope.onnx_file.protobuf import Damaged

LONGEST_SIDE = 2**31


@dataclass(frozen=True)
class Known:
    """What is known of a value.

    Attributes:
        shape: of one image; of a constant, the whole.
        per_image: whether N stands in front.
        array: the numbers of a constant of the file.
    """

    shape: tuple[int, ...]
    per_image: bool
    array: Array | None = None


@dataclass(frozen=True)
class Found:
    """What an operator gives, and its work: multiply-adds, or what takes as long."""

    shape: tuple[int, ...]
    work: int = 0
    per_image: bool = True


Rule = Callable[[Node, Sequence[Known]], Found]


def find(node: Node, inputs: Sequence[Known]) -> Found:
    """What `node` gives.

    Raises:
        Damaged: it is not allowed, or its inputs or attributes are not.
    """
    rule = _RULES.get(node.op)
    if rule is None:
        raise Damaged(f"it uses the operator '{node.op}'; allowed: {', '.join(sorted(_RULES))}")
    try:
        found = rule(node, inputs)
    except (IndexError, TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(f"its operator '{node.name or node.op}' has wrong inputs") from None
    if len(found.shape) > 6 or any(not 0 < side < LONGEST_SIDE for side in found.shape):
        raise Damaged(f"its operator '{node.name or node.op}' gives {found.shape}")
    return found


def _need(condition: bool, node: Node, what: str) -> None:
    if not condition:
        raise Damaged(f"its operator '{node.name or node.op}' {what}")


def _image(node: Node, known: Known) -> tuple[int, ...]:
    _need(known.per_image, node, "treats a constant as an image")
    return known.shape


def _numbers(node: Node, known: Known) -> list[int]:
    """The numbers of a constant row of whole numbers."""
    array = known.array
    small = array is not None and array.dtype.kind == "i" and array.ndim <= 1 and array.size <= 16
    _need(small, node, "takes no short constant row of whole numbers where it must")
    assert array is not None
    return [int(number) for number in array.reshape(-1)]


def _pair(node: Node, key: str, default: int | None = 1) -> tuple[int, int]:
    value = node.attributes.get(key, None if default is None else (default, default))
    good = isinstance(value, tuple) and len(value) == 2 and all(0 < n <= 4096 for n in value)
    _need(good, node, f"has no two numbers from 1 to 4096 as {key}")
    assert isinstance(value, tuple)
    return value[0], value[1]


def _only(node: Node, *allowed: str) -> None:
    extra = set(node.attributes) - set(allowed)
    _need(not extra, node, f"has the attributes {sorted(extra)}")


def _count(node: Node, inputs: Sequence[Known], low: int, high: int | None = None) -> None:
    _need(low <= len(inputs) <= (high or low), node, f"has {len(inputs)} inputs")


def _same(node: Node, inputs: Sequence[Known]) -> Found:
    """One value in, a value of the same shape out."""
    _count(node, inputs, 1)
    _only(node, "alpha", "axis")
    _need(node.attributes.get("axis", 1) == 1, node, "works along another axis than 1")
    shape = _image(node, inputs[0])
    return Found(shape, 8 * math.prod(shape))


def _cast(node: Node, inputs: Sequence[Known]) -> Found:
    """The same numbers in another type, of those that a file may have: no strings."""
    _count(node, inputs, 1)
    _only(node, "to")
    _need(node.attributes.get("to") in DTYPES, node, "makes another type of numbers")
    shape = _image(node, inputs[0])
    return Found(shape, 8 * math.prod(shape))


def _broadcast(node: Node, inputs: Sequence[Known]) -> Found:
    """Values of one image, one size or broadcast; constants never give the batch a side."""
    _count(node, inputs, 2, 3)
    _only(node)
    _need(any(known.per_image for known in inputs), node, "has nothing but constants")
    rank = max(len(known.shape) for known in inputs if known.per_image)
    shapes = []
    for known in inputs:
        shape = known.shape
        if not known.per_image:
            _need(len(shape) <= rank + 1, node, "has a constant of too many dimensions")
            if len(shape) == rank + 1:
                _need(shape[0] == 1, node, "has a constant as long as a batch")
                shape = shape[1:]
        else:
            _need(len(shape) == rank, node, "has inputs of different dimensions")
        shapes.append(shape)
    shape = np.broadcast_shapes(*shapes)
    return Found(shape, (64 if node.op == "Pow" else 2) * math.prod(shape))


def _conv(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2, 3)
    _only(node, "kernel_shape", "strides", "dilations", "pads", "group")
    maps, *size = _image(node, inputs[0])
    out, in_group, *kernel = inputs[1].shape
    group = node.attributes.get("group", 1)
    _need(isinstance(group, int) and 0 < group <= maps, node, "has a wrong group")
    assert isinstance(group, int)
    fits = maps == in_group * group and out % group == 0 and not inputs[1].per_image
    _need(fits and tuple(kernel) == _pair(node, "kernel_shape", None), node, "has wrong weights")
    _need(all(known.shape == (out,) for known in inputs[2:]), node, "has a wrong bias")
    height, width = _slide(node, size, _pads(node), as_pooling=False)
    work = out * height * width * in_group * math.prod(kernel)
    return Found((out, height, width), work)


def _pads(node: Node) -> tuple[int, ...]:
    pads = node.attributes.get("pads", (0, 0, 0, 0))
    good = isinstance(pads, tuple) and len(pads) == 4 and all(0 <= n <= 8192 for n in pads)
    _need(good, node, "has no four numbers from 0 to 8192 as pads")
    assert isinstance(pads, tuple)
    return pads


def _slide(
    node: Node, size: Sequence[int], pads: Sequence[int], *, as_pooling: bool
) -> tuple[int, int]:
    """Height and width of what windows give."""
    kernel, strides = _pair(node, "kernel_shape", None), _pair(node, "strides")
    dilations = _pair(node, "dilations")
    sides = []
    for axis in (0, 1):
        before, after = pads[axis], pads[axis + 2]
        small = not as_pooling or max(before, after) < kernel[axis]
        _need(small, node, "pads by more than its window")
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        sides.append((size[axis] + before + after - reach) // strides[axis] + 1)
    return sides[0], sides[1]


def _pool(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 1)
    more = ("dilations",) if node.op == "MaxPool" else ("count_include_pad",)
    _only(node, "kernel_shape", "strides", "pads", *more)
    maps, *size = _image(node, inputs[0])
    height, width = _slide(node, size, _pads(node), as_pooling=True)
    work = maps * height * width * math.prod(_pair(node, "kernel_shape", None))
    return Found((maps, height, width), work)


def _global_pool(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 1)
    _only(node)
    maps, height, width = _image(node, inputs[0])
    return Found((maps, 1, 1), maps * height * width)


def _gemm(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2, 3)
    _only(node, "transB")
    (units,) = _image(node, inputs[0])
    transposed = node.attributes.get("transB", 0)
    out, seen = inputs[1].shape if transposed else inputs[1].shape[::-1]
    _need(seen == units and not inputs[1].per_image, node, "has wrong weights")
    _need(all(known.shape == (out,) for known in inputs[2:]), node, "has a wrong bias")
    return Found((out,), units * out)


def _matmul(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2)
    _only(node)
    left, right = inputs
    if left.per_image:
        *rest, inner = left.shape
        seen, out = right.shape
        shape = (*rest, out)
    else:
        *rest, inner, columns = right.shape
        out, seen = left.shape
        shape = (*rest, out, columns)
        _need(len(rest) > 0, node, "multiplies the batch")
    _need(left.per_image != right.per_image and inner == seen, node, "has factors that do not fit")
    return Found(shape, math.prod(shape) * inner)


def _flatten(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 1)
    _only(node, "axis")
    _need(node.attributes.get("axis", 1) == 1, node, "flattens along another axis than 1")
    return Found((math.prod(_image(node, inputs[0])),))


def _reshape(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2)
    _only(node)
    shape, (first, *sides) = _image(node, inputs[0]), _numbers(node, inputs[1])
    good = first == 0 and min(sides, default=0) > 0 and math.prod(sides) == math.prod(shape)
    _need(good, node, "gives another shape than it takes")
    return Found(tuple(sides))


def _reduce(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2)
    _only(node, "keepdims")
    shape, (axis,) = _image(node, inputs[0]), _numbers(node, inputs[1])
    _need(1 <= axis <= len(shape) and node.attributes.get("keepdims") == 0, node, "has wrong axes")
    return Found(shape[: axis - 1] + shape[axis:], math.prod(shape))


def _slice(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 4)
    _only(node)
    shape = list(_image(node, inputs[0]))
    (start,), (end,), (axis,) = (_numbers(node, known) for known in inputs[1:])
    _need(1 <= axis <= len(shape) and 0 <= start < end <= shape[axis - 1], node, "cuts wrongly")
    shape[axis - 1] = end - start
    return Found(tuple(shape))


def _concat(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2, 3)
    _only(node, "axis")
    shapes, axis = [list(_image(node, known)) for known in inputs], node.attributes.get("axis")
    _need(isinstance(axis, int) and 1 <= axis <= len(shapes[0]), node, "has a wrong axis")
    assert isinstance(axis, int)
    whole = sum(shape.pop(axis - 1) for shape in shapes)
    _need(all(shape == shapes[0] for shape in shapes), node, "joins what does not fit")
    return Found((*shapes[0][: axis - 1], whole, *shapes[0][axis - 1 :]))


def _pad(node: Node, inputs: Sequence[Known]) -> Found:
    _count(node, inputs, 2, 3)
    _only(node, "mode")
    shape, numbers = _image(node, inputs[0]), _numbers(node, inputs[1])
    mode, rank = node.attributes.get("mode", "constant"), len(shape) + 1
    _need(mode in ("constant", "reflect", "edge"), node, "pads in an unknown mode")
    _need(
        all(known.array is not None and known.array.size == 1 for known in inputs[2:]),
        node,
        "fills with no number",
    )
    good = len(numbers) == 2 * rank and numbers[0] == numbers[rank] == 0
    _need(good and all(abs(n) <= 8192 for n in numbers), node, "has wrong borders")
    before, after = numbers[1:rank], numbers[rank + 1 :]
    sides = []
    for side, low, high in zip(shape, before, after, strict=True):
        reach = side - 1 if mode == "reflect" else LONGEST_SIDE
        _need(max(low, high) <= reach and min(low, high) > -side, node, "has wrong borders")
        sides.append(low + side + high)
    return Found(tuple(sides))


def _quantise(node: Node, inputs: Sequence[Known]) -> Found:
    """Scale and zero point are constants: one of each, or one of each map."""
    _count(node, inputs, 3)
    _only(node, "axis")
    value, *rest = inputs
    axis = node.attributes.get("axis", 1)
    for known in rest:
        array = known.array
        one = array is not None and array.ndim == 0
        each = (
            array is not None
            and not value.per_image
            and isinstance(axis, int)
            and 0 <= axis < len(value.shape)
            and array.shape == (value.shape[axis],)
        )
        _need(one or each, node, "has wrong scales")
    return Found(value.shape, math.prod(value.shape), value.per_image)


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            "Abs",
            "Elu",
            "Erf",
            "LeakyRelu",
            "Neg",
            "Relu",
            "Sigmoid",
            "Softmax",
            "Sqrt",
            "Tanh",
        ),
        _same,
    ),
    **dict.fromkeys(("Add", "Div", "Greater", "Mul", "Pow", "Sub", "Where"), _broadcast),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _quantise),
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Pad": _pad,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Slice": _slice,
}
