"""HTTP/1.1 as uvicorn speaks it, with an end to waiting for slow or silent clients.

uvicorn waits for the first byte of a request's head, for the last one, and for a client that does
not take its answer as long as the connection lasts: a few hundred idle sockets would shut out
everyone else (slowloris). Bodies have their time in `guard`.
"""

import asyncio
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from convscope.web.answers import json_bytes

HEAD_SECONDS = 10.0
TAKE_SECONDS = 20.0
MOST_CONNECTIONS = 256
"""Twice as many are accepted, the second half only to be told to come again."""

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class TimedProtocol(H11Protocol):
    """One connection. Its numbers are those above; tests make them smaller in a subclass."""

    head_seconds = HEAD_SECONDS
    take_seconds = TAKE_SECONDS
    most_connections = MOST_CONNECTIONS

    _head_timer: asyncio.TimerHandle | None = None
    _take_timer: asyncio.TimerHandle | None = None
    _spoke = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        others = len(self.connections)
        if others > 2 * self.most_connections:
            transport.abort()
            return
        if others > self.most_connections:
            self.app = _busy
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        self._spoke = True
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_head_timer()
        elif self._head_timer is None:  # the head has begun
            self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_take_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._take_timer = self.loop.call_later(self.take_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_take_timer()
        super().resume_writing()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_take_timer(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def _give_up(self) -> None:
        if self._spoke and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
        self.transport.close()


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer where there are too many connections."""
    del scope, receive
    body = json_bytes({"error": "too many connections: try again"})
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    start: Any = {"type": "http.response.start", "status": 503, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
