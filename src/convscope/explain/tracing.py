"""One image's way through a network: every layer's input and output, as the network computed them.

>>> from convscope.models import build
>>> steps = trace(build("lenet5"), torch.zeros(1, 32, 32))
>>> [step.name for step in steps[:3]], tuple(steps[0].output.shape)
(['c1', 'c1_activation', 's2'], (6, 28, 28))
"""

import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import InputError, unknown_name
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.facts import ELEMENTWISE, is_known
from convscope.layers.modes import evaluation_mode
from convscope.layers.normalization import LocalResponseNorm, WithinMapNorm
from convscope.layers.pools import PoolModule, Subsampling
from convscope.layers.rbf import RBF
from convscope.text import printable

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_SOFTMAX = (nn.Softmax, nn.LogSoftmax)  # each unit sees all others

_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    # The first that matches counts, so special kinds come before general ones.
    "convolution": (Convolution, nn.Conv2d),
    "subsampling": (Subsampling,),
    "pooling": (PoolModule, nn.MaxPool2d, nn.AvgPool2d),
    "average": (nn.AdaptiveAvgPool2d,),
    "linear": (nn.Linear,),
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
    "lrn": (LocalResponseNorm, nn.LocalResponseNorm, WithinMapNorm),
    "rbf": (RBF,),
    "flatten": (nn.Flatten,),
    "other": _SOFTMAX,
    "activation": ELEMENTWISE,
}

KINDS = tuple(_KINDS)


@dataclass(frozen=True)
class Step:
    """One layer at work.

    Attributes:
        name: of the module in the model (`c1`, `features.0`).
        kind: convolution, pooling, subsampling, linear, norm (of a batch), lrn (local response,
            across maps or within one), activation, rbf, flatten, average (adaptive) or other.
        module: the layer itself.
        input, output: float32 on the CPU, without the batch axis: maps × height × width, or units.
            Not to be written to: an input shares the memory of the output that it is.
    """

    name: str
    kind: str
    module: nn.Module
    input: Tensor
    output: Tensor


def trace(model: nn.Module, image: Tensor) -> list[Step]:
    """Every layer that works on `image`, in the order of computation.

    The model runs once, in evaluation mode and without gradients, and is left as it was. It is
    being watched, so where pooling and activation may change places (`activate_and_pool`) they
    work in the order in which the network was published. Dropout and identities, which do
    nothing here, are left out. Other threads may run the model at the same time if it is in
    evaluation mode already.

    Args:
        model: takes N × C × H × W.
        image: float32, C × H × W, preprocessed: exactly what the network sees.

    Raises:
        InputError: not one image, or one that the model cannot take.
    """
    check_image(model, image)
    steps: list[Step] = []
    thread = threading.get_ident()
    inputs: dict[nn.Module, Tensor] = {}

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        if threading.get_ident() == thread and args and isinstance(args[0], Tensor):
            inputs[module] = _without_batch(args[0])  # a copy: the layer may work in place

    def after(module: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        if threading.get_ident() == thread and module in inputs and isinstance(output, Tensor):
            seen = _handed_on(inputs.pop(module), steps)
            steps.append(Step(names[module], kind_of(module), module, seen, _without_batch(output)))

    names = {module: name for name, module in layers(model)}
    handles = [module.register_forward_pre_hook(before) for module in names]
    handles += [module.register_forward_hook(after) for module in names]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(as_batch(model, image))
    finally:
        for handle in handles:
            handle.remove()
    return steps


def layers(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that a trace shows, by name, in the order in which they were registered."""
    children = list(module.named_children())
    if is_known(module) or not children:
        if not does_nothing(module):
            yield name or type(module).__name__, module
        return
    for child_name, child in children:
        yield from layers(child, f"{name}.{child_name}" if name else child_name)


def shared_copy(model: nn.Module) -> nn.Module:
    """The modules copied, their weights shared, in evaluation mode.

    Hooks on the copy are its own, so that nobody else, in this thread or another, meets them.
    """
    tensors = [*model.parameters(), *model.buffers()]
    copied = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    return copied.eval()


def does_nothing(module: nn.Module) -> bool:
    """Whether a layer only hands on what it gets in evaluation."""
    if isinstance(module, Activate):
        return module.activation.kind == "identity"
    return isinstance(module, (nn.Identity, *_DROPOUT))


def kind_of(module: nn.Module) -> str:
    """The kind of a layer, as in `Step`."""
    return next((kind for kind, types in _KINDS.items() if isinstance(module, types)), "other")


def find(steps: Sequence[Step], layer: str) -> int:
    """The place of a layer in a trace; of a layer used more than once, the last.

    Raises:
        InputError: an unknown layer.
    """
    for index in reversed(range(len(steps))):
        if steps[index].name == layer:
            return index
    raise unknown_name("layer", printable(layer), {step.name for step in steps})


def check_image(model: nn.Module, image: Tensor) -> None:
    """Raise InputError unless `image` is one image of the shape that the model takes."""
    shape = getattr(model, "input_shape", None)
    if image.ndim != 3 or (shape is not None and tuple(image.shape) != tuple(shape)):
        wanted = "C × H × W" if shape is None else " × ".join(map(str, shape))
        raise InputError(
            f"the image has shape {' × '.join(map(str, image.shape)) or 'of a number'}; "
            f"allowed: {wanted}, preprocessed as in training"
        )


def as_batch(model: nn.Module, image: Tensor) -> Tensor:
    """The image as a batch of one, of the type and on the device of the model."""
    first = next(model.parameters(), torch.zeros(0))
    return image.detach().to(first.device, first.dtype)[None]


def _handed_on(seen: Tensor, steps: Sequence[Step]) -> Tensor:
    """`seen`, in the memory of the output before it where that is what it is."""
    if steps and torch.equal(steps[-1].output.flatten(), seen.flatten()):
        return steps[-1].output.view(seen.shape)
    return seen


def _without_batch(x: Tensor) -> Tensor:
    """A copy, as a layer may work in place."""
    return x.detach()[0].to("cpu", torch.float32, copy=True).contiguous()
