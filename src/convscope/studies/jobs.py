"""A job: train one arm with one seed, and measure it. Pure JSON in, one row of JSON out.

    job   {"recipe", "images", "trained", "probes": [{"probe": name, …arguments}], "seed"}
    row   {"key", "job", "measures", "history", "failed", "cost"}

The key is a hash of everything that decides the measures: so a finished job is never done again,
and studies share it.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convscope.data.dataset import Dataset, Splits
from convscope.data.split import hold_out
from convscope.documents import parse_json, read_regular_file, to_json_bytes
from convscope.environment import peak_memory_bytes
from convscope.errors import InputError, TrainingError
from convscope.files import write_atomically
from convscope.run import load_model
from convscope.run_setup import fit_to_data, input_shape, start_run
from convscope.studies.all_probes import get_probe, run_probe
from convscope.studies.images import Images, fingerprint, read
from convscope.studies.probes import Measures, Trained
from convscope.training.fit import fit
from convscope.training.inputs import plan_preprocessing
from convscope.training.recipe import Recipe, recipe_from_json

__all__ = ["job_key", "read_row", "run_job", "write_row"]

VERSION = 3
"""Of how jobs are done: rows of another version are not used."""
_SETTLED = {"precision": "fp32", "memory_format": "channels_last", "fourier": (), "kernels": "on"}
"""What a recipe may leave to a measurement; another choice in each job would give other bytes."""


def job_key(job: Mapping[str, Any]) -> str:
    """What names the row of a job: 32 hexadecimal digits."""
    versions = {one["probe"]: get_probe(one["probe"]).version for one in job["probes"]}
    known = {
        "version": VERSION,
        "probes": versions,
        "data": fingerprint(Images.model_validate(job["images"])),
        "job": {**job, "images": {**job["images"], "source": ""}},
    }
    text = json.dumps(known, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def run_job(job: Mapping[str, Any], key: str, work: Path) -> dict[str, Any]:
    """Do a job. Its run directory lies in `work` meanwhile, and is removed.

    A training that fails (a loss that is no number) gives a row that says so, without measures.
    """
    started = time.perf_counter()
    place = work / f"{key}-{os.getpid()}"  # another process may be doing the same job
    shutil.rmtree(place, ignore_errors=True)
    row: dict[str, Any] = {
        "key": key,
        "job": dict(job),
        "measures": {},
        "history": [],
        "failed": "",
    }
    try:
        row["measures"], row["history"] = _measure(job, place)
    except TrainingError as error:
        row["failed"] = str(error)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    row["cost"] = {
        "seconds": round(time.perf_counter() - started, 2),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    return row


def _measure(job: Mapping[str, Any], place: Path) -> tuple[Measures, list[dict[str, Any]]]:
    seed = int(job["seed"])
    recipe = recipe_from_json(job["recipe"]).model_copy(update={"seed": seed})
    splits = read(Images.model_validate(job["images"]), seed)
    recipe = fit_to_data(recipe, splits.train)
    train, held_out = splits.train, None
    if recipe.validation:
        train, held_out = hold_out(train, recipe.validation, seed)
    if job["trained"]:
        trained = _train(recipe, train, held_out, splits.test, place)
    else:
        plan = plan_preprocessing(recipe.inputs, train.images, input_shape(recipe))
        trained = Trained(recipe=recipe, preprocessing=plan, train=train, test=splits.test)
    measures: Measures = {}
    for one in job["probes"]:
        arguments = {name: value for name, value in one.items() if name != "probe"}
        measures |= run_probe(one["probe"], trained, arguments)
    if held_out is not None and trained.history:
        measures["validation_accuracy"] = trained.history[-1]["validation_accuracy"]
    rounded = {
        name: _digits(value)
        for name, value in sorted(measures.items())
        if math.isfinite(value)  # a loss that is no number is left out
    }
    return rounded, [
        {name: _digits(value) for name, value in line.items()} for line in trained.history
    ]


def settled(recipe: Recipe) -> Recipe:
    """The recipe with nothing left to a measurement of what is faster."""
    left = {name: way for name, way in _SETTLED.items() if getattr(recipe, name) == "auto"}
    return recipe.model_copy(update=left)


def _train(
    recipe: Recipe, train: Dataset, held_out: Dataset | None, test: Dataset, place: Path
) -> Trained:
    splits = Splits(train=train, test=test)
    run = start_run(settled(recipe), splits, place, False, "auto", "")
    rows = fit(run, train, held_out, checkpoint_seconds=math.inf)
    history = tuple(row.finished for row in rows if row.finished)
    return Trained(
        recipe=recipe,
        preprocessing=run.document.preprocessing,
        train=train,
        test=test,
        history=history,
        network=load_model(run),
    )


def _digits(value: float) -> float:
    """Ten significant digits: what is beyond them is the order of additions."""
    return float(f"{value:.10g}")


def write_row(rows: Path, row: Mapping[str, Any]) -> None:
    """Keep a finished row, all or nothing."""
    write_atomically(rows / f"{row['key']}.json", to_json_bytes(row))


def read_row(rows: Path, key: str) -> dict[str, Any] | None:
    """The row of a job that was done before; None where there is none, or it is damaged."""
    path = rows / f"{key}.json"
    if not path.exists():
        return None
    try:
        row = parse_json(read_regular_file(path), str(path))
    except InputError:
        return None
    return row if isinstance(row, dict) and row.get("key") == key else None
