"""Recipes by name: functions without arguments, one dict."""

from collections.abc import Callable

from convscope.errors import unknown_name
from convscope.recipes import lenet5 as _lenet5
from convscope.training.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "lenet5": _lenet5.lenet5,
    "lenet5-augmented": _lenet5.lenet5_augmented,
    "lenet5-keras": _lenet5.lenet5_keras,
    "lenet5-1998": _lenet5.lenet5_1998,
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        InputError: there is none of that name; the valid names are listed.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]()
