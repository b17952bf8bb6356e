"""The whole path, from image files to a report: load, fit, evaluate, report.

`train`, `resume` and `evaluate` put the parts together; each part can be used on its own.
"""

import os
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

from convscope.data.cache import CacheMode
from convscope.data.dataset import Dataset, Splits
from convscope.data.loading import load_test
from convscope.environment import peak_memory_bytes
from convscope.errors import InputError, Interrupted, TrainingError, unknown_name
from convscope.evaluation.results import Evaluation
from convscope.events import Listener, Stage, Work, counting, ignore
from convscope.recipes import RECIPES
from convscope.recipes import recipe as recipe_by_name
from convscope.reporting import evaluate_run
from convscope.run import Run, RunDocument, open_run, read_split
from convscope.run_data import load_data, load_for, same_data, split_for
from convscope.run_setup import (
    begun_by_this_launch,
    command_line,
    fit_to_data,
    keep_out_of_the_data,
    new_directory,
    start_run,
)
from convscope.text import printable
from convscope.tracking import check_tracker, tracked
from convscope.training.assignments import differences, override
from convscope.training.compute import use_threads
from convscope.training.distributed import Group, joined
from convscope.training.fit import fit
from convscope.training.measuring import compute_of
from convscope.training.progress import Progress
from convscope.training.recipe import Recipe, recipe_from_json
from convscope.training.signals import StopRequest
from convscope.training.teachers import check_teachers, teacher_runs

_CACHE_MODES: dict[str, CacheMode] = {mode: mode for mode in get_args(CacheMode)}


