"""The set-up of a new run: its directory, and the document that all later steps read."""

import contextlib
import os
import shlex
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import torch

from convscope import models
from convscope.data.cache import CacheMode
from convscope.data.catalog import CATALOG
from convscope.data.dataset import Dataset, Splits
from convscope.environment import describe_environment
from convscope.errors import InputError
from convscope.files import is_inside
from convscope.run import (
    DataReference,
    ModelReference,
    Run,
    RunDocument,
    open_run,
    write_run,
    write_split,
)
from convscope.text import printable
from convscope.training.compute import use_threads
from convscope.training.distributed import launch_facts, launch_id, restarts
from convscope.training.inputs import plan_preprocessing
from convscope.training.recipe import Recipe
from convscope.version import __version__


def start_run(
    recipe: Recipe,
    splits: Splits,
    path: Path,
    skip_bad: bool,
    cache: CacheMode,
    command: str,
    processes: int = 1,
) -> Run:
    """Make the run directory; from here on all that matters is read from it."""
    train = splits.train
    use_threads(recipe.threads)
    document = RunDocument(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        convscope=__version__,
        command=command,
        model=ModelReference(name=recipe.model.name, arguments=recipe.model.arguments),
        preprocessing=plan_preprocessing(recipe.inputs, train.images, input_shape(recipe)),
        classes=train.classes,
        recipe=recipe.model_dump(mode="json"),
        data=DataReference(
            name=train.name,
            source=recipe.data if recipe.data in CATALOG else os.path.realpath(recipe.data),
            seed=recipe.seed,
            skip_bad=skip_bad,
            cache=cache,
            sizes={"train": len(train), "test": len(splits.test)},
            provenance={k: v for k, v in train.provenance.items() if k != "cache"},
        ),
        environment=describe_environment() | launch_facts(processes),
    )
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise InputError(f"{printable(path)} was filled by another process: give another --out")
    if splits.test.files and "split" in train.provenance:
        write_split(path, splits.test.files)
    return write_run(path, document)


def begun_by_this_launch(out: str | Path | None, recipe: Recipe, command: str) -> Run | None:
    """The run that torchrun's processes had begun when it started them again; else None.

    Args:
        out: the directory that was asked for; where it is None, the run lies under `runs/`.
        recipe: of the run.
        command: that makes the run, see `command_line`.
    """
    launch = launch_id()
    if launch is None:
        return None
    places = Path("runs").glob("*/run.json") if out is None else [Path(out) / "run.json"]
    for place in sorted(places, reverse=True):
        with contextlib.suppress(InputError):
            run = open_run(place.parent)
            document = run.document
            wanted = recipe.model_dump(mode="json", exclude={"model"})  # it was fitted to the data
            same = wanted.items() <= document.recipe.items() and document.command == command
            ours = same and document.environment.get("launch") == launch
            if ours and (document.status == "training" or restarts()):
                return run
    return None


def fit_to_data(recipe: Recipe, train: Dataset) -> Recipe:
    """The recipe with the number of classes and channels that the data ask for."""
    channels, _, _ = train.image_shape
    classes = recipe.model.arguments.get("classes", len(train.classes))
    if classes != len(train.classes):
        raise InputError(
            f"model.arguments.classes is {printable(classes)}, but the data have "
            f"{len(train.classes)} classes: leave it out"
        )
    asked = {"channels": channels, "classes": len(train.classes)}
    model = recipe.model.model_copy(update={"arguments": recipe.model.arguments | asked})
    return recipe.model_copy(update={"model": model})


def input_shape(recipe: Recipe) -> tuple[int, int, int]:
    """Channels, height and width that the recipe's network takes; nothing is allocated."""
    with torch.device("meta"):
        return models.build(recipe.model.name, recipe.model.arguments).input_shape


def new_directory(out: str | Path | None, recipe: Recipe) -> Path:
    """The directory that the run will fill: `out`, or a new name under `runs/`; it is not made.

    Raises:
        InputError: `out` is a file or holds something already.
    """
    if out is not None:
        path = Path(out)
        if path.exists() and not path.is_dir():
            raise InputError(f"{printable(path)} is a file: give a directory for --out")
        if path.exists() and any(path.iterdir()):
            raise InputError(
                f"{printable(path)} is there already and is not empty: give another --out, "
                "or go on with that run by --resume"
            )
        return path
    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{described(recipe)}-{moment}"
    return path if not path.exists() else path.with_name(f"{path.name}-{time.time_ns()}")


def described(recipe: Recipe) -> str:
    """Recipe, data and seed, as part of a directory's name."""
    data = "".join(char if char.isalnum() else "-" for char in Path(recipe.data).name)[:40]
    return f"{recipe.name}-{data or 'data'}-seed{recipe.seed}"


def keep_out_of_the_data(path: Path, recipe: Recipe) -> None:
    """A run inside the folder of the images would be taken for a class the next time.

    Raises:
        InputError: it is inside, or the run could not say where the data are.
    """
    if recipe.data in CATALOG:
        return
    try:
        os.path.realpath(recipe.data).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name of {printable(recipe.data)}, or of a directory above it, is no UTF-8, so no "
            "file can say where the data are: rename it"
        ) from None
    if is_inside(path, recipe.data):
        raise InputError(
            f"{printable(path)} lies inside the data: give an --out outside of "
            f"{printable(recipe.data)}"
        )


def command_line(recipe: Recipe, settings: Iterable[str] | None, skip_bad: bool = False) -> str:
    """The command that makes this run again; empty where `settings` is None: there is none."""
    if settings is None:
        return ""
    words = ["convscope", "train", recipe.name, "--data", recipe.data, "--seed", str(recipe.seed)]
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words + ["--skip-bad"] * skip_bad)
