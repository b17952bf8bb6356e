"""A study, as Optuna calls a search: many short trainings of a recipe, kept in a directory.

    study.json       the recipe, what is varied, and every trial that has ended
    trials/7/        the run of a trial, without its weights
    report.html      what was found

Each trial is judged on validation images; the test set is out of reach. `study.json` is written
whole after each trial, and the suggestions for trial n depend on the trials before it and on the
seed alone: a study that is killed and started again ends as if nothing had been.
"""

import importlib.util
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convscope.documents import parse_json, read_regular_file, to_json_bytes
from convscope.errors import InputError
from convscope.files import write_atomically
from convscope.seeds import derive_seed
from convscope.text import printable
from convscope.training.recipe import Recipe, describe
from convscope.tuning.space import Choices, Dimension, Value, own_values

STARTUP_TRIALS = 5
"""Trials at random before the search learns from them, and before hopeless ones are cut short."""


class Trial(BaseModel):
    """One training that has ended.

    Attributes:
        values: of the varied fields.
        state: complete; pruned, where it fell behind; failed, where its loss was no number.
        accuracy: on validation, of the weights that would be kept; None where it failed.
        loss: on validation, likewise.
        epochs: validation accuracy after each epoch.
        seconds: of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    values: dict[str, Value]
    state: Literal["complete", "pruned", "failed"]
    accuracy: float | None = Field(default=None, ge=0.0, le=1.0)
    loss: float | None = None
    epochs: list[float] = Field(default_factory=list)
    seconds: float = Field(default=0.0, ge=0.0)
    reason: str = ""


class StudyDocument(BaseModel):
    """What `study.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    recipe: dict[str, Any]
    vary: list[dict[str, Any]]
    data_sha256: str = ""
    trials: list[Trial] = Field(default_factory=list)


@dataclass
class Study:
    """The search in memory; `trials` are those that have ended."""

    path: Path
    recipe: Recipe
    dimensions: list[Dimension]
    data_sha256: str = ""
    trials: list[Trial] = field(default_factory=list)

    @property
    def best(self) -> int | None:
        """Number of the complete trial with the best accuracy, then the smallest loss."""
        complete = [n for n, one in enumerate(self.trials) if one.state == "complete"]
        return max(complete, key=lambda n: _rank(self.trials[n]), default=None)

    def add(self, trial: Trial) -> None:
        """Take in a trial that has ended; after this returns, a power cut loses nothing."""
        self.trials.append(trial)
        document = self._document(self.trials)
        write_atomically(self.path / "study.json", to_json_bytes(document.model_dump(mode="json")))

    def load(self) -> None:
        """Take the trials that the directory has, which must exist.

        Raises:
            InputError: it is the study of something else, or damaged.
        """
        file = self.path / "study.json"
        if not file.exists():
            if any(self.path.iterdir()):
                raise InputError(
                    f"{printable(self.path)} holds no search and is not empty: give --out"
                )
            document = self._document([])
            write_atomically(file, to_json_bytes(document.model_dump(mode="json")))
            return
        found = parse_json(read_regular_file(file), printable(file))
        try:
            kept = StudyDocument.model_validate(found)
        except ValidationError as error:
            raise InputError(f"{printable(file)}: {describe(error, 'study')}") from None
        if kept.model_dump(exclude={"trials"}) != self._document([]).model_dump(exclude={"trials"}):
            raise InputError(
                f"{printable(self.path)} searches with another recipe, other data or ranges: give "
                "another --out, or the same --vary, --set, --data and --seed as when it began"
            )
        self.trials = list(kept.trials)

    def seconds_left(self, trials: int) -> float | None:
        """How long the trials up to number `trials` will take; None before the first has ended."""
        known = [one.seconds for one in self.trials if one.state == "complete"]
        if not known:
            return None
        return statistics.mean(known) * max(trials - len(self.trials), 0)

    def _document(self, trials: list[Trial]) -> StudyDocument:
        vary = [asdict(one) for one in self.dimensions]
        plain = parse_json(to_json_bytes(vary), "ranges")
        assert isinstance(plain, list)
        recipe = self.recipe.model_dump(mode="json")
        return StudyDocument(recipe=recipe, vary=plain, data_sha256=self.data_sha256, trials=trials)


class Search:
    """Optuna's tree-structured Parzen estimator, told of the trials so far.

    Bergstra et al. 2011, Algorithms for hyper-parameter optimization. The first trial is the
    recipe as it is. A trial is pruned where its validation accuracy is below the median of the
    others' after the same epoch.
    """

    def __init__(self, study: Study) -> None:
        optuna = load_optuna()
        seed = derive_seed(study.recipe.seed, "trial", len(study.trials)) % 2**32
        self.space = {one.field: distribution(one) for one in study.dimensions}
        self.inner = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        )
        for one in study.trials:
            self.inner.add_trial(self._frozen(one))
        if not study.trials:
            self.inner.enqueue_trial(own_values(study.dimensions, study.recipe))
        self.trial = self.inner.ask(self.space)
        self.values: dict[str, Value] = {
            one.field: _rounded(one, self.trial.params[one.field]) for one in study.dimensions
        }

    def hopeless(self, accuracy: float, epoch: int) -> bool:
        """Whether a trial with this validation accuracy after `epoch` (from 1) is cut short."""
        self.trial.report(accuracy, epoch)
        return bool(self.trial.should_prune())

    def _frozen(self, one: Trial) -> Any:
        optuna = load_optuna()
        states = optuna.trial.TrialState
        state = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
        return optuna.trial.create_trial(
            state=state[one.state],
            value=one.accuracy if one.state != "failed" else None,
            params=dict(one.values),
            distributions=self.space,
            intermediate_values=dict(enumerate(one.epochs, 1)),
        )


def distribution(one: Dimension) -> Any:
    """Optuna's word for a dimension."""
    kinds = load_optuna().distributions
    if isinstance(one, Choices):
        return kinds.CategoricalDistribution(one.values)
    if one.whole:
        return kinds.IntDistribution(int(one.low), int(one.high), log=one.log)
    return kinds.FloatDistribution(one.low, one.high, log=one.log)


def importance(study: Study) -> dict[str, float]:
    """The share of each varied field in what makes a trial good; empty with too few trials.

    Watanabe et al. 2023, PED-ANOVA, arXiv:2304.10255: how differently the best trials are spread
    along a field from all trials.
    """
    complete = [one for one in study.trials if one.state == "complete"]
    if len(complete) < 4 or len({one.accuracy for one in complete}) < 2:
        return {}
    optuna = load_optuna()
    search = Search(study)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(search.inner, evaluator=evaluator)
    return {name: float(value) for name, value in found.items() if value == value}


def load_optuna() -> Any:
    """Optuna, told to be quiet. Raises InputError where it is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise InputError('tuning needs optuna: pip install "convscope[tune]"')
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _rounded(one: Dimension, value: Value) -> Value:
    """Six digits are enough to read, and to say it again by `--set`."""
    if isinstance(one, Choices) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.6g}"), one.low), one.high)


def _rank(trial: Trial) -> tuple[float, float]:
    return trial.accuracy or 0.0, -(trial.loss if trial.loss is not None else 0.0)
