"""The search itself: load the data once, train trial after trial, write the report."""

import contextlib
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.data.dataset import Splits
from convscope.data.lock import sole_user
from convscope.errors import InputError, Interrupted, TrainingError
from convscope.events import Listener, Stage, Work, ignore
from convscope.files import cannot_write, write_atomically
from convscope.pipeline import resolve, typed_settings
from convscope.run import Run, open_run, read_metrics
from convscope.run_data import load_for, split_for
from convscope.run_setup import (
    command_line,
    described,
    fit_to_data,
    keep_out_of_the_data,
    start_run,
)
from convscope.terminal import clock
from convscope.text import printable
from convscope.training.assignments import override
from convscope.training.fit import fit
from convscope.training.recipe import Recipe, recipe_from_json
from convscope.training.signals import StopRequest
from convscope.training.validation import rank
from convscope.tuning.report import render_report
from convscope.tuning.space import assignments, default_dimensions, parse_dimensions
from convscope.tuning.study import Search, Study, Trial, importance, load_optuna

VALIDATION = 0.1
"""Share of the training images to judge by, where a recipe holds none out."""


@dataclass(frozen=True)
class Tuned:
    """What a study has found.

    Attributes:
        path: its directory. report: its page.
        study: every trial.
        command: trains the best recipe on the same data.
        importance: share of each varied field, by name.
    """

    path: Path
    report: Path
    study: Study
    command: str
    importance: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        best = self.study.best
        trials = [one.model_dump(mode="json") for one in self.study.trials]
        return {
            "study": str(self.path),
            "report": str(self.report),
            "best": None if best is None else {"trial": best, **trials[best]},
            "command": self.command,
            "importance": self.importance,
            "trials": trials,
        }


