"""Do many jobs on all cores, each once, whatever cuts the work short.

Jobs go to worker processes with one thread each. A worker writes the row of a finished job before
it tells of it: after kill -9 nothing that was finished is done again.
"""

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from convscope.environment import can_start_python, physical_cores, python_command
from convscope.errors import ConvscopeError
from convscope.studies.jobs import read_row, run_job, write_row
from convscope.text import printable
from convscope.training.compute import use_threads

Job = Mapping[str, Any]
Told = Callable[[int, int], None]
_LEFTOVER = re.compile(r"[0-9a-f]{32}-([0-9]{1,9})")  # KEY-PROCESS


def do_jobs(
    jobs: Mapping[str, Job], store: Path, *, workers: int = 0, told: Told | None = None
) -> None:
    """Do every job whose row is not there yet; the first ones first.

    Args:
        jobs: by key.
        store: the directory that holds `rows` and `work`.
        workers: processes; 0 is one for each physical core.
        told: called with (done, all) after each.

    Raises:
        ConvscopeError: a job failed otherwise than in its training.
    """
    rows = store / "rows"
    rows.mkdir(parents=True, exist_ok=True)
    (store / "work").mkdir(exist_ok=True)
    _remove_leftovers(store / "work")
    told = told or _ignore
    left = [key for key in jobs if read_row(rows, key) is None]
    done = len(jobs) - len(left)
    told(done, len(jobs))
    if not left:
        return
    count = min(workers or physical_cores(), len(left))
    if not can_start_python():
        use_threads(1)
        for key in left:
            write_row(rows, run_job(jobs[key], key, store / "work"))
            done += 1
            told(done, len(jobs))
        return
    with _Team(count, store) as team:
        for key in left:
            team.orders.put({"key": key, "job": dict(jobs[key])})
        for _ in left:
            answer = team.answers.get()
            if answer["error"]:
                raise ConvscopeError(
                    f"a job of the study failed: {printable(answer['error'], 600)}"
                )
            done += 1
            told(done, len(jobs))


def _remove_leftovers(work: Path) -> None:
    """Remove what killed processes left, and nothing else that somebody keeps there."""
    for place in work.iterdir():
        ours = _LEFTOVER.fullmatch(place.name)
        if ours and not _is_running(int(ours[1])):
            shutil.rmtree(place, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where asking by a signal would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _ignore(done: int, total: int) -> None:
    del done, total


class _Team:
    """Worker processes, and a thread for each that hands it one job at a time."""

    def __init__(self, count: int, store: Path) -> None:
        self.orders: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        words = python_command("convscope.studies.worker", str(store.resolve()))
        self.processes = [
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]

        self.threads = [
            threading.Thread(target=self._serve, args=(process,), daemon=True)
            for process in self.processes
        ]

    def __enter__(self) -> "_Team":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            for process in self.processes:
                process.kill()  # rows are written whole or not at all
        for _ in self.threads:
            self.orders.put(None)
        for thread, process in zip(self.threads, self.processes, strict=True):
            thread.join()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what was written last went nowhere
                        stream.close()

    def _serve(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        while (order := self.orders.get()) is not None:
            try:
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except (OSError, ValueError):
                answer = ""
            if not answer:
                self.answers.put({"key": order["key"], "error": "its process ended"})
                return
            self.answers.put(json.loads(answer))
        process.stdin.close()


def finished_rows(keys: Sequence[str], store: Path) -> dict[str, dict[str, Any]]:
    """The rows of those jobs that are done."""
    found = {key: read_row(store / "rows", key) for key in keys}
    return {key: row for key, row in found.items() if row is not None}
