"""Trainings that the page starts: each a process of its own, `python -m convscope train`.

A process can be stopped at any time without harm to the server, and what it computes is exactly
what the command line computes. Its lines become events; `metrics.jsonl` gives the epochs.
"""

import json
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convscope import pipeline
from convscope.data.catalog import CATALOG
from convscope.errors import InputError, unknown_name
from convscope.lab.runs import Runs
from convscope.lab.samples import at_hand
from convscope.listing import list_datasets, list_recipes
from convscope.run import open_run, read_metrics
from convscope.text import printable
from convscope.web.answers import Refusal

MOST_EVENTS, MOST_SETTINGS = 20_000, 50
STOP_SECONDS = 15.0

_WORK = re.compile(r"  ([a-z][a-z -]*) ([0-9,]+)/([0-9,]+): ")


class Job:
    """One training, from its start to its end, resumed or not.

    Attributes:
        id: its name for the clients.
        path: the run directory.
        status: running, stopping, stopped, complete or failed.
        events: all that happened, in order, numbered from 1.
    """

    def __init__(self, path: Path, recipe: str, data: str, seed: int) -> None:
        self.id = secrets.token_hex(6)
        self.path, self.recipe, self.data, self.seed = path, recipe, data, seed
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.status = "stopped"
        self.events: list[dict[str, Any]] = []
        self._epochs = 0
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def start(self, arguments: Sequence[str]) -> None:
        """Run `convscope train` with `arguments`, and follow it in a thread."""
        with self._lock:
            self._process = subprocess.Popen(
                # -P: the directory it is in may hold files named like modules.
                [sys.executable, "-P", "-m", "convscope", "train", *arguments, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
                start_new_session=True,  # Ctrl-C in the terminal is for the server to hand on
            )
            self.status = "running"
        threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

    @property
    def active(self) -> bool:
        return self.status in ("running", "stopping")

    def stop(self) -> None:
        """Ask it to finish its step, save its state and end; `wait` waits for that."""
        with self._lock:
            if self.status == "running" and self._process is not None:
                self.status = "stopping"
                self._process.send_signal(signal.SIGINT)

    def wait(self, seconds: float) -> None:
        """Wait for its end; after `seconds` it is ended by force: its last checkpoint stays."""
        process = self._process
        if process is None:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _follow(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        assert process.stdout is not None
        last = ""
        for line in process.stderr:
            text = printable(line.rstrip("\n"), 500)
            last = text or last
            self._read_epochs()
            self._tell(_event_of(text))
        output = process.stdout.read()
        code = process.wait()
        self._read_epochs()
        process.stderr.close()
        process.stdout.close()
        ended = {0: "complete", 130: "stopped"}.get(code, "failed")
        if ended == "failed" and self.status == "stopping":
            ended = "stopped"
        self._end(ended, last.removeprefix("error: ") if ended == "failed" else None, output)

    def _read_epochs(self) -> None:
        """An event for each epoch that is new in the run's metrics."""
        try:
            rows = read_metrics(open_run(self.path))
        except (InputError, OSError):
            return
        for row in rows[self._epochs :]:
            self._tell({"kind": "epoch", "row": row})
        self._epochs = max(self._epochs, len(rows))

    def _end(self, status: str, error: str | None, output: str) -> None:
        result = None
        if status == "complete":
            try:
                result = json.loads(output)["accuracy"]
            except (ValueError, KeyError, TypeError):
                result = None
        self.status = status
        self._tell({"kind": "end", "status": status, "error": error, "accuracy": result})

    def _tell(self, event: Mapping[str, Any]) -> None:
        if len(self.events) < MOST_EVENTS or event["kind"] in ("epoch", "end"):
            self.events.append({"n": len(self.events) + 1, **event})


class Jobs:
    """All trainings of this server, one at a time.

    Args:
        runs: the runs that the lab shows; new ones are made in its root.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, request: Mapping[str, Any]) -> Job:
        """Begin a training: `recipe`, `data`, `settings` (a list of FIELD=VALUE), `seed`.

        Raises:
            InputError: a recipe, data or setting that cannot be used.
            Refusal: 409, another training is going on.
        """
        recipe, name = request.get("recipe"), request.get("data")
        settings, seed = request.get("settings") or [], request.get("seed")
        names = [entry.name for entry in list_recipes()]
        if recipe not in names:
            raise unknown_name("recipe", printable(recipe, 80), names)
        if not isinstance(settings, list) or not all(isinstance(one, str) for one in settings):
            raise InputError('"settings" must be a list of texts such as "epochs=3"')
        if len(settings) > MOST_SETTINGS or any(len(one) > 2000 for one in settings):
            raise InputError(f"more than {MOST_SETTINGS} settings, or one that is too long")
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
            raise InputError("the seed must be a whole number from 0")
        source = self._source(name)
        chosen = pipeline.resolve(recipe, data=source, settings=settings, seed=seed)
        if chosen.data != source:
            raise InputError("the data are chosen by name: leave them out of the settings")
        with self._lock:
            self._refuse_second()
            path = self._new_path(recipe, name or source)
            job = Job(path, recipe, name or chosen.data, chosen.seed)
            self._jobs[job.id] = job
            arguments = [recipe, f"--data={source}", f"--seed={chosen.seed}", f"--out={path}"]
            job.start(arguments + [f"--set={one}" for one in settings])
        return job

    def resume(self, job_id: str) -> Job:
        """Go on with a training that was stopped."""
        job = self.find(job_id)
        with self._lock:
            self._refuse_second()
            if job.status == "complete":
                raise Refusal(409, "this training is complete: there is nothing to resume")
            if not (job.path / "run.json").is_file():
                raise Refusal(409, "this training never began: start a new one")
            job.start([f"--resume={job.path}"])
        return job

    def stop(self, job_id: str) -> Job:
        """Ask a training to save its state and end."""
        job = self.find(job_id)
        job.stop()
        return job

    def find(self, job_id: str) -> Job:
        """Raises Refusal, 404, for an unknown one."""
        if job_id not in self._jobs:
            raise Refusal(404, f"no training '{printable(job_id, 40)}'")
        return self._jobs[job_id]

    def entry(self, job: Job) -> dict[str, Any]:
        """A job as JSON."""
        known = (job.path / "run.json").is_file()
        return {
            "job": job.id,
            "recipe": printable(job.recipe, 80),
            "data": printable(job.data, 80),
            "seed": job.seed,
            "status": job.status,
            "run": self._runs.id_of(job.path) if known else None,
            "started": job.started,
        }

    def to_json(self) -> dict[str, Any]:
        """Every training, the newest first."""
        return {"jobs": [self.entry(job) for job in reversed(self._jobs.values())]}

    def events(self, job: Job, after: int) -> dict[str, Any]:
        """What `GET …/events` answers: the events after number `after`."""
        status = job.status  # first: an event that comes meanwhile is never lost
        found = [dict(event) for event in job.events[max(0, after) :]]
        for event in found:
            if event["kind"] == "end":
                event["run"] = self.entry(job)["run"]
        return {"events": found, "status": status}

    def close(self) -> None:
        """End every training, each after its state is saved; no process is left."""
        active = [job for job in self._jobs.values() if job.active]
        for job in active:
            job.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for job in active:
            job.wait(max(0.1, deadline - time.monotonic()))

    def datasets(self) -> dict[str, Any]:
        """What can be trained on: names of the catalog, and folders of earlier runs."""
        found = [
            {"name": one.name, "description": one.summary, "available": at_hand(one.name)}
            for one in list_datasets()
        ]
        for name, path in self._runs.data_sources().items():
            if name not in CATALOG:
                words = f"the images of earlier runs, in {printable(path, 120)}"
                found.append({"name": name, "description": words, "available": True})
        return {"datasets": found}

    def _source(self, name: object) -> str:
        """What `--data` says for a name that the page chose."""
        sources = {entry: entry for entry in CATALOG} | {
            known: path for known, path in self._runs.data_sources().items() if known not in CATALOG
        }
        if not isinstance(name, str) or name not in sources:
            raise unknown_name("data set", printable(name, 80), map(printable, sources))
        return sources[name]

    def _refuse_second(self) -> None:
        if any(job.active for job in self._jobs.values()):
            raise Refusal(409, "a training is going on: stop it, or wait for its end")

    def _new_path(self, recipe: str, data: str) -> Path:
        short = re.sub(r"[^A-Za-z0-9]+", "-", Path(data).name)[:40].strip("-") or "data"
        moment = datetime.now().strftime("%Y%m%d-%H%M%S")
        return self._runs.root / f"{recipe}-{short}-{moment}-{secrets.token_hex(2)}"


def recipes() -> dict[str, Any]:
    """What `GET /api/recipes` answers."""
    return {"recipes": [{"name": e.name, "description": e.summary} for e in list_recipes()]}


def _event_of(line: str) -> dict[str, Any]:
    """A line of the training as an event: progress where it counts something."""
    found = _WORK.match(line)
    if found is None:
        return {"kind": "line", "text": line.strip()}
    done, total = (int(number.replace(",", "")) for number in found.group(2, 3))
    return {
        "kind": "progress",
        "label": found[1],
        "done": done,
        "total": total,
        "text": line.strip(),
    }