def tune(
    recipe: str | Recipe = "lenet5-augmented",
    *,
    data: str | Path | None = None,
    trials: int = 20,
    vary: Iterable[str] = (),
    settings: Iterable[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    listen: Listener | None = None,
) -> Tuned:
    """Search the settings with which a recipe learns `data` best, judged on validation images.

    Args:
        recipe: a name of `convscope list recipes`, or a Recipe.
        data: as for `train`.
        trials: how many trainings there are to be in all, with those of an earlier start.
        vary: what to vary, such as "optimizer.lr=1e-4..1e-1:log"; where there is none, the rates
            of learning and decay, and the size of the batch.
        settings: changes to the recipe that hold for all trials.
        seed: of everything random; the recipe's where it is None.
        out: the search's directory; one under `runs/` with a name made of recipe, data and seed
            where it is None. Called again with the same one, the search goes on.
        listen: hears of stages and progress.

    Raises:
        InputError: what was given cannot be used, or optuna is not installed.
        Interrupted: Ctrl-C or SIGTERM; the same call goes on.
    """
    load_optuna()
    if not 1 <= trials <= 100_000:
        raise InputError(f"{trials} trials; allowed are 1 to 100,000")
    tell, settings = listen or ignore, list(settings)
    chosen = resolve(recipe, data=data, settings=settings, seed=seed)
    if not chosen.validation:
        chosen = override(chosen, [f"validation={VALIDATION}"])
    dimensions = parse_dimensions(list(vary), chosen) or default_dimensions(chosen)
    path = Path(out) if out is not None else _place(chosen)
    keep_out_of_the_data(path, chosen)
    splits = load_for(chosen, tell)
    study = Study(path, chosen, dimensions, str(splits.train.provenance.get("sha256", "")))
    _make_directory(path)
    busy = f"another process searches in {printable(path)}: wait for it, or give another --out"
    with sole_user(path, busy):
        study.load()
        if study.trials:
            tell(Stage(f"going on with {printable(path)} after {len(study.trials)} trials"))
        started = time.monotonic()
        with StopRequest() as stop:
            while len(study.trials) < trials:
                _one_trial(study, splits, trials, stop, tell)
                _tell_trial(study, trials, tell)
        tell(Stage(f"{len(study.trials)} trials; {clock(time.monotonic() - started)} this time"))
        return _conclude(study, typed_settings(recipe, settings))


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from None


def _one_trial(
    study: Study, splits: Splits, trials: int, stop: StopRequest, tell: Listener
) -> None:
    number, search = len(study.trials), Search(study)
    # Teachers would cost each trial their own trainings, and change little of what is compared.
    recipe = override(study.recipe, ["teachers.count=0", *assignments(search.values)])
    run = _run_of(study, number, recipe, splits)
    label = f"trial {number + 1}/{trials}"
    started = time.monotonic()
    training, held_out = split_for(splits, recipe)
    state, reason = "complete", ""
    rows = read_metrics(run)
    accuracies = [float(row["validation_accuracy"]) for row in rows]
    for epoch, accuracy in enumerate(accuracies, 1):  # of before it was interrupted
        search.hopeless(accuracy, epoch)
    try:
        with contextlib.closing(fit(run, training, held_out, resume=True, stop=stop)) as steps:
            for row in steps:
                tell(Work(label, row.done, row.total))
                # The checkpoint may be older than the rows: an epoch may come again.
                if row.finished and row.finished["epoch"] > len(accuracies):
                    accuracies.append(float(row.finished["validation_accuracy"]))
                    if search.hopeless(accuracies[-1], len(accuracies)) and row.done < row.total:
                        state = "pruned"
                        break
    except TrainingError as error:
        state, reason = "failed", str(error)
    except Interrupted as error:
        raise Interrupted(
            f"stopped in trial {number + 1} of {trials}; the same command goes on",
            error.exit_code - 128,
        ) from None
    rows = read_metrics(run)
    judged = rows[-1:] if recipe.keep == "last" or state == "pruned" else rows
    best = max(judged, key=rank, default=None) if state != "failed" else None
    study.add(
        Trial.model_validate(
            {
                "values": search.values,
                "state": state,
                "accuracy": best and best["validation_accuracy"],
                "loss": best and best["validation_loss"],
                "epochs": accuracies,
                "seconds": round(time.monotonic() - started, 3),
                "reason": reason,
            }
        )
    )
    _remove_weights(run)


def _run_of(study: Study, number: int, recipe: Recipe, splits: Splits) -> Run:
    """The run of a trial: the one that was cut, or a new one."""
    path = study.path / "trials" / str(number)
    recipe = fit_to_data(recipe, splits.train)
    with contextlib.suppress(InputError):
        run = open_run(path)
        if recipe_from_json(run.document.recipe) == recipe:
            return run
    shutil.rmtree(path, ignore_errors=True)
    run = start_run(recipe, splits, path, False, "auto", "")
    with contextlib.suppress(InputError):  # how to compute is measured once
        return run.with_changes(compute=open_run(path.with_name("0")).document.compute)
    return run


def _remove_weights(run: Run) -> None:
    """A hundred trials of AlexNet would fill the disk; what they have found stays."""
    for file in run.path.glob("*.safetensors"):
        file.unlink(missing_ok=True)
    shutil.rmtree(run.path / "epochs", ignore_errors=True)


def _tell_trial(study: Study, trials: int, tell: Listener) -> None:
    trial, number = study.trials[-1], len(study.trials)
    shown = trial.state if trial.accuracy is None else f"{trial.accuracy:7.2%}"
    cut = "  cut short" if trial.state == "pruned" else ""
    best = study.best
    so_far = "" if best is None else f"  best {study.trials[best].accuracy:.2%}"
    left = study.seconds_left(trials)
    rest = f"  {clock(left)} left" if left else ""
    values = " ".join(printable(text, 60) for text in assignments(trial.values))
    tell(
        Stage(f"  trial {number:>{len(str(trials))}}/{trials} {shown}  {values}{cut}{so_far}{rest}")
    )


def _conclude(study: Study, given: list[str] | None) -> Tuned:
    shares = importance(study)
    command = best_command(study, given)
    report = study.path / "report.html"
    write_atomically(report, render_report(study, shares, command).encode())
    return Tuned(study.path, report, study, command, shares)


def best_command(study: Study, given: Iterable[str] | None) -> str:
    """The command that trains the best recipe; empty where there is none, or no complete trial."""
    if study.best is None or given is None:
        return ""
    varied = study.trials[study.best].values
    kept = [text for text in given if text.partition("=")[0].strip() not in varied]
    return command_line(study.recipe, [*kept, *assignments(varied)])


def _place(recipe: Recipe) -> Path:
    return Path("runs") / f"tune-{described(recipe)}"
