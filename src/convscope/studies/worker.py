"""A process that does jobs: a line of JSON in for each, a line out when it is done.

Two such processes with one thread each use two cores better than one process with two threads:
the steps of a small network are too short to share. When standard input ends, so does the worker.
"""

import json
import os
import signal
import sys
from pathlib import Path

from convscope.studies.jobs import run_job, write_row
from convscope.training.compute import use_threads


def main(place: str) -> None:
    """Do every job that comes on standard input, for the store at `place`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    use_threads(1)
    store = Path(place)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            row = run_job(order["job"], order["key"], store / "work")
            write_row(store / "rows", row)
            answer = {"key": order["key"], "error": ""}
        except Exception as error:  # told to the parent, which stops
            answer = {"key": order["key"], "error": f"{type(error).__name__}: {error}"}
        try:
            print(json.dumps(answer), flush=True)
        except BrokenPipeError:
            os._exit(0)  # the parent is gone; the row is kept, and nobody is told
