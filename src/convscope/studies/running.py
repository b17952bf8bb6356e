"""Run a study: choose rates, train every arm with every seed, put the rows together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from convscope.data.catalog import load
from convscope.errors import InputError, unknown_name
from convscope.events import Listener, Stage, Work, ignore
from convscope.studies.images import DEFAULTS, facts, fingerprint
from convscope.studies.jobs import job_key
from convscope.studies.questions import STUDIES
from convscope.studies.results import summarise, write_results
from convscope.studies.study import (
    TUNING_SEED,
    TUNING_SHARE,
    Arm,
    Budget,
    Study,
    change,
    chosen_studies,
    study_from_json,
)
from convscope.studies.work import do_jobs, finished_rows
from convscope.text import printable

STORE = Path("runs") / "studies"


@dataclass(frozen=True)
class Plan:
    """What to run a study with.

    Attributes:
        budget: `quick` or `full`.
        seeds: of each arm; 0 is the budget's.
        sources: what stands for digits and pictures.
        store: the directory of all studies' rows and results.
        workers: processes; 0 is one for each physical core.
        train: whether what is missing is trained; else only what is done is put together.
    """

    budget: Literal["quick", "full"] = "quick"
    seeds: int = 0
    sources: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    store: Path = STORE
    workers: int = 0
    train: bool = True


def study(
    question: str | Path | Mapping[str, Any],
    *,
    data: Sequence[str | Path] = (),
    budget: str = "quick",
    seeds: int = 0,
    out: str | Path = STORE,
    workers: int = 0,
    train: bool = True,
    listen: Listener = ignore,
) -> dict[str, Any]:
    """Run a study, or go on with it where it was cut; its results are written and given.

    Args:
        question: a name of `convscope study`, the path of a JSON file, or such a document.
        data: names or paths; grey images stand for digits, colour ones for pictures. What is not
            given is mnist-sample and shapes.
        budget: `quick` or `full`.
        seeds: of each arm; 0 is the budget's.
        out: the directory of rows and results.
        workers: processes; 0 is one for each physical core.
        train: whether what is missing is trained; else only what is done is put together.
        listen: told what happens.

    Returns:
        The results document: arms, claims with their effects and verdicts, every seed's row.

    Raises:
        InputError: the study or the data cannot be used.
        ConvscopeError: a job failed.
    """
    if isinstance(question, Mapping):
        chosen = study_from_json(question)
    else:
        name = str(question)
        chosen = _one(chosen_studies(name, STUDIES))
    plan = Plan(
        budget=valid_budget(budget),
        seeds=seeds,
        sources=choose_sources([str(one) for one in data], listen),
        store=Path(out),
        workers=workers,
        train=train,
    )
    document = run_study(chosen, plan, listen)
    write_results(document, plan.store)
    return document


def _one(studies: list[Study]) -> Study:
    if len(studies) != 1:
        raise InputError("study is 'all'; allowed here: one study at a time")
    return studies[0]


def run_study(study: Study, plan: Plan, listen: Listener = ignore) -> dict[str, Any]:
    """Run a study, or go on with it where it was cut, and give its results as a document.

    Raises:
        InputError: the study or the data cannot be used.
        ConvscopeError: a job failed.
    """
    budget: Budget = study.quick if plan.budget == "quick" else study.full
    seeds = plan.seeds or (budget.seeds if study.trained or study.timing else 1)
    tuned = _tune(study, budget, plan, listen)
    jobs: dict[str, dict[str, Any]] = {}
    places: dict[tuple[str, int], str] = {}
    for seed in range(seeds):
        for arm in study.arms:
            job = _job(study, arm, budget, plan, seed, tuned.get(arm.name))
            key = job_key(job)
            jobs[key], places[arm.name, seed] = job, key
    _do(study, jobs, plan, listen, f"{study.name}: trainings" if study.trained else study.name)
    rows = finished_rows(list(jobs), plan.store)
    table = [
        {"arm": arm, "seed": seed, **rows[key]}
        for (arm, seed), key in places.items()
        if key in rows
    ]
    return summarise(study, plan.budget, budget, seeds, table, tuned, _data(study, budget, plan))


def _do(
    study: Study,
    jobs: Mapping[str, dict[str, Any]],
    plan: Plan,
    listen: Listener,
    label: str,
) -> None:
    if not plan.train:
        return
    workers = 1 if study.timing else plan.workers
    do_jobs(
        jobs,
        plan.store,
        workers=workers,
        told=lambda done, total: listen(Work(label, done, total)),
    )


def _tune(study: Study, budget: Budget, plan: Plan, listen: Listener) -> dict[str, float]:
    """The value of the tuned field that each arm takes: the best on held-out training images.

    Of equal ones the smaller. The test set is not looked at. An arm none of whose values is
    tried yet is left out.
    """
    if study.tune is None or not study.trained:
        return {}
    jobs: dict[str, dict[str, Any]] = {}
    places: dict[tuple[str, float], str] = {}
    for arm, value in _tried(study):
        job = _job(study, arm, budget, plan, TUNING_SEED, value)
        held = change(study.recipe_of(arm, budget, value), {"validation": TUNING_SHARE})
        job |= {"recipe": held.model_dump(mode="json"), "probes": []}
        key = job_key(job)
        jobs[key], places[arm.name, value] = job, key
    _do(study, jobs, plan, listen, f"{study.name}: choosing {study.tune.field}")
    rows = finished_rows(list(jobs), plan.store)
    chosen: dict[str, tuple[float, float]] = {}
    for (name, value), key in places.items():
        found = rows.get(key, {}).get("measures", {}).get("validation_accuracy")
        if found is not None and (name not in chosen or found > chosen[name][0]):
            chosen[name] = (found, value)
    return {name: value for name, (_, value) in chosen.items()}


def _tried(study: Study) -> Iterator[tuple[Arm, float]]:
    assert study.tune is not None
    for arm in study.arms:
        for value in sorted(study.tune.values):
            yield arm, value


def _job(
    study: Study, arm: Arm, budget: Budget, plan: Plan, seed: int, tuned: float | None
) -> dict[str, Any]:
    probes = []
    for one in study.probes:
        one = dict(one)
        if isinstance(one.get("against"), str):  # another arm's recipe
            other = study.recipe_of(study.arm(one["against"]), budget)
            one["against"] = other.model_dump(mode="json")
        probes.append(one)
    return {
        "recipe": study.recipe_of(arm, budget, tuned).model_dump(mode="json"),
        "images": study.images_of(arm, budget, plan.sources).model_dump(mode="json"),
        "trained": study.trained,
        "probes": probes,
        "seed": seed,
    }


def _data(study: Study, budget: Budget, plan: Plan) -> list[dict[str, Any]]:
    """Name, sizes and origin of each data set that the arms use."""
    found: dict[str, dict[str, Any]] = {}
    for arm in study.arms:
        images = study.images_of(arm, budget, plan.sources)
        found.setdefault(fingerprint(images), dict(facts(images)))
    return list(found.values())


def valid_budget(name: str) -> Literal["quick", "full"]:
    """The budget of that name. Raises InputError for another."""
    if name == "quick":
        return "quick"
    if name == "full":
        return "full"
    raise unknown_name("budget", printable(name), ("quick", "full"))


def choose_sources(data: list[str], listen: Listener = ignore) -> dict[str, str]:
    """What stands for digits and pictures: grey images for the first, colour ones for the other.

    Args:
        data: names or paths as for `convscope.load`; what is not given stays the default.
        listen: told what was chosen.
    """
    sources = dict(DEFAULTS)
    for one in data:
        train = load(one, size=(32, 32), cache="always").train
        kind = "digits" if train.image_shape[0] == 1 else "pictures"
        sources[kind] = one
        listen(Stage(f"{kind}: {train.name}, {len(train):,} images to train"))
    return sources
