"""Compare runs: what differed, how good each is, and whether the difference can be chance."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscope.documents import parse_json, read_regular_file
from convscope.errors import InputError
from convscope.evaluation.metrics import mcnemar
from convscope.evaluation.results import Evaluation
from convscope.run import Run, open_run
from convscope.text import printable


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run's line. `p_value` is McNemar's exact test against the first run, where both were
    evaluated on the same images; None otherwise."""

    path: str
    model: str
    data: str
    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    loss: float
    seconds: float | None
    settings: dict[str, str]
    p_value: float | None


@dataclass(frozen=True)
class Comparison:
    """The compared runs, and the settings in which they differ."""

    runs: tuple[ComparedRun, ...]
    differing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(runs: Sequence[str | Path | Run]) -> Comparison:
    """Set runs side by side.

    Raises:
        InputError: fewer than two runs, or one that is not evaluated.
    """
    if len(runs) < 2:
        raise InputError(f"compare needs two or more runs; received {len(runs)}")
    opened = [open_run(run) for run in runs]
    results = [read_results(run) for run in opened]
    settings = [_flatten(run.document.recipe) for run in opened]
    keys = sorted(set().union(*settings))
    differing = tuple(key for key in keys if len({table.get(key) for table in settings}) > 1)
    lines = [
        ComparedRun(
            path=str(run.path),
            model=run.document.model.name,
            data=result.dataset,
            n=result.n,
            accuracy=result.accuracy,
            accuracy_interval=result.accuracy_interval,
            loss=result.loss,
            seconds=_number(run.document.training.get("seconds")),
            settings={key: printable(table.get(key, ""), 60) for key in differing},
            p_value=_p_value(results[0], result) if index else None,
        )
        for index, (run, result, table) in enumerate(zip(opened, results, settings, strict=True))
    ]
    return Comparison(tuple(lines), differing)


def read_results(run: Run) -> Evaluation:
    """The evaluation that a run directory holds.

    Raises:
        InputError: it was not evaluated, or `results.json` is damaged.
    """
    path = run.path / "results.json"
    if not path.exists():
        shown = printable(run.path)
        raise InputError(f"{shown} is not evaluated: run `convscope evaluate {shown}` first")
    return Evaluation.from_json(parse_json(read_regular_file(path), printable(path)))


def _p_value(first: Evaluation, second: Evaluation) -> float | None:
    if first.images_sha256 != second.images_sha256 or not first.images_sha256:
        return None
    wrong, other = set(first.wrong), set(second.wrong)
    return mcnemar(len(other - wrong), len(wrong - other))


def _number(value: object) -> float | None:
    """`value` where it is a number: `run.json` may come from a stranger."""
    return float(value) if isinstance(value, int | float) else None


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names; the recipe's own name is not a setting."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{printable(key)}.")
        elif prefix or key != "name":
            flat[prefix + printable(key)] = str(value)
    return flat
