"""A prediction server on loopback, in this process, and a client that talks to it."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from uvicorn.protocols.http.h11_impl import H11Protocol

from convscope.predictor import open_predictor
from convscope.serving.about import describe
from convscope.serving.app import make_app
from convscope.serving.metrics import Metrics
from convscope.serving.observing import Log
from convscope.serving.pipeline import Pipeline
from convscope.web.guard import Access
from convscope.web.place import find_place
from convscope.web.process import Process
from convscope.web.protocol import TimedProtocol

PNG = {"Content-Type": "image/png"}


@dataclass(frozen=True)
class Live:
    """A server that runs."""

    pipeline: Pipeline
    url: str
    port: int
    client: httpx.Client
    process: Process

    def predict(self, body: bytes, **query: Any) -> httpx.Response:
        return self.client.post("/predict", content=body, headers=PNG, params=query)


@contextmanager
def serving(
    model: Path,
    access: Access | None = None,
    *,
    protocol: type[H11Protocol] = TimedProtocol,
    max_body: int = 2**20,
    body_seconds: float = 20.0,
    linger_seconds: float = 0.0,
    log: Log | None = None,
    **settings: Any,
) -> Iterator[Live]:
    """A server of a run or an ONNX file on a free port; `settings` are the pipeline's."""
    predictor = open_predictor(model, threads=1)
    pipeline = Pipeline(predictor, Metrics(), **settings)
    place = find_place("127.0.0.1", 0, program="server")
    closing, ready = threading.Event(), threading.Event()
    process = Process(
        make_app(
            describe(model, predictor),
            pipeline,
            access or place.access,
            closing=closing,
            max_body=max_body,
            body_seconds=body_seconds,
            log=log,
        ),
        place,
        ready=ready.set,
        closing=closing,
        grace_seconds=20,
        linger_seconds=linger_seconds,
        protocol=protocol,
    )
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        assert ready.wait(30)
        with httpx.Client(base_url=place.origin, timeout=60, trust_env=False) as client:
            yield Live(pipeline, place.origin, place.port, client, process)
    finally:
        process.should_exit = True
        thread.join(40)
        assert not thread.is_alive()


def wait_for(condition: Any, seconds: float = 10) -> None:
    """Until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


_SAMPLE = re.compile(r'([a-z_]+)((?:\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})?) ([0-9.e+]+)')


def read_metrics(text: str) -> dict[str, float]:
    """Every sample of a page in Prometheus' text format; strict about its form."""
    found: dict[str, float] = {}
    described: set[str] = set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge", "histogram")
            described.add(name)
        elif not line.startswith("# HELP "):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert re.sub(r"_(bucket|sum|count)$", "", match[1]) in described, line
            assert match[1] + match[2] not in found, line
            found[match[1] + match[2]] = float(match[3])
    return found


def guesses(answer: httpx.Response) -> dict[str, float]:
    """Name and probability of each guess."""
    assert answer.status_code == 200, answer.text
    return {guess["name"]: guess["probability"] for guess in json.loads(answer.content)["guesses"]}
