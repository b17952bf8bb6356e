"""The data of a training: those that a recipe asks for, and those of a run, split as they were."""

import os
from collections.abc import Sequence

from convscope.data.cache import CacheMode
from convscope.data.catalog import CATALOG
from convscope.data.dataset import Dataset, Splits
from convscope.data.loading import load
from convscope.data.split import hold_out
from convscope.errors import InputError
from convscope.events import Listener, counting, ignore
from convscope.run import Run, read_split
from convscope.run_setup import input_shape
from convscope.text import printable
from convscope.training.inputs import picture_size
from convscope.training.recipe import Recipe


def load_for(
    recipe: Recipe, listen: Listener, *, cache: CacheMode = "auto", skip_bad: bool = False
) -> Splits:
    """The data that `recipe` names, at the size that its network takes."""
    _, height, width = input_shape(recipe)
    return load(
        recipe.data,
        size=picture_size(recipe.inputs, (height, width)),
        aspect=recipe.inputs.aspect,
        keep_size=recipe.inputs.fit == "resize",
        cache=cache,
        seed=recipe.seed,
        skip_bad=skip_bad,
        progress=counting(listen, "loading"),
    )


def load_data(
    run: Run, listen: Listener = ignore, *, test_files: Sequence[str] | None = None
) -> Splits:
    """The data a run was trained on, split as it was then.

    Args:
        run: names the data.
        listen: hears of the progress.
        test_files: names of the test files, where another process has read them; else those that
            the run's directory has.
    """
    reference, wanted = run.document.data, run.document.preprocessing
    if reference.source not in CATALOG and not os.path.exists(reference.source):
        raise InputError(
            f"the data of the run are no longer at {printable(reference.source)}: put them back "
            "(`convscope evaluate` takes others by --data)"
        )
    return load(
        reference.source,
        size=wanted.size,
        aspect=wanted.aspect,
        channels=wanted.channels,
        cache=reference.cache,
        seed=reference.seed,
        test_files=read_split(run) if test_files is None else tuple(test_files),
        skip_bad=reference.skip_bad,
        progress=counting(listen, "loading"),
    )


def same_data(splits: Splits, run: Run) -> bool:
    """Whether the images are those that `run` was begun with, byte for byte."""
    recorded = run.document.data.provenance.get("sha256")
    return bool(splits.train.provenance.get("sha256") == recorded)


def split_for(splits: Splits, recipe: Recipe) -> tuple[Dataset, Dataset | None]:
    """The images to train with and those to validate with."""
    if splits.validation is None and recipe.validation:
        return hold_out(splits.train, recipe.validation, recipe.seed)
    return splits.train, splits.validation
