"""Run a study: choose rates, train every arm with every seed, put the rows together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from convscope.data.loading import load
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
    """Run one study; see `run_studies`."""
    return run_studies([study], plan, listen)[0]


def run_studies(
    studies: Sequence[Study], plan: Plan, listen: Listener = ignore
) -> list[dict[str, Any]]:
    """Run studies, or go on with them where they were cut, and give their results as documents.

    All their jobs are done by one team of workers, all arms' first seed before any second one, so
    that what is done when the work is cut can be compared. Studies that measure seconds come last,
    each alone.

    Raises:
        InputError: a study or the data cannot be used.
        ConvscopeError: a job failed.
    """
    prepared = [_prepare(study, plan) for study in studies]
    tuning = {key: job for one in prepared for key, job in one.tuning.items()}
    _do(tuning, plan, listen, f"{_label(studies)}: choosing rates")
    for one in prepared:
        one.choose(plan)
    together = [one for one in prepared if not one.study.timing]
    _do(_by_seed(together), plan, listen, f"{_label(studies)}: networks")
    for one in prepared:
        if one.study.timing:
            alone = replace(plan, workers=1)
            _do(_by_seed([one]), alone, listen, f"{one.study.name}: seconds")
    return [one.results(plan) for one in prepared]


def _label(studies: Sequence[Study]) -> str:
    return studies[0].name if len(studies) == 1 else f"{len(studies)} studies"


class _Prepared:
    """A study with its jobs: those that choose rates, and those that are measured."""

    def __init__(self, study: Study, budget: Budget, seeds: int) -> None:
        self.study, self.budget, self.seeds = study, budget, seeds
        self.tuning: dict[str, dict[str, Any]] = {}
        self.tried: dict[tuple[str, float], str] = {}
        self.tuned: dict[str, float] = {}
        self.jobs: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {}

    def choose(self, plan: Plan) -> None:
        """Take each arm's rate, and make the jobs that are measured."""
        if self.study.tune is not None:
            rows = finished_rows(list(self.tuning), plan.store)
            self.tuned = _best(self.tried, rows, self.study.tune.by)
        for seed in range(self.seeds):
            for arm in self.study.arms:
                tuned = self.tuned.get(arm.name)
                job = _job(self.study, arm, self.budget, plan, seed, tuned)
                self.jobs[arm.name, seed] = job_key(job), job

    def results(self, plan: Plan) -> dict[str, Any]:
        """The results document of what is done."""
        rows = finished_rows([key for key, _ in self.jobs.values()], plan.store)
        table = [
            {"arm": arm, "seed": seed, **rows[key]}
            for (arm, seed), (key, _) in self.jobs.items()
            if key in rows
        ]
        data = _data(self.study, self.budget, plan)
        return summarise(self.study, plan.budget, self.budget, self.seeds, table, self.tuned, data)


def _prepare(study: Study, plan: Plan) -> _Prepared:
    budget = study.quick if plan.budget == "quick" else study.full
    seeds = plan.seeds or budget.seeds
    one = _Prepared(study, budget, seeds if study.trained or study.timing else 1)
    if study.tune is not None and study.trained:
        for arm in study.arms:
            for value in sorted(study.tune.values):
                job = _job(study, arm, budget, plan, TUNING_SEED, value)
                held = change(study.recipe_of(arm, budget, value), {"validation": TUNING_SHARE})
                job |= {"recipe": held.model_dump(mode="json"), "probes": []}
                key = job_key(job)
                one.tuning[key], one.tried[arm.name, value] = job, key
    return one


def _by_seed(prepared: Sequence[_Prepared]) -> dict[str, dict[str, Any]]:
    """The jobs of all studies by key, the first seeds first."""
    ordered = sorted(
        (seed, number, place, key, job)
        for number, one in enumerate(prepared)
        for place, ((_, seed), (key, job)) in enumerate(one.jobs.items())
    )
    return {key: job for _, _, _, key, job in ordered}


def _do(jobs: Mapping[str, dict[str, Any]], plan: Plan, listen: Listener, label: str) -> None:
    if plan.train and jobs:
        do_jobs(
            jobs,
            plan.store,
            workers=plan.workers,
            told=lambda done, total: listen(Work(label, done, total)),
        )


def _best(
    tried: Mapping[tuple[str, float], str], rows: Mapping[str, Mapping[str, Any]], by: str
) -> dict[str, float]:
    """The value of the tuned field that each arm takes: that with most of `by` in the last epoch.

    Of equal ones the smaller. The test set is not looked at. An arm none of whose values is
    tried yet is left out.
    """
    chosen: dict[str, tuple[float, float]] = {}
    for (name, value), key in tried.items():
        history = rows[key]["history"] if key in rows else []
        found = history[-1].get(by) if history else None
        if found is not None and (name not in chosen or found > chosen[name][0]):
            chosen[name] = (found, value)
    return {name: value for name, (_, value) in chosen.items()}


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
    """Name, sizes and origin of each data set that the arms use.

    `train` is the largest number of training images of an arm, `least_train` the smallest where
    they differ.
    """
    found: dict[str, dict[str, Any]] = {}
    for arm in study.arms:
        images = study.images_of(arm, budget, plan.sources)
        new = dict(facts(images))
        one = found.setdefault(fingerprint(images), new)
        if new["train"] != one["train"]:
            sizes = one["train"], new["train"], one.get("least_train", one["train"])
            one |= {"train": max(sizes), "least_train": min(sizes)}
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
