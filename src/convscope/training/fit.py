"""Training: rows out, nothing printed, the test set out of reach. The steps are in `loop.py`."""

from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import replace

from convscope.data.dataset import Dataset
from convscope.data.lock import sole_user
from convscope.errors import InputError, Interrupted
from convscope.files import remove_leftovers
from convscope.run import Run, open_run, write_metrics
from convscope.text import printable
from convscope.training.compute import (
    Compute,
    compute_from_json,
    give_back_memory,
    keep_freed_memory,
    use_threads,
)
from convscope.training.distributed import ALONE, Group
from convscope.training.loop import Loop
from convscope.training.measuring import compute_of
from convscope.training.progress import Progress
from convscope.training.recipe import Recipe, recipe_from_json
from convscope.training.saving import Saving
from convscope.training.signals import StopRequest

CHECKPOINT_SECONDS = 1.0


def fit(
    run: Run,
    train: Dataset,
    validation: Dataset | None = None,
    *,
    resume: bool = False,
    stop: StopRequest | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    group: Group = ALONE,
) -> Generator[Progress]:
    """Train the network that `run` describes, and leave the weights in the run directory.

    Args:
        run: a run directory whose document names model, preprocessing and recipe.
        train: the images to learn from.
        validation: the images to choose the best epoch by; never the test set.
        resume: go on from the run's checkpoint where it has one.
        stop: asked after each step; once it has a signal, state is saved and training ends.
        checkpoint_seconds: the shortest time from one checkpoint to the next. Where saving takes
            long they are rarer, so that it costs no more than a fiftieth of the time.
        group: the processes that train together; each calls this with the same images, and the
            first one alone reads and writes the run directory. See `distributed.joined`.

    Yields:
        A row about ten times a second, and one at the end of each epoch.

    Raises:
        TrainingError: the loss is not finite, runs away or stays at guessing.
        Interrupted: `stop` received a signal; the checkpoint is saved.
        InputError: data that do not fit the model, a damaged checkpoint, another process that
            trains this run.
    """
    shown = printable(run.path)
    alone = sole_user(run.path, f"another process trains {shown}: wait for it, or stop it first")
    with alone if group.first else nullcontext():
        if group.first and open_run(run.path).document.status == "complete" != run.document.status:
            raise InputError(f"another process has just completed {shown}")
        yield from _rows(
            run, train, validation, resume, stop or StopRequest(), checkpoint_seconds, group
        )


def _rows(
    run: Run,
    train: Dataset,
    validation: Dataset | None,
    resume: bool,
    stop: StopRequest,
    checkpoint_seconds: float,
    group: Group,
) -> Iterator[Progress]:
    recipe = recipe_from_json(run.document.recipe)
    _check_data(run, train)
    group = replace(group, parallel=recipe.parallel)
    compute = _compute_together(run, recipe, group)
    use_threads(group.threads(compute.threads))
    give_back_memory()
    keep_freed_memory()
    saving = Saving(checkpoint_seconds)
    loop = Loop(run, recipe, compute, train, validation, group, stop, saving)
    if resume and group.first:
        remove_leftovers(run.path)
    if group.tell(resume and run.checkpoint.exists()):
        loop.state.load(run)
        if loop.state.counters.step >= max(loop.epoch_steps(), 1):
            raise InputError(f"{printable(run.checkpoint)} is damaged: it is beyond the epoch")
    saving.restart()
    try:
        for row in loop.rows():
            if loop.stopped_by:
                loop.state.save(run)
                raise Interrupted(
                    f"stopped in epoch {row.epoch}, step {row.step} of {row.steps}; "
                    f"go on with: convscope train --resume {printable(run.path)}",
                    loop.stopped_by,
                )
            if loop.saves_now:
                saving.save(loop.state, run)
            if row.finished and group.first:
                write_metrics(run, loop.state.counters.history)
            if row.finished or loop.due():
                yield row
    finally:
        use_threads(group.threads(compute.threads))  # training may have left torch one
        if group.first:
            write_metrics(run, loop.state.counters.history)
    loop.leave_weights()


def _compute_together(run: Run, recipe: Recipe, group: Group) -> Compute:
    """How all processes compute: as the first one chooses."""
    chosen = compute_of(run, recipe).model_dump(mode="json") if group.first else None
    compute = compute_from_json(group.tell(chosen))
    if group.size > 1 and compute.device == "mps":
        raise InputError("device is mps, which one process uses alone; give --set device=cpu")
    return compute


def _check_data(run: Run, train: Dataset) -> None:
    if train.classes != run.document.classes:
        raise InputError(
            f"the run was made for classes {printable(run.document.classes)}; the data have "
            f"{printable(train.classes)}: give the data it was started with"
        )
    if len(train) == 0:
        raise InputError(f"'{printable(train.name)}' has no training images: add some")
