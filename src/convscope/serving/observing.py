"""Count every answer and, if wanted, write a line of JSON about it."""

import datetime
import json
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscope.serving.metrics import Metrics
from convscope.text import printable

Log = Callable[[dict[str, Any]], None]


class Observed:
    """The outermost ASGI middleware.

    Args:
        paths: those that are counted under their own name.
        timed: the one whose time is measured.
        log: takes a line, for each request.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, paths: frozenset[str], timed: str, log: Log | None
    ) -> None:
        self.app, self.metrics = app, metrics
        self.paths, self.timed, self.log = paths, timed, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # what uvicorn answers where nothing else did

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        self.metrics.requests[path if path in self.paths else "other", status] += 1
        if path == self.timed:
            self.metrics.seconds.observe(seconds)
        if self.log:
            now = datetime.datetime.now(datetime.UTC)
            client = scope.get("client")
            self.log(
                {
                    "time": now.isoformat(timespec="milliseconds"),
                    "client": client[0] if client else None,
                    "method": printable(scope["method"], 20),
                    "path": printable(path),  # without the query, where a token may stand
                    "status": status,
                    "milliseconds": round(seconds * 1000, 2),
                }
            )


def line_of_json(entry: dict[str, Any]) -> str:
    """A line of ASCII: no name in it can move a terminal's cursor."""
    return json.dumps(entry, separators=(",", ":")) + "\n"