def train(
    recipe: str | Recipe = "lenet5-augmented",
    *,
    data: str | Path | None = None,
    settings: Iterable[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    skip_bad: bool = False,
    cache: str = "auto",
    track: str | None = None,
    listen: Listener | None = None,
) -> Run:
    """Train a network, evaluate it on the test set, write the report.

    Args:
        recipe: a name of `convscope list recipes`, or a Recipe.
        data: a name of `convscope list datasets`, or the path of a folder, zip or IDX directory;
            the recipe's own data where it is None.
        settings: changes to the recipe, such as "optimizer.lr=0.004".
        seed: the seed of everything random; the recipe's where it is None.
        out: the run directory to make; a new one under `runs/` where it is None.
        skip_bad: leave out image files that cannot be read, instead of stopping.
        cache: whether decoded images are kept on disk: where they do not fit into memory (auto),
            always or never.
        track: `tensorboard` or `mlflow`: results go there, too, into the run's directory.
        listen: called with what happens: stages, progress, the evaluation.

    Returns:
        The run, complete.

    Raises:
        InputError: data, recipe or output directory cannot be used.
        TrainingError: the loss is not finite, runs away or stays at guessing.
        Interrupted: Ctrl-C or SIGTERM; `resume` goes on.
    """
    settings, tell = list(settings), listen or ignore
    with joined() as group:
        if not group.first:
            return _follow(group)
        if cache not in _CACHE_MODES:
            raise unknown_name("cache mode", printable(cache), _CACHE_MODES)
        keep = _CACHE_MODES[cache]
        check_tracker(track)
        chosen = resolve(recipe, data=data, settings=settings, seed=seed)
        check_teachers(chosen, group)
        command = command_line(chosen, typed_settings(recipe, settings), skip_bad)
        begun = begun_by_this_launch(out, chosen, command)
        if begun is not None:
            tell(Stage(f"going on with {printable(begun.path)}"))
            return _go_on(begun, tell, group, track)
        path = new_directory(out, chosen)
        keep_out_of_the_data(path, chosen)
        splits = load_for(chosen, tell, cache=keep, skip_bad=skip_bad)
        _tell_cache(splits.train, tell)
        fitting = fit_to_data(chosen, splits.train)
        run = start_run(fitting, splits, path, skip_bad, keep, command, processes=group.size)
        return _train(run, splits, tell, group, track)


def resume(
    run: str | Path | Run, *, track: str | None = None, listen: Listener | None = None
) -> Run:
    """Go on with an interrupted run; its weights come out as if it had never stopped.

    A run that is complete is returned as it is. `track` and `listen` are those of `train`.

    Raises:
        InputError: there is no run, or its data are not what they were.
    """
    with joined() as group:
        if not group.first:
            return _follow(group)
        check_tracker(track)
        return _go_on(open_run(run), listen or ignore, group, track)


def _go_on(run: Run, tell: Listener, group: Group, track: str | None) -> Run:
    if run.document.status == "complete":
        _tell_followers(run, group)
        if (run.path / "results.json").exists():
            tell(Stage(f"{printable(run.path)} is complete: there is nothing to resume"))
        else:  # it was cut after training and before its report
            evaluate(run, listen=tell)
        return run
    check_teachers(recipe_from_json(run.document.recipe), group)
    splits = load_data(run, tell)
    if not same_data(splits, run):
        raise InputError(
            f"the data at {printable(run.document.data.source)} have changed since the run began: "
            "put them back as they were, or start a new run"
        )
    return _train(run, splits, tell, group, track)


def _follow(group: Group) -> Run:
    """The part of a process that is not the first: take the run from that one, and train with it.

    Its machine needs the data, and nothing of the run's directory.
    """
    told = group.tell()
    run = Run(Path(told["path"]), RunDocument.model_validate(told["document"]))
    if run.document.status == "complete":
        return run
    splits = load_data(run, ignore, test_files=told["test_files"])
    if not same_data(splits, run):
        raise InputError(
            f"process {group.rank} found other data at {printable(run.document.data.source)} than "
            "process 0: give every machine the same"
        )
    training, held_out = split_for(splits, recipe_from_json(run.document.recipe))
    try:
        with (
            StopRequest() as stop,
            closing(fit(run, training, held_out, resume=True, stop=stop, group=group)) as rows,
        ):
            for _ in rows:
                pass
    except InputError as error:  # the first process meets it, too, and says it
        raise TrainingError(str(error)) from None
    return run


def _tell_followers(run: Run, group: Group) -> None:
    document = run.document.model_dump(mode="json")
    group.tell({"path": str(run.path), "document": document, "test_files": read_split(run)})


def evaluate(
    run: str | Path | Run,
    *,
    data: str | Path | None = None,
    robustness: bool = True,
    listen: Listener | None = None,
) -> Evaluation:
    """Measure a trained run on test images.

    On the run's own test set the results and the report go into the run. With other `data`, whose
    classes are matched by name, or without the robustness curves, nothing is written.

    Raises:
        InputError: no such run or data, or classes that the model does not know.
    """
    run = open_run(run)
    tell = listen or ignore
    use_threads(recipe_from_json(run.document.recipe).threads)
    if data is None:
        test = load_data(run, tell).test
    else:
        wanted = run.document.preprocessing
        test = load_test(
            data,
            size=wanted.size,
            aspect=wanted.aspect,
            channels=wanted.channels,
            classes=run.document.classes,
            progress=counting(tell, "loading"),
        )
        _refuse_training_images(run, test)
    write = data is None and robustness
    return evaluate_run(run, test, write=write, robust=robustness, listen=tell)


def _refuse_training_images(run: Run, test: Dataset) -> None:
    """The run's own data, unsplit, hold the images it was trained on."""
    reference = run.document.data
    same = test.provenance.get("sha256") == reference.provenance.get("sha256")
    if same and len(test) != reference.sizes.get("test"):
        raise InputError(
            f"'{printable(test.name)}' are the images the run was trained on: leave out --data, "
            "and the test images that were set aside then are used"
        )


def resolve(
    recipe: str | Recipe,
    *,
    data: str | Path | None = None,
    settings: Iterable[str] = (),
    seed: int | None = None,
) -> Recipe:
    """The recipe with every change applied: what `--print-recipe` shows."""
    if isinstance(recipe, str) and recipe not in RECIPES and os.path.exists(recipe):
        shown = printable(recipe)
        raise InputError(f"'{shown}' is a path, not a recipe: for these data give --data {shown}")
    chosen = recipe if isinstance(recipe, Recipe) else recipe_by_name(recipe)
    changes: dict[str, Any] = {}
    if data is not None:
        changes["data"] = str(data)
    if seed is not None:
        changes["seed"] = seed
    return override(recipe_from_json(chosen.model_dump(mode="json") | changes), settings)


def typed_settings(recipe: str | Recipe, settings: Iterable[str]) -> list[str] | None:
    """What --set takes for `recipe` with `settings`; None where it has a name of its own."""
    if isinstance(recipe, str):
        return list(settings)
    if recipe.name not in RECIPES:
        return None
    return [*differences(recipe_by_name(recipe.name), recipe), *settings]


def _train(run: Run, splits: Splits, tell: Listener, group: Group, track: str | None) -> Run:
    _tell_followers(run, group)
    training, held_out = split_for(splits, recipe_from_json(run.document.recipe))
    tell(Stage(_summary(run, training, held_out, splits.test, group)))
    run = _choose_compute(run, tell)
    with tracked(run, tell, track) as tell:
        started = time.monotonic()
        last: Progress | None = None
        with StopRequest() as stop:
            _train_teachers(run, training, held_out, stop, tell)
            steps = fit(run, training, held_out, resume=True, stop=stop, group=group)
            with closing(steps) as rows:  # whatever is raised: nobody else could go on with it
                for last in rows:
                    tell(last)
        run = _finish(run, time.monotonic() - started, last)
        evaluate_run(run, splits.test, write=True, robust=True, listen=tell)
    return run


def _train_teachers(
    run: Run, training: Dataset, held_out: Dataset | None, stop: StopRequest, tell: Listener
) -> None:
    """Train those that the recipe asks for, each in a run of its own; one that was cut goes on."""
    recipe = recipe_from_json(run.document.recipe)
    for number, teacher in enumerate(teacher_runs(run, recipe), 1):
        if teacher.document.status == "complete":
            continue
        name, started = f"teacher {number} of {recipe.teachers.count}", time.monotonic()
        last: Progress | None = None
        try:
            with closing(fit(teacher, training, held_out, resume=True, stop=stop)) as rows:
                for last in rows:
                    tell(Work(name, last.done, last.total))
        except Interrupted as cut:
            raise Interrupted(
                f"stopped in {name}; go on with: convscope train --resume {printable(run.path)}",
                cut.exit_code - 128,
            ) from None
        _finish(teacher, time.monotonic() - started, last)
        if last is not None:
            tell(Stage(f"{name}: loss {last.loss:.4f}, training {last.accuracy:.2%}"))


def _choose_compute(run: Run, tell: Listener) -> Run:
    """The run with its choice of precision, memory order and threads, made once and recorded."""
    recipe = recipe_from_json(run.document.recipe)
    if recipe.leaves_a_choice and not run.document.compute:
        tell(Stage("measuring the fastest way to compute"))
    compute = compute_of(run, recipe)
    if not run.document.compute:
        run = run.with_changes(compute=compute.model_dump(mode="json"))
    if compute.seconds or compute.device != "cpu":
        tell(Stage(f"computing in {compute.name()} on {compute.device}: {compute.reason}"))
    return run


def _finish(run: Run, seconds: float, last: Progress | None) -> Run:
    """Mark the run complete; only then is its checkpoint no longer needed."""
    facts: dict[str, Any] = {"seconds": round(seconds, 3), "peak_memory_bytes": peak_memory_bytes()}
    if last is not None:
        facts["images_per_second"] = round(last.images_per_second, 1)
    run = run.with_changes(status="complete", training=facts)
    run.checkpoint.unlink(missing_ok=True)
    return run


def _tell_cache(images: Dataset, tell: Listener) -> None:
    cache = images.provenance.get("cache")
    if cache:
        how = "taken from" if cache["reused"] else "kept in"
        size = f"{cache['bytes'] / 1e9:.2f} GB (`convscope cache clear` removes it)"
        again = f"; made anew: {printable(cache['rebuilt'])}" if cache.get("rebuilt") else ""
        tell(Stage(f"decoded images {how} {printable(cache['path'])}, {size}{again}"))


def _summary(
    run: Run, train: Dataset, validation: Dataset | None, test: Dataset, group: Group
) -> str:
    channels, height, width = run.document.preprocessing.input_shape
    held_out = f", {len(validation):,} to validate" if validation else ""
    return (
        f"{run.document.model.name} on {printable(train.name)}: {len(train):,} images to train"
        f"{held_out}, {len(test):,} to test; {len(train.classes)} classes, "
        f"input {channels}×{height}×{width}"
        + (f"; {group.size} processes" if group.size > 1 else "")
    )
