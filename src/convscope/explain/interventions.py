"""What if: a network with some of its maps switched off, or with other layers around its weights.

>>> model = build("lenet5")
>>> image = torch.rand(1, 1, 32, 32)
>>> with switched_off(model, {"c1": [0, 3]}):
...     scores = model(image)
"""

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from convscope.errors import InputError, unknown_name
from convscope.explain.tracing import layers
from convscope.layers.convolution import Convolution
from convscope.layers.normalization import LocalResponseNorm, UnitNorm, WithinMapNorm
from convscope.layers.pools import PoolModule
from convscope.layers.spec import Spec
from convscope.model_summary import anatomy
from convscope.models.registry import Classifier, build, convert_arguments, get_model
from convscope.text import printable

_OWN = (PoolModule, nn.BatchNorm2d, LocalResponseNorm, WithinMapNorm)
"""Layers that a spec makes, and whose own weights may come and go with it."""
_WEIGHTED = (Convolution, nn.Linear)


@contextmanager
def switched_off(model: nn.Module, off: Mapping[str, Sequence[int]]) -> Iterator[None]:
    """Inside the block these maps (or units) of these layers are zero, as if they saw nothing.

    It is the layer's own output that is zero: behind a convolution, before its activation; what
    follows (a batch normalisation, a sigmoid) may make another constant of it. Only the thread
    that opened the block is affected.

    Raises:
        InputError: an unknown layer. A map that the layer does not have is refused when the
            model runs.
    """
    thread = threading.get_ident()
    known = dict(layers(model))

    def zero(name: str, maps: list[int]) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            del module, inputs
            if threading.get_ident() != thread or not isinstance(output, Tensor):
                return None
            _check_maps(name, maps, output.shape[1])
            changed = output.clone()
            changed[:, maps] = 0
            return changed

        return hook

    with ExitStack() as stack:
        for name, maps in off.items():
            if name not in known:
                raise unknown_name("layer", printable(name), known)
            if maps:
                handle = known[name].register_forward_hook(zero(name, list(maps)))
                stack.callback(handle.remove)
        yield


def _check_maps(name: str, maps: Sequence[int], count: int) -> None:
    for index in maps:
        if not isinstance(index, int) or not 0 <= index < count:
            raise InputError(
                f"map {printable(repr(index), 60)} of layer '{printable(name)}'; "
                f"allowed: 0 to {count - 1}"
            )


def replaceable(model_name: str) -> list[str]:
    """The arguments of a model that are layer specs: what `replaced` can change."""
    hints = get_type_hints(get_model(model_name).function)
    names = inspect.signature(get_model(model_name).function).parameters
    return [name for name in names if _is_spec(hints[name])]


def _is_spec(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Spec)


def replaced(
    model_name: str,
    arguments: Mapping[str, Any],
    state: Mapping[str, Tensor],
    changes: Mapping[str, Any],
) -> Classifier:
    """The model with other layer specs around the same weights, in evaluation mode.

    Weights that only the new layers have start as these layers do by themselves (subsampling as
    the mean, batch normalisation as the identity); those that only the old ones had are left out.

    Args:
        model_name, arguments: of the trained model.
        state: its state dict.
        changes: new values of arguments in `replaceable`, as specs or as their JSON.

    Raises:
        InputError: an argument that is no layer spec, a spec that does not exist, or shapes that
            the weights no longer fit.
    """
    allowed = replaceable(model_name)
    for key in changes:
        if key not in allowed:
            raise unknown_name("replaceable setting", printable(key), allowed)
    changed = convert_arguments(model_name, {**arguments, **changes})
    with torch.device("meta"):
        skeleton = build(model_name, changed)
    _check_shapes(skeleton, state, model_name, dict(arguments), changed)
    model = build(model_name, changed)
    _start_alike(model)
    fitting = skeleton.state_dict().keys() & state.keys()
    model.load_state_dict({key: state[key] for key in fitting}, strict=False)
    return model.eval()


def _spec_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if isinstance(module, _OWN) and not isinstance(module, UnitNorm):
            yield name, module


def _start_alike(model: nn.Module) -> None:
    """Coefficients of subsampling as the mean, which models may draw at random."""
    for _, module in _spec_layers(model):
        if isinstance(module, PoolModule) and hasattr(module, "channels"):
            nn.init.constant_(module.get_parameter("weight"), 1 / module.window.area)
            nn.init.zeros_(module.get_parameter("bias"))


def _check_shapes(
    skeleton: nn.Module,
    state: Mapping[str, Tensor],
    name: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    """Raise InputError for the first weights that do not fit, in words."""
    wanted = skeleton.state_dict()
    own = {f"{layer}.{key}" for layer, m in _spec_layers(skeleton) for key in m.state_dict()}
    for key in sorted({*wanted, *state}):
        layer, _, part = key.rpartition(".")
        if key in wanted and key in state:
            if wanted[key].shape != state[key].shape:
                raise InputError(_misfit(layer, name, before, after))
        elif key in wanted and key not in own:
            raise InputError(
                f"{layer} needs a {part} that was not trained; leave the setting that decides on "
                "it (the normalisation) as it was in training"
            )
        elif key in state and isinstance(_part(skeleton, layer), _WEIGHTED):
            raise InputError(
                f"{layer} was trained with a {part}, which it does not have with these settings; "
                "leave the setting that decides on it (the normalisation) as it was in training"
            )


def _part(model: nn.Module, name: str) -> nn.Module | None:
    return dict(model.named_modules()).get(name)


def _misfit(layer: str, name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """Why the weights of a layer, most often the first that sees whole maps, do not fit."""
    shapes = []
    for arguments in (before, after):
        rows = anatomy(name, **arguments).layers
        place = next(index for index, row in enumerate(rows) if row.name == layer)
        maps = [row for row in rows[:place] if len(row.output_shape) == 3]
        shapes.append("×".join(map(str, maps[-1].output_shape)) if maps else "")
    old, new = shapes
    if old == new:
        return f"the weights of {layer} are those of another model; give the run's own"
    return (
        f"the weights of {layer} were trained on maps of {old}, and these settings give it {new}; "
        f"choose a kernel, stride and padding that leave {old}, or train a network with these"
    )
