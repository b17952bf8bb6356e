"""What there is: models, recipes, data sets, each with a line that says what it is."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A name and the first line of its documentation."""

    name: str
    summary: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_models() -> list[Entry]:
    """The networks that can be built."""
    from convscope import models

    return [Entry(model.name, model.description) for model in models.list_models()]


def list_recipes() -> list[Entry]:
    """The recipes that can be trained."""
    from convscope.recipes import RECIPES

    return [Entry(name, _first_line(function.__doc__)) for name, function in RECIPES.items()]


def list_datasets() -> list[Entry]:
    """The data sets that have a name."""
    from convscope.data.catalog import CATALOG

    return [Entry(name, entry.description) for name, entry in CATALOG.items()]


LISTS: dict[str, Callable[[], list[Entry]]] = {
    "models": list_models,
    "recipes": list_recipes,
    "datasets": list_datasets,
}


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
