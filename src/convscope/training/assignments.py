"""Changes to a recipe, written as `optimizer.lr=0.004`."""

from collections.abc import Iterable, Mapping
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
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path:
            raise InputError(
                f"'{printable(assignment)}' is no assignment: write field=value, "
                "for example optimizer.lr=0.004"
            )
        _assign(document, path.strip().split("."), _value(text), path)
    return recipe_from_json(document)


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
    document[last] = value


def _names(document: Mapping[str, Any], above: str) -> list[str]:
    return [printable(above + key) for key in document]
