"""Which of a network's convolutions are faster by way of the Fourier transform, by measurement."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from convscope.errors import unknown_name
from convscope.layers.convolution import Convolution
from convscope.layers.modes import evaluation_mode
from convscope.text import printable
from convscope.training.timing import seconds_of

SMALLEST_AREA = 9  # of a kernel
SMALLEST_LINKS = 64 * 64  # kernels: below, the transforms cost more than the products
MARGIN = 1.02


def use_fourier(model: nn.Module, names: Iterable[str], *, kernels: bool = False) -> None:
    """Let the convolutions called `names` compute by spectra, and the others directly.

    With `kernels` the spectra's kernels compute them, where they know such layers.

    Raises:
        InputError: a name that is no such convolution.
    """
    able = {name: layer for name, layer in _convolutions(model) if layer.can_use_fourier}
    wanted = set(names)
    for name in sorted(wanted - able.keys()):
        raise unknown_name("convolution that can use spectra", printable(name), able)
    for name, layer in able.items():
        layer.fourier, layer.spectra_kernels = name in wanted, kernels


def faster_by_fourier(
    model: nn.Module,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    order: torch.memory_format,
    *,
    kernels: bool = False,
) -> tuple[str, ...]:
    """Names of the convolutions whose forward and backward pass spectra make faster.

    Args:
        model: the network, on the CPU.
        shape: of a batch of its inputs: N × C × H × W.
        dtype: of the arithmetic. order: of the numbers in memory.
        kernels: as for `use_fourier`.
    """
    layers = {
        name: layer
        for name, layer in _convolutions(model)
        if layer.can_use_fourier
        and layer.kernel[0] * layer.kernel[1] >= SMALLEST_AREA
        and layer.in_maps * layer.out_maps >= SMALLEST_LINKS
    }
    sizes = _input_shapes(model, layers, shape)
    chosen = []
    for name, layer in layers.items():
        inputs = torch.linspace(-1, 1, shape[0] * sizes[name].numel()).view(-1, *sizes[name])
        inputs = inputs.to(dtype, memory_format=order).requires_grad_()
        twin = Convolution(
            layer.in_maps, layer.out_maps, layer.kernel, pad=layer.pad, bias=False
        ).to(dtype)
        twin = twin.to(memory_format=order)  # type: ignore[call-overload]
        direct = _seconds(twin, inputs)
        twin.fourier, twin.spectra_kernels = True, kernels
        if _seconds(twin, inputs) * MARGIN < direct:
            chosen.append(name)
    return tuple(chosen)


def _convolutions(model: nn.Module) -> list[tuple[str, Convolution]]:
    return [(name, part) for name, part in model.named_modules() if isinstance(part, Convolution)]


def _input_shapes(
    model: nn.Module, layers: dict[str, Convolution], shape: tuple[int, ...]
) -> dict[str, torch.Size]:
    """Maps × height × width of what each layer is given."""
    found: dict[str, torch.Size] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found[name] = inputs[0].shape[1:]

        return hook

    handles = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    try:
        with evaluation_mode(model), torch.inference_mode():
            model(torch.zeros(1, *shape[1:]))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _seconds(layer: Convolution, inputs: torch.Tensor) -> float:
    """Of a forward and a backward pass."""

    def step() -> None:
        result = layer(inputs)
        result.backward(result)
        inputs.grad = layer.weight.grad = None

    return seconds_of(step)
