"""A bounded load generator for the benchmarks of the server: HTTP/1.1 over loopback, by asyncio."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HOST = "127.0.0.1"
MOST_CONNECTIONS, MOST_SECONDS, ANSWER_SECONDS = 256, 600.0, 60.0


@dataclass(frozen=True)
class Request:
    """The bytes of one request, and what its sender wants to remember of it."""

    data: bytes
    note: object = None


@dataclass(frozen=True)
class Answer:
    """What came back. `status` is 0 where the connection ended without an answer."""

    request: Request
    status: int
    body: bytes = b""
    seconds: float = 0.0
    closes: bool = False


@dataclass
class Load:
    """What a load gave.

    Attributes:
        seconds: from the first request to the last answer.
        refused: whether a connection could not be made any more.
    """

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0
    refused: bool = False

    def count(self, *statuses: int) -> int:
        return sum(answer.status in statuses for answer in self.answers)


def post(
    body: bytes,
    port: int,
    *,
    path: str = "/predict",
    kind: str = "image/png",
    method: str = "POST",
    host: str = "",
    more: str = "",
) -> bytes:
    """The bytes of a request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host or f'{HOST}:{port}'}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode("latin-1") + body


async def load(
    port: int, take: Callable[[], Request | None], *, connections: int, seconds: float
) -> Load:
    """Ask on so many connections at once, each its next request when the last was answered.

    Ends when `take` has no more requests, the time is over, or nobody listens any more.
    """
    if not (1 <= connections <= MOST_CONNECTIONS and 0 < seconds <= MOST_SECONDS):
        raise SystemExit(
            f"allowed: up to {MOST_CONNECTIONS} connections and {MOST_SECONDS:g} seconds"
        )
    found = Load()
    started = time.perf_counter()
    clients = [_Client(port, take, found, started + seconds) for _ in range(connections)]
    await asyncio.gather(*(client.run() for client in clients))
    found.seconds = time.perf_counter() - started
    return found


class _Client:
    def __init__(
        self, port: int, take: Callable[[], Request | None], found: Load, end: float
    ) -> None:
        self._port, self._take, self._found, self._end = port, take, found, end
        self._connection: _Connection | None = None

    async def run(self) -> None:
        while time.perf_counter() < self._end:
            if self._connection is None and not await self._connect():
                return
            request = self._take()
            if request is None:
                break
            assert self._connection is not None
            answer = await self._connection.ask(request)
            self._found.answers.append(answer)
            if answer.closes:
                self._connection.close()
                self._connection = None
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            _, self._connection = await loop.create_connection(_Connection, HOST, self._port)
        except OSError:
            self._found.refused = True
            return False
        return True


class _Connection(asyncio.Protocol):
    """Sends a request, and reads its answer, one at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: Request | None = None
        self._began = 0.0
        self._answer: asyncio.Future[Answer] | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: Request) -> Answer:
        if self._ended:
            return Answer(request, 0, closes=True)
        self._request, self._began = request, time.perf_counter()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request.data)
        try:
            return await asyncio.wait_for(self._answer, ANSWER_SECONDS)
        except TimeoutError:
            return Answer(request, 0, b"no answer in time", closes=True)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._request is None:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        self._buffer.clear()
        closes = b"connection: close" in head
        self._give(int(head.split(b" ", 2)[1]), body, closes=closes)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended = True
        self._give(0, b"", closes=True)

    def _give(self, status: int, body: bytes, *, closes: bool) -> None:
        request, self._request = self._request, None
        if request is not None and self._answer is not None and not self._answer.done():
            seconds = time.perf_counter() - self._began
            self._answer.set_result(Answer(request, status, body, seconds, closes))
