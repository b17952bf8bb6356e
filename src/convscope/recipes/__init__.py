"""Recipes by name: functions without arguments, one dict."""

from collections.abc import Callable

from convscope.errors import unknown_name
from convscope.recipes import alexnet as _alexnet
from convscope.recipes import lenet5 as _lenet5
from convscope.training.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "lenet5": _lenet5.lenet5,
    "lenet5-augmented": _lenet5.lenet5_augmented,
    "lenet5-best": _lenet5.lenet5_best,
    "lenet5-keras": _lenet5.lenet5_keras,
    "lenet5-1998": _lenet5.lenet5_1998,
    "lenet5-1998-batches": _lenet5.lenet5_1998_batches,
    "lenet5-1998-distorted": _lenet5.lenet5_1998_distorted,
    "alexnet-2012": _alexnet.alexnet_2012,
    "alexnet-bn": _alexnet.alexnet_bn,
    "alexnet-bn-fast": _alexnet.alexnet_bn_fast,
    "alexnet-cifar": _alexnet.alexnet_cifar,
    "alexnet-fast": _alexnet.alexnet_fast,
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        InputError: there is none of that name; the valid names are listed.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]()
