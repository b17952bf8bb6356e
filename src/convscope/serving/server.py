"""Serve a trained network: open it, warm it up, say where it is, answer until a signal."""

import contextlib
import shlex
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.environment import available_cores
from convscope.errors import InputError
from convscope.predictor import open_predictor
from convscope.serving.about import About, describe
from convscope.serving.app import MAX_BODY, make_app
from convscope.serving.example import example_picture
from convscope.serving.metrics import Metrics
from convscope.serving.observing import line_of_json
from convscope.serving.pipeline import BATCH, MOST_WAITING, Pipeline
from convscope.text import printable
from convscope.web.place import Place, find_place, given_token
from convscope.web.process import LINGER_SECONDS, Process

PORT = 8422
GRACE_SECONDS = 40
"""Longer than any request may take."""

_MOST = {"batch": 1024, "waiting": 100_000, "body": 256 * 2**20, "threads": 1024}
_OPTIONS = {"waiting": " (--queue)", "body": " (--max-mb, here in bytes)"}
"""Those whose names the command line does not have."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a server takes on.

    Attributes:
        batch: pictures that go through the network together, at most.
        waiting: pictures on their way at once, at most; more are told to come again.
        body: bytes of a picture's file, at most.
        threads: of the computation of one batch. With 1 each core computes a batch of its own,
            which gives the most pictures a second; more answer a single large picture sooner.
    """

    batch: int = BATCH
    waiting: int = MOST_WAITING
    body: int = MAX_BODY
    threads: int = 1

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InputError(
                    f"{name}{_OPTIONS.get(name, '')} is {value:,}; allowed: 1 to {most:,}"
                )


def serve(
    model: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    names: Sequence[str] = (),
    limits: Limits | None = None,
    access_log: bool = False,
) -> None:
    """Answer what a network sees in pictures, over HTTP, until SIGINT or SIGTERM.

    When the network is warm, prints on standard output where it is and how to ask it. On a signal
    it takes no more connections and finishes what it took.

    Args:
        model: a run directory, or a file that `export` wrote.
        host: where to listen. Off loopback a token is asked of everyone: that of the environment
            variable CONVSCOPE_TOKEN, or a random one that is printed.
        port: 0 lets the system choose.
        names: more names by which clients may address it, such as a proxy's.
        access_log: a line of JSON on standard error for each request.

    Raises:
        InputError: no such model, host or port.
    """
    limits = limits or Limits()
    path = Path(model)
    predictor = open_predictor(path, threads=limits.threads)
    about = describe(path, predictor)
    place = find_place(host, port, program="server", names=names, token=given_token(), more_ports=0)
    pipeline = Pipeline(
        predictor,
        Metrics(),
        batch=limits.batch,
        most_waiting=limits.waiting,
        networks=max(1, available_cores() // limits.threads),
    )
    pipeline.warm_up(example_picture(about.preprocessing))
    closing = threading.Event()
    app = make_app(
        about,
        pipeline,
        place.access,
        closing=closing,
        max_body=limits.body,
        log=_log if access_log else None,
    )
    process = Process(
        app,
        place,
        ready=lambda: print(greeting(about, place), flush=True),
        closing=closing,
        grace_seconds=GRACE_SECONDS,
        linger_seconds=LINGER_SECONDS,
    )
    process.run()


def greeting(about: About, place: Place) -> str:
    """What is served, where, and a command that asks it."""
    how_good = f", {about.accuracy.accuracy:.1%} right" if about.accuracy else ""
    lines = [
        f"serve  {printable(about.model, 60)}, {len(about.classes):,} classes{how_good}  "
        f"{place.url}  (Ctrl-C ends it)"
    ]
    if place.access.token:
        lines.append(
            "       open to the network: whoever has the token may ask. The connection is not "
            "encrypted; for that, put a proxy with TLS before it"
        )
    return "\n".join([*lines, "try    " + curl_command(place.origin, place.access.token)])


def curl_command(origin: str, token: str | None) -> str:
    """A shell command that fetches the example picture and has it classified."""
    secret = f" -H {shlex.quote(f'Authorization: Bearer {token}')}" if token else ""
    return (
        f"curl -s{secret} {origin}/example.png | curl -s{secret} --data-binary @- "
        f"-H 'Content-Type: image/png' {origin}/predict"
    )


def _log(entry: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        sys.stderr.write(line_of_json(entry))
        sys.stderr.flush()
