"""Rows of a training for TensorBoard or MLflow, beside what convscope keeps itself.

Off unless asked for (`convscope train --track tensorboard`). The rows are those that the terminal
shows. They go into the run's own directory; MLflow sends them elsewhere only where the user's
environment says so by MLFLOW_TRACKING_URI.
"""

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from convscope.errors import InputError, unknown_name
from convscope.evaluation.results import Evaluation
from convscope.events import Event, Listener
from convscope.files import write_atomically
from convscope.run import Run
from convscope.training.progress import Progress

Log = Callable[[Mapping[str, float], int], None]
"""Takes values by name, and the epoch they belong to."""


def check_tracker(name: str | None) -> None:
    """Raise InputError where there is no tracker of this name, or it is not installed."""
    if name is None:
        return
    if name not in _TRACKERS:
        raise unknown_name("tracker", name, _TRACKERS)
    package = _TRACKERS[name][0]
    if importlib.util.find_spec(package) is None:
        raise InputError(f'--track {name} needs {package}: pip install "convscope[track]"')


@contextmanager
def tracked(run: Run, listen: Listener, name: str | None) -> Iterator[Listener]:
    """A context that gives a listener which tells `listen` all, and the tracker the results.

    Args:
        run: whose directory takes the tracker's files.
        listen: hears everything first.
        name: `tensorboard`, `mlflow`, or None for nothing of it.
    """
    tracker: AbstractContextManager[Log | None] = nullcontext()
    if name is not None:
        tracker = _TRACKERS[name][1](run)
    epochs = 0
    with tracker as log:

        def hear(event: Event) -> None:
            nonlocal epochs
            listen(event)
            if log is None:
                return
            if isinstance(event, Progress) and event.finished:
                epochs = int(event.finished["epoch"])
                row = {key: value for key, value in event.finished.items() if key != "epoch"}
                log(row, epochs)
            elif isinstance(event, Evaluation):
                log({"test_accuracy": event.accuracy, "test_loss": event.loss}, epochs)

        yield hear


@contextmanager
def _tensorboard(run: Run) -> Iterator[Log]:
    from tensorboard.compat.proto.event_pb2 import Event as Record
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(run.path / "tensorboard"))

    def log(values: Mapping[str, float], epoch: int) -> None:
        found = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        summary = Summary(value=found)
        writer.add_event(Record(wall_time=time.time(), step=epoch, summary=summary))
        writer.flush()

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def _mlflow(run: Run) -> Iterator[Log]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it tells its makers of its use
    os.environ.setdefault("DO_NOT_TRACK", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    folder = run.path / "mlflow"
    folder.mkdir(exist_ok=True)
    place = os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(tracking_uri=place or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    number = _mlflow_run(client, run)

    def log(values: Mapping[str, float], epoch: int) -> None:
        for key, value in values.items():
            client.log_metric(number, key, value, step=epoch)

    state = "FAILED"
    try:
        yield log
        state = "FINISHED"
    finally:
        client.set_terminated(number, state)


def _mlflow_run(client: Any, run: Run) -> str:
    """MLflow's name of this run: the one it was given when it began, or a new one."""
    file = run.path / "mlflow" / "run-id"
    if file.is_file():
        return file.read_text("utf-8").strip()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "convscope")
    known = client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else client.create_experiment(name)
    number = str(client.create_run(experiment, run_name=run.path.name).info.run_id)
    for key, value in _flat(run.document.recipe):
        client.log_param(number, key, value)
    write_atomically(file, number.encode())
    return number


def _flat(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """The recipe's fields as MLflow takes parameters: `optimizer.lr`, and text of 500 letters."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, str(value)[:500]


_TRACKERS: dict[str, tuple[str, Callable[[Run], AbstractContextManager[Log]]]] = {
    "tensorboard": ("tensorboard", _tensorboard),
    "mlflow": ("mlflow", _mlflow),
}
