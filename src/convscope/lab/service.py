"""What the lab can do, as plain functions of Python values; `app` brings them to the network.

Importing this loads torch; the server answers before that.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from convscope.environment import available_cores
from convscope.explain.attribution import attribute
from convscope.explain.interventions import replaceable
from convscope.explain.provenance import provenance_of
from convscope.explain.receptive import field_of
from convscope.lab import mistakes, samples
from convscope.lab.answers import one_tensor
from convscope.lab.jobs import Jobs
from convscope.lab.layers import step_of
from convscope.lab.neighbours import neighbours
from convscope.lab.runs import Runs
from convscope.lab.session import Picture, Session
from convscope.run import epoch_weights, read_metrics
from convscope.text import printable
from convscope.web.answers import Refusal

MOST_SESSIONS, MOST_THREADS = 4, 4


class Lab:
    """The runs, those of them that are opened, and the trainings."""

    def __init__(self, given: Path | None, root: Path = Path("runs")) -> None:
        self.runs = Runs(given, root)
        self.jobs = Jobs(self.runs)
        self._sessions: OrderedDict[tuple[str, int], Session] = OrderedDict()
        self._lock, self._opening = threading.Lock(), threading.Lock()
        torch.set_num_threads(max(1, min(MOST_THREADS, available_cores())))

    def warm_up(self) -> None:
        """Open the run that is shown first, and run it once: the first request is then fast."""
        current = self.runs.current()
        if current is not None:
            assert self.session(current).layers

    def session(self, run_id: str) -> Session:
        """An opened run; the last few stay open, until their weights change.

        Args:
            run_id: a run of the list, or `run@3`, the same with its weights after epoch 3.

        Raises:
            Refusal: 404, no such run or epoch; 409, it has no weights yet.
            InputError: it is damaged.
        """
        name, epoch = _run_and_epoch(run_id)
        run = self.runs.find(name)
        path = run.weights if epoch is None else run.path / epoch_weights(epoch)
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            what = "trained weights yet" if epoch is None else f"weights of epoch {epoch}"
            status = 409 if epoch is None else 404
            raise Refusal(status, f"the run '{printable(name, 80)}' has no {what}") from None
        key = (run_id, changed)
        session = self._opened(key)
        if session is not None:
            return session
        first = None if epoch is None or not run.weights.exists() else self.session(name)
        with self._opening:
            session = self._opened(key) or Session(run, epoch, first)
            with self._lock:
                self._sessions[key] = session
                while len(self._sessions) > MOST_SESSIONS:
                    self._sessions.popitem(last=False)
        return session

    def _opened(self, key: tuple[str, int]) -> Session | None:
        with self._lock:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def describe(self, run_id: str) -> dict[str, Any]:
        """What `GET /api/runs/{id}` answers."""
        session = self.session(run_id)
        document = session.run.document
        channels, height, width = document.preprocessing.input_shape
        results = None if session.epoch else mistakes.stored_results(session.run)
        return {
            "id": run_id,
            "epoch": session.epoch,
            "epochs": session.run.epochs,
            "name": printable(session.run.path.name, 120),
            "status": document.status,
            "model": {
                "name": printable(document.model.name, 80),
                "arguments": document.model.arguments,
            },
            "classes": list(session.classes),
            "input": {"channels": channels, "height": height, "width": width},
            "preprocessing": document.preprocessing.model_dump(mode="json"),
            "layers": session.layers,
            "metrics": read_metrics(session.run),
            "results": None
            if results is None
            else {
                "n": results.n,
                "accuracy": results.accuracy,
                "accuracy_interval": list(results.accuracy_interval),
                "loss": results.loss,
                "macro_f1": results.macro_f1,
            },
            "recipe": document.recipe,
            "data": printable(document.data.name, 80),
            "has_data": samples.has_data(session.run),
            "splits": dict(document.data.sizes),
            "replaceable": replaceable(document.model.name),
        }

    def provenance(self, session: Session, picture: Picture, layer: str, unit: str) -> Any:
        """What `GET …/unit` answers."""
        steps = session.traced(picture).steps
        step_of(steps, layer)
        return provenance_of(steps, layer, _numbers(unit)).to_json()

    def field(self, session: Session, layer: str, row: int, column: int) -> Any:
        """What `GET …/field` answers."""
        step_of(session.blank, layer)
        return field_of(session.blank, layer, row, column).to_json()

    def attribution(
        self, session: Session, picture: Picture, method: str, class_index: int
    ) -> bytes:
        """What `GET …/attribution` answers."""
        with session.network() as network:
            found = attribute(network, picture.tensor, class_index, method)
        return one_tensor("map", found)

    def neighbours(
        self, session: Session, picture: Picture, features: Any, count: int
    ) -> dict[str, Any]:
        """What `GET …/neighbours` answers."""
        with session.network() as network:
            return neighbours(features, network, picture.tensor, session.classes, count)

    def mistakes(self, session: Session) -> Mapping[str, Any] | None:
        """What `GET …/mistakes` answers, where the run was evaluated; else None."""
        found = None if session.epoch else mistakes.stored_results(session.run)
        return None if found is None else mistakes.summary(found)


def _run_and_epoch(run_id: str) -> tuple[str, int | None]:
    """`digits@3` is run `digits` after epoch 3. No id of a run has an @ in it.

    Raises:
        Refusal: 404, what follows the @ is no number.
    """
    name, at, epoch = run_id.partition("@")
    if not at:
        return name, None
    if not (epoch.isascii() and epoch.isdigit() and len(epoch) < 10):
        raise Refusal(404, f"no epoch '{printable(epoch, 40)}': write run@3")
    return name, int(epoch)


def _numbers(text: str) -> tuple[int, ...]:
    """`3,0,12` as numbers.

    Raises:
        Refusal: 400, another form.
    """
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise Refusal(400, f"unit '{printable(text, 40)}'; write map,row,column or index: 0,3,4")
    return tuple(map(int, parts))
