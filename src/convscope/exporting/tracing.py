"""Which layers a network calls, in which order, and what flows from one to the next.

The network runs once on two black images. Layers that can be written are taken whole, by their
class, so that the file has the network's own layers; between them only a few functions are known.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.overrides import TorchFunctionMode, resolve_name

from convscope.errors import InputError
from convscope.layers.modes import evaluation_mode

_BATCH = 2


@dataclass(frozen=True)
class Value:
    """What flows: its name, and its shape without the batch."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A layer, or a function by its name, and what goes in and comes out."""

    what: nn.Module | str
    name: str
    inputs: tuple[Value, ...]
    output: Value


def trace(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    is_known: Callable[[nn.Module], bool],
    input_name: str,
) -> list[Call]:
    """The calls of `model`, a network from N × C × H × W to N × classes, in evaluation mode.

    Args:
        model: used on the CPU, given back in the mode it came in.
        input_shape: C, H and W.
        is_known: whether a layer is taken whole; others are looked into.
        input_name: of what goes in.

    Raises:
        InputError: between its layers the network does what cannot be written.
    """
    recorder = _Recorder(model, is_known)
    image = torch.zeros(_BATCH, *input_shape)
    recorder.see(image, input_name)
    with evaluation_mode(model), torch.inference_mode(), recorder:
        result = model(image)
    calls = recorder.calls
    if not calls or recorder.values.get(id(result)) != calls[-1].output:
        raise InputError("the network's last layer is not its output: it cannot be written")
    return calls


class _Recorder(TorchFunctionMode):
    """Notes calls of layers by hooks, and of functions between them by torch's own protocol.

    The hooks are torch's global ones: a hook on a layer itself would make `activate_and_pool`
    take the slower order.
    """

    def __init__(self, model: nn.Module, is_known: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.names = {id(module): name for name, module in model.named_modules()}
        self.is_known, self.thread = is_known, threading.get_ident()
        self.calls: list[Call] = []
        self.values: dict[int, Value] = {}
        self.kept: list[Tensor] = []  # alive, so that no other tensor gets its id
        self.inside: nn.Module | None = None

    def __enter__(self) -> "_Recorder":
        self.handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self.handles:
            handle.remove()

    def see(self, tensor: Tensor, name: str) -> Value:
        """Give a new tensor its name."""
        value = Value(name, tuple(tensor.shape[1:]))
        self.values[id(tensor)] = value
        self.kept.append(tensor)
        return value

    def _ours(self, module: nn.Module) -> bool:
        mine = threading.get_ident() == self.thread and id(module) in self.names
        return mine and self.is_known(module)

    def _before(self, module: nn.Module, inputs: Any) -> None:
        del inputs
        if self.inside is None and self._ours(module):
            self.inside = module

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self.inside is not module:
            return
        self.inside = None
        (given,) = inputs
        if output is not given:
            self._note(module, self.names[id(module)], [given], output)

    def _note(self, what: nn.Module | str, name: str, inputs: list[Tensor], output: Tensor) -> None:
        if any(id(tensor) not in self.values for tensor in inputs) or len(output) != _BATCH:
            raise InputError(
                f"the network's '{name}' takes or gives what no layer gave: it cannot be written"
            )
        taken = tuple(self.values[id(tensor)] for tensor in inputs)
        self.calls.append(Call(what, name, taken, self.see(output, name)))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.inside is None and isinstance(result, Tensor):
            name = (resolve_name(func) or str(func)).rpartition(".")[2]
            if name != "flatten" or result.ndim != 2:
                raise InputError(
                    f"between its layers the network calls '{name}', which cannot be written; "
                    "allowed: flatten. Make it a layer, and write that in exporting/layers.py"
                )
            tensor: Tensor = args[0]
            if tensor is not result:
                self._note(name, f"flat{len(self.calls)}", [tensor], result)
        return result
