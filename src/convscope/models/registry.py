"""Models by name: one dictionary from a name to the function that builds the model.

A model function takes keyword arguments with defaults: whole numbers, strings, and layer specs.
`build` makes them from JSON values by the function's annotations, so a saved run can always be
rebuilt and no class is ever pickled.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor, nn

from convscope.errors import InputError, unknown_name
from convscope.layers.spec import Spec, check_whole
from convscope.text import printable

LARGEST_INPUT = 1024
"""The largest height or width a model takes."""
LARGEST_CLASSES = 100_000


class Classifier(nn.Module):
    """A network that scores classes: N × C × H × W, float32, to N × classes; the largest wins.

    Attributes:
        input_shape: channels, height and width it takes.
        classes: how many scores it gives.
    """

    def __init__(self, *, classes: int, channels: int, input_size: int) -> None:
        super().__init__()
        check_whole("classes", classes, 1, LARGEST_CLASSES)
        if channels not in (1, 3) or isinstance(channels, bool):
            raise InputError(
                f"channels is {printable(repr(channels), 60)}; allowed: 1 (grey) or 3 (RGB)"
            )
        check_whole("input_size", input_size, 1, LARGEST_INPUT)
        self.classes = classes
        self.input_shape = (channels, input_size, input_size)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Model:
    """An entry of the registry.

    Attributes:
        name: what users type.
        function: builds it from keyword arguments.
        description: the first line of the function's docstring.
        input_shape: channels, height and width at the default arguments.
    """

    name: str
    function: Callable[..., Classifier]
    description: str
    input_shape: tuple[int, int, int]


_MODELS: dict[str, Model] = {}

_F = TypeVar("_F", bound=Callable[..., Classifier])


def register(name: str) -> Callable[[_F], _F]:
    """A decorator that enters a model function under `name`; a second entry raises ValueError."""

    def enter(function: _F) -> _F:
        if name in _MODELS:
            raise ValueError(f"two models are named '{name}'")
        defaults = inspect.signature(function).parameters
        size, channels = defaults["input_size"].default, defaults["channels"].default
        description = (inspect.getdoc(function) or "").partition("\n")[0]
        _MODELS[name] = Model(name, function, description, (channels, size, size))
        return function

    return enter


def list_models() -> list[Model]:
    """Every model, by name."""
    return [_MODELS[name] for name in sorted(_MODELS)]


def get_model(name: str) -> Model:
    """The entry of one model. Raises InputError for an unknown name."""
    if name not in _MODELS:
        raise unknown_name("model", printable(name), _MODELS)
    return _MODELS[name]


def build(name: str, arguments: Mapping[str, Any] | None = None, *, seed: int = 0) -> Classifier:
    """The model `name` with `arguments` and initial weights drawn from `seed`.

    Torch's global generator is left as it was. Inside `with torch.device("meta")` nothing is
    allocated, so shapes can be checked before anything is trusted.

    Args:
        name: a registered model.
        arguments: its keyword arguments; layer specs as specs or as their JSON objects.
        seed: of the initial weights, 0 to 2⁶³ − 1.

    Raises:
        InputError: an unknown model or argument, a value outside its range, or a combination
            that leaves some layer nothing to see.
    """
    function = get_model(name).function
    values = convert_arguments(name, arguments or {})
    check_whole("seed", seed, 0, 2**63 - 1)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return function(**values)


def convert_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` of model `name` with JSON values turned into what its annotations ask for.

    Raises:
        InputError: an unknown argument or a value of the wrong type.
    """
    function = get_model(name).function
    valid = inspect.signature(function).parameters
    hints = get_type_hints(function)
    converted = {}
    for key, value in arguments.items():
        if key not in valid:
            raise unknown_name(f"argument of {name}", printable(key), valid)
        converted[key] = _convert(key, value, hints[key])
    return converted


def arguments_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` as JSON values: layer specs become their tagged objects."""
    return {
        key: value.to_json() if isinstance(value, Spec) else value
        for key, value in arguments.items()
    }


def _convert(key: str, value: object, kind: Any) -> object:
    if isinstance(kind, type) and issubclass(kind, Spec):
        return value if isinstance(value, kind) else kind.from_json(value)
    allowed = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    types = {float: (int, float)}.get(kind, kind)
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{key} is {printable(repr(value), 60)}; allowed: {allowed[kind]}")
    return value
