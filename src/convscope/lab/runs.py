"""Runs by their id: what a client names is looked up in a list, and never becomes a path.

Listed are the run that was given on the command line, those under `runs/`, and the example that
the package carries.
"""

import hashlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.comparison import read_results
from convscope.errors import InputError
from convscope.predictor import EXAMPLE
from convscope.run import Run, open_run
from convscope.text import printable
from convscope.web.answers import Refusal

MOST_RUNS = 500

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class _Seen:
    """A run as it was read, and the state of its files then."""

    stamps: tuple[_Stamp | None, ...]
    run: Run
    accuracy: float | None


class Runs:
    """The runs that the lab can show.

    Args:
        given: the run named on the command line.
        root: the folder whose folders are runs.
        example: the run that the package carries.
    """

    def __init__(
        self, given: Path | None = None, root: Path = Path("runs"), example: Path = EXAMPLE
    ) -> None:
        self.given = open_run(given).path.resolve() if given else None
        self.root, self.example = root.resolve(), example.resolve()
        self._seen: dict[Path, _Seen] = {}
        self._known: dict[str, Path] = {}
        self._lock = threading.Lock()

    def find(self, run_id: str) -> Run:
        """The run of this id.

        Raises:
            Refusal: 404, there is none.
        """
        if run_id not in self._known:
            self._known = {self.id_of(path): path for path in self._paths()}
        seen = self._read(self._known[run_id]) if run_id in self._known else None
        if seen is not None:
            return seen.run
        raise Refusal(404, f"no run '{printable(run_id, 80)}': choose one of the list")

    def id_of(self, path: Path) -> str:
        """The id of the run in `path`: its name where that is plain, else with a sum of the path.

        It depends on nothing else, so that a link to a run stays right.
        """
        path = path.resolve()
        if path == self.example:
            return "example"
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name)[:80].strip(".") or "run"
        if path.parent == self.root and plain == path.name and plain != "example":
            return plain
        return f"{plain}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"

    def current(self) -> str | None:
        """The id of the run to show first: the given one, the newest that can be shown, or the
        example; None where there is none."""
        if self.given is not None:
            return self.id_of(self.given)
        listed = [path for path in self._paths() if path != self.example]
        ready = [
            (seen.run.document.created, path)
            for path in listed
            if (seen := self._read(path)) and seen.run.weights.is_file()
        ]
        if ready:
            return self.id_of(max(ready)[1])
        return "example" if self._read(self.example) else None

    def to_json(self) -> dict[str, Any]:
        """What `GET /api/runs` answers, the newest first, the example last."""
        found = [(path, seen) for path in self._paths() if (seen := self._read(path))]
        found.sort(key=lambda one: one[1].run.document.created, reverse=True)
        found.sort(key=lambda one: one[0] == self.example)
        return {
            "runs": [self._entry(path, seen) for path, seen in found],
            "current": self.current(),
        }

    def data_sources(self) -> dict[str, str]:
        """Folders and archives that listed runs were trained on: name → path."""
        sources: dict[str, str] = {}
        for path in self._paths():
            seen = self._read(path)
            if seen and Path(seen.run.document.data.source).is_absolute():
                sources.setdefault(seen.run.document.data.name, seen.run.document.data.source)
        return {name: path for name, path in sources.items() if os.path.exists(path)}

    def _entry(self, path: Path, seen: _Seen) -> dict[str, Any]:
        document = seen.run.document
        return {
            "id": self.id_of(path),
            "name": printable(path.name if path != self.example else "example", 120),
            "model": printable(document.model.name, 80),
            "data": printable(document.data.name, 80),
            "status": document.status,
            "test_accuracy": seen.accuracy,
            "created": printable(document.created, 40),
            "ready": seen.run.weights.is_file(),
        }

    def _paths(self) -> list[Path]:
        """Every folder that may be a run: given, newest under the root, example."""
        try:
            with os.scandir(self.root) as entries:
                folders = [Path(entry.path) for entry in entries if _is_run(entry)]
        except OSError:
            folders = []
        folders.sort(key=lambda path: path.name)
        folders.sort(key=_changed, reverse=True)
        found = [self.given] if self.given else []
        found += [path for path in folders[:MOST_RUNS] if path.resolve() != self.given]
        if self.given != self.example:
            found.append(self.example)
        return found

    def _read(self, path: Path) -> _Seen | None:
        """The run in `path`, read again only when its files changed; None where it cannot be."""
        stamps = (_stamp(path / "run.json"), _stamp(path / "results.json"))
        with self._lock:
            seen = self._seen.get(path)
        if seen is not None and seen.stamps == stamps:
            return seen
        try:
            run = open_run(path)
        except (InputError, OSError):
            return None
        seen = _Seen(stamps, run, _accuracy(run))
        with self._lock:
            self._seen[path] = seen
        return seen


def _is_run(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir() and os.path.isfile(os.path.join(entry.path, "run.json"))
    except OSError:
        return False


def _changed(path: Path) -> int:
    stamp = _stamp(path / "run.json")
    return stamp[0] if stamp else 0


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _accuracy(run: Run) -> float | None:
    try:
        return read_results(run).accuracy
    except (InputError, OSError):
        return None
