"""What all layer specs share: checked values and a tagged JSON form.

A spec is a small frozen dataclass that names a layer; `build` makes the module. As JSON it is
one flat object whose `layer` key says which spec it is.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from convscope.errors import InputError, unknown_name
from convscope.text import printable

_SPECS: dict[str, type["Spec"]] = {}

LARGEST_WINDOW = 1024
"""The largest kernel, stride, dilation or padding in a spec."""


@dataclass(frozen=True)
class Spec:
    """The base of every layer spec. A subclass gives its JSON tag: `class X(Spec, tag="x")`."""

    tag: ClassVar[str] = ""

    def __init_subclass__(cls, *, tag: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        existing = _SPECS.get(tag)
        if existing is not None and existing.__qualname__ != cls.__qualname__:
            raise ValueError(f"two layer specs are tagged '{tag}'")
        cls.tag = tag
        _SPECS[tag] = cls

    def to_json(self) -> dict[str, Any]:
        """A flat dictionary of JSON values: `layer` (the tag) and every field."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"layer": self.tag} | {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The spec that `to_json` wrote; keys left out take their default.

        Raises:
            InputError: not an object, another layer's tag, an unknown key, or a bad value.
        """
        spec = spec_from_json(data)
        if not isinstance(spec, cls):
            raise InputError(f"a '{spec.tag}' layer stands where '{cls.tag}' is allowed")
        return spec


def spec_from_json(data: object) -> Spec:
    """Any layer spec from its tagged JSON object.

    Raises:
        InputError: not an object, an unknown tag or key, a missing kind, or a bad value.
    """
    if not isinstance(data, Mapping):
        raise InputError(
            f"a layer is given as {printable(repr(data), 60)}; allowed: an object such as "
            '{"layer": "pool", "kind": "max"}'
        )
    tag = data.get("layer")
    if not isinstance(tag, str) or tag not in _SPECS:
        raise unknown_name("layer", printable(tag), _SPECS)
    spec = _SPECS[tag]
    names = {field.name for field in fields(spec)}
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key == "layer":
            continue
        if key not in names:
            raise unknown_name(f"setting of a '{tag}' layer", printable(key), names)
        values[key] = tuple(value) if isinstance(value, list) else value
    return spec(**values)


def check_choice(what: str, value: object, valid: Iterable[str]) -> None:
    """Raise InputError with the nearest match unless `value` is one of `valid`."""
    names = list(valid)
    if not isinstance(value, str) or value not in names:
        raise unknown_name(what, printable(value, 60), names)


def check_whole(what: str, value: object, low: int, high: int = LARGEST_WINDOW) -> None:
    """Raise InputError unless `value` is a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(
            f"{what} is {printable(repr(value), 60)}; allowed: a whole number from {low} to {high}"
        )


def check_number(what: str, value: object, low: float, high: float) -> None:
    """Raise InputError unless `value` is a finite number from `low` to `high`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high:  # type: ignore[operator]
        raise InputError(
            f"{what} is {printable(repr(value), 60)}; allowed: a number from {low:g} to {high:g}"
        )


def check_flag(what: str, value: object) -> None:
    """Raise InputError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{what} is {printable(repr(value), 60)}; allowed: true or false")


def check_pair(what: str, value: object, low: int) -> None:
    """Raise InputError unless `value` is one whole number or two, (rows, columns)."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise InputError(
                f"{what} has {len(value)} numbers; allowed: one, or two (rows, columns)"
            )
        for number in value:
            check_whole(what, number, low)
    else:
        check_whole(what, value, low)


def check_sides(what: str, value: object) -> None:
    """Raise InputError unless `value` is one whole number or four (left, right, top, bottom)."""
    if isinstance(value, tuple):
        if len(value) != 4:
            raise InputError(
                f"{what} has {len(value)} numbers; allowed: one, or four (left, right, top, bottom)"
            )
        for number in value:
            check_whole(what, number, 0)
    else:
        check_whole(what, value, 0)
