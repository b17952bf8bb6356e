"""Changes to a recipe, written as `optimizer.lr=0.004`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convscope.documents import parse_json
from convscope.errors import InputError, unknown_name
from convscope.text import printable
from convscope.training.recipe import Recipe, recipe_from_json

MAX_LEVELS = 20


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """`recipe` with fields replaced by assignments such as `optimizer.lr=0.004`.

    The value is JSON where it parses as JSON, else text. Below `model.arguments` any key may be
    given; elsewhere an unknown field is answered with the valid ones.
    """
    document: dict[str, Any] = recipe.model_dump(mode="json")
    paths = list(_paths(document))
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path:
            raise InputError(
                f"'{printable(assignment)}' is no assignment: write field=value, "
                "for example optimizer.lr=0.004"
            )
        keys = path.strip().split(".")
        meant = [known for known in paths if known.rpartition(".")[2] == keys[0]]
        if len(keys) == 1 and keys[0] not in document and meant:
            raise InputError(
                f"unknown recipe field '{keys[0]}': did you mean {' or '.join(meant)}?"
            )
        _assign(document, keys, _value(text), path)
    return recipe_from_json(document)


def differences(base: Recipe, recipe: Recipe) -> list[str]:
    """The assignments that make `recipe` of `base`, but for its name, data and seed.

    Arguments of the network are given all together, since one may have gone.
    """
    return list(_differing(base.model_dump(mode="json"), recipe.model_dump(mode="json"), ""))


def _differing(base: Mapping[str, Any], wanted: Mapping[str, Any], above: str) -> Iterator[str]:
    for key, value in wanted.items():
        path, before = f"{above}{key}", base.get(key)
        if value == before or path in ("name", "data", "seed"):
            continue
        if isinstance(value, dict) and isinstance(before, dict) and key != "arguments":
            yield from _differing(before, value, f"{path}.")
        else:
            yield f"{path}={json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"


def _value(text: str) -> Any:
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"), "the value")
    except InputError:
        return text


def _assign(document: dict[str, Any], keys: list[str], value: Any, path: str) -> None:
    if len(keys) > MAX_LEVELS:
        raise InputError(
            f"recipe field '{printable(path)}': allowed are {MAX_LEVELS} levels at most"
        )
    *parents, last = keys
    above = ""
    free = False
    for key in parents:
        if free:
            document.setdefault(key, {})
        elif key not in document:
            raise unknown_name("recipe field", printable(path), _names(document, above))
        document, above = document[key], f"{above}{key}."
        free = free or key == "arguments"
        if not isinstance(document, dict):
            raise InputError(
                f"recipe field '{printable(path)}': '{printable(key)}' has no fields of its own"
            )
    if not free and last not in document:
        raise unknown_name("recipe field", printable(path), _names(document, above))
    has_fields = not free and last != "arguments" and isinstance(document[last], dict)
    if has_fields and not isinstance(value, dict):
        names = ", ".join(_names(document[last], f"{above}{last}."))
        raise InputError(f"recipe field '{printable(path)}' has fields of its own: {names}")
    document[last] = value


def _paths(document: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every field, with those it lies in: `optimizer.lr`."""
    for key, value in document.items():
        yield above + key
        if isinstance(value, dict) and key != "arguments":
            yield from _paths(value, f"{above}{key}.")


def _names(document: Mapping[str, Any], above: str) -> list[str]:
    return [printable(above + key) for key in document]
