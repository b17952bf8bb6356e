"""The results of a study as one JSON document: arms, effects, verdicts, and every seed's row."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convscope.documents import parse_json, read_regular_file, to_json_bytes
from convscope.environment import describe_environment
from convscope.errors import InputError
from convscope.files import write_atomically
from convscope.studies.study import Budget, Study
from convscope.studies.verdicts import arm_mean, claim_verdict, effects_of, underpowered
from convscope.text import csv_text, printable

FORMAT = 1


def summarise(
    study: Study,
    budget_name: str,
    budget: Budget,
    seeds: int,
    table: Sequence[Mapping[str, Any]],
    tuned: Mapping[str, float],
    data: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The results document.

    Everything but `made` is the same for the same seeds on the same machine, unless seconds are
    measured.

    Args:
        study: the question.
        budget_name, budget: what was computed.
        seeds: of each arm, as planned.
        table: the rows that are done, each with `arm` and `seed`.
        tuned: the tuned value of each arm.
        data: facts of the images.
    """
    values: dict[str, dict[int, Mapping[str, float]]] = {arm.name: {} for arm in study.arms}
    failures = []
    for row in table:
        if row["failed"]:
            failures.append({"arm": row["arm"], "seed": row["seed"], "error": row["failed"]})
        else:
            values[row["arm"]][row["seed"]] = row["measures"]
    exact = not study.trained and not study.timing
    claims = []
    for claim, effects in zip(
        study.claims, effects_of(study.claims, values, exact=exact), strict=True
    ):
        claims.append(
            {
                **claim.model_dump(mode="json", exclude={"comparisons"}),
                "verdict": claim_verdict(effects),
                "seeds_needed": underpowered(effects),
                "effects": [effect.to_json() for effect in effects],
            }
        )
    return {
        "format": FORMAT,
        "study": study.name,
        "topic": study.topic,
        "question": study.question,
        "changed": study.changed,
        "held_equal": study.held_equal,
        "method": study.method,
        "budget": {"name": budget_name, **budget.model_dump()},
        "trained": study.trained,
        "timing": study.timing,
        "seeds": seeds,
        "data": [dict(one) for one in data],
        "tuned": {"field": study.tune.field, "values": dict(tuned)} if study.tune else None,
        "recipe": study.base(budget).model_dump(mode="json"),
        "arms": [
            {
                "name": arm.name,
                "note": arm.note,
                "control": arm.control,
                "changes": {**arm.set, **{f"images.{k}": v for k, v in arm.images.items()}},
                "measures": _means(values[arm.name]),
            }
            for arm in study.arms
        ],
        "claims": claims,
        "curves": [curve.model_dump(mode="json") for curve in study.curves],
        "failures": failures,
        "rows": [
            {"arm": arm, "seed": seed, "measures": dict(measures)}
            for arm, by_seed in values.items()
            for seed, measures in sorted(by_seed.items())
        ],
        "made": _made(table),
    }


def _means(by_seed: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float | int | None]]:
    names = sorted({name for measures in by_seed.values() for name in measures})
    found: dict[str, dict[str, float | int | None]] = {}
    for name in names:
        one = arm_mean([measures[name] for measures in by_seed.values() if name in measures])
        found[name] = {"n": one.n, "mean": _digits(one.mean), "sd": _digits(one.sd)}
        if one.n > 1:
            found[name] |= {"low": _digits(one.low), "high": _digits(one.high)}
    return found


def _digits(value: float) -> float:
    return float(f"{value:.8g}")


def _made(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    facts = describe_environment()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": facts["processor"],
        "cores": facts["cores"],
        "system": facts["system"],
        "python": facts["python"],
        "versions": {name: facts["versions"][name] for name in ("convscope", "torch", "numpy")},
        "job_seconds": round(sum(row["cost"]["seconds"] for row in table), 1),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def seeds_done(document: Mapping[str, Any]) -> int:
    """Seeds that every arm has."""
    found = {arm["name"]: 0 for arm in document["arms"]}
    for row in document["rows"]:
        found[row["arm"]] += 1
    return min(found.values())


def write_results(document: Mapping[str, Any], store: Path) -> Path:
    """Write `NAME.json` and `NAME.csv` into the store; the JSON file's path is returned."""
    name = document["study"]
    store.mkdir(parents=True, exist_ok=True)
    write_atomically(store / f"{name}.csv", rows_csv(document).encode())
    path = store / f"{name}.json"
    write_atomically(path, to_json_bytes(document))
    return path


def read_results(path: Path) -> dict[str, Any]:
    """A results document. Raises InputError where it is missing or not one."""
    document = parse_json(read_regular_file(path), printable(path))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(
            f"{printable(path)} holds no results of a study of format {FORMAT}: run the study again"
        )
    return document


def rows_csv(document: Mapping[str, Any]) -> str:
    """Every seed's row: arm, seed and each measure, in UTF-8 with one header line."""
    names = sorted({name for row in document["rows"] for name in row["measures"]})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "seed", *names])
    for row in document["rows"]:
        cells = [row["measures"].get(name, "") for name in names]
        writer.writerow([csv_text(row["arm"]), row["seed"], *cells])
    return text.getvalue()
