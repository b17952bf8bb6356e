"""Run a server: uvicorn, from the first connection to an end that loses no request."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from convscope.web.place import BACKLOG, Place
from convscope.web.protocol import TimedProtocol

LINGER_SECONDS, LOOK_SECONDS = 1.0, 0.02


class Process(uvicorn.Server):
    """Uvicorn on a place that was found, quiet, with its end in two steps.

    SIGTERM or SIGINT: no new connections; `closing` is set, so that answers say that the
    connection ends with them (`Farewell`); connections that wait for their next request are kept
    a moment longer, for one that may be on its way. Then uvicorn's own end: whatever was taken is
    answered, within `grace_seconds`. A second Ctrl-C ends at once.

    Args:
        ready: called once, when connections are answered.
        linger_seconds: how long silent connections are kept.
    """

    def __init__(
        self,
        app: ASGIApp,
        place: Place,
        *,
        ready: Callable[[], None],
        closing: threading.Event,
        grace_seconds: int,
        linger_seconds: float = 0.0,
        protocol: type[H11Protocol] = TimedProtocol,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=grace_seconds,
        )
        super().__init__(config)
        self._place, self._ready, self._closing = place, ready, closing
        self._linger = linger_seconds

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal; SIGINT does not come out of it as KeyboardInterrupt."""
        try:
            super().run(sockets or [self._place.listening])
        except KeyboardInterrupt:  # uvicorn hands the signal on when all is closed
            pass
        finally:
            self._place.listening.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # What is cut off now is no error: keep uvicorn from saying so.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._closing.set()  # not before: who is told to come again must not be let in again
        end = time.monotonic() + self._linger
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(LOOK_SECONDS)
        await super().shutdown(sockets)


class Farewell:
    """ASGI middleware: once `closing` is set, every answer ends its connection, and says so."""

    def __init__(self, app: ASGIApp, closing: threading.Event) -> None:
        self.app, self.closing = app, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and self.closing.is_set():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self.app(scope, receive, last if scope["type"] == "http" else send)
