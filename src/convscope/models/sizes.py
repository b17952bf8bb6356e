"""The size of maps through a chain of layers, in whole numbers, before any tensor exists."""

from collections.abc import Mapping

from torch import nn

from convscope.errors import InputError
from convscope.layers.convolution import Convolution
from convscope.layers.pools import PoolModule
from convscope.models.registry import LARGEST_INPUT


def chain_size(layers: Mapping[str, nn.Module], height: int, width: int) -> tuple[int, int]:
    """Height and width after `layers`, in order; other modules than windows keep the size.

    Raises:
        InputError: a layer that does not fit, by its name.
    """
    for name, layer in layers.items():
        if isinstance(layer, Convolution | PoolModule):
            try:
                height, width = layer.output_size(height, width)
            except InputError as error:
                raise InputError(f"{name} receives {height}×{width}: {error}") from None
    return height, width


def smallest_input(layers: Mapping[str, nn.Module], largest: int) -> int | None:
    """The smallest square input, up to `largest`, that passes through `layers`, or None."""
    for size in range(1, largest + 1):
        try:
            chain_size(layers, size, size)
        except InputError:
            continue
        return size
    return None


def final_size(layers: Mapping[str, nn.Module], input_size: int) -> tuple[int, int]:
    """Height and width after `layers` of a square input.

    Raises:
        InputError: a layer that does not fit, with the smallest input size that does.
    """
    try:
        return chain_size(layers, input_size, input_size)
    except InputError as error:
        least = smallest_input(layers, LARGEST_INPUT)
        advice = (
            f"no input size up to {LARGEST_INPUT} works with this pooling and padding"
            if least is None
            else f"with this pooling and padding, input_size {least} works"
        )
        raise InputError(f"input_size {input_size}: {error}; {advice}") from None
