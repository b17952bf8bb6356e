"""What `--track` leaves, read back by the programs it is for."""

import logging
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conftest import small_recipe, start_run
from convscope import pipeline
from convscope.data.dataset import Dataset
from convscope.errors import InputError
from convscope.events import Event, Stage
from convscope.run import Run, read_metrics
from convscope.tracking import check_tracker, tracked
from convscope.training.fit import fit


@pytest.fixture(autouse=True)
def _environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def train(run: Run, data: Dataset, name: str | None) -> list[Event]:
    heard: list[Event] = []
    with tracked(run, heard.append, name) as listen:
        listen(Stage("begins"))
        for row in fit(run, data, data, resume=True):
            listen(row)
    return heard


def test_off_it_writes_nothing(tmp_path: Path, few_digits: Dataset) -> None:
    run = start_run(tmp_path / "run", small_recipe(), few_digits)
    assert len(train(run, few_digits, None)) >= 3
    assert not {"tensorboard", "mlflow"} & {path.name for path in run.path.iterdir()}


def test_tensorboard_reads_the_rows(tmp_path: Path, few_digits: Dataset) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="pip install tensorboard"
    )
    run = start_run(tmp_path / "run", small_recipe(epochs=3), few_digits)
    assert train(run, few_digits, "tensorboard")[0] == Stage("begins")
    found = accumulator.EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    rows = read_metrics(run)
    for key in ("loss", "train_accuracy", "validation_accuracy", "learning_rate"):
        scalars = found.Scalars(key)
        assert [one.step for one in scalars] == [1, 2, 3]
        assert [one.value for one in scalars] == pytest.approx([row[key] for row in rows])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own use
def test_mlflow_keeps_the_rows_in_the_run_and_tells_nobody(
    tmp_path: Path, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words: asked.append(words))
    run = start_run(tmp_path / "run", small_recipe(epochs=2), few_digits)
    train(run, few_digits, "mlflow")
    train(run, few_digits, "mlflow")  # a second start goes on with the same MLflow run
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert not asked
    with closing(sqlite3.connect(run.path / "mlflow" / "mlflow.db")) as base:
        assert base.execute("select count(*), max(status) from runs").fetchall() == [
            (1, "FINISHED")
        ]
        losses = base.execute(
            "select distinct step, value from metrics where key = 'loss' order by step"
        ).fetchall()
        rate = base.execute("select value from params where key = 'optimizer.lr'").fetchall()
    rows = read_metrics(run)
    assert [(step, pytest.approx(value)) for step, value in losses] == [
        (row["epoch"], row["loss"]) for row in rows
    ]
    assert rate == [("0.002",)]


def test_unknown_trackers_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown tracker 'tensorbord': did you mean"):
        check_tracker("tensorbord")
    with pytest.raises(InputError, match="unknown tracker 'x': Valid: mlflow, tensorboard"):
        pipeline.train(out=tmp_path / "run", track="x")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="unknown tracker"):
        pipeline.resume(tmp_path / "run", track="x")
