"""Who may ask the server, and how much: slow, silent, oversize, foreign, and broken requests."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import PNG, Live, serving

from convscope.web.guard import HEADERS, LOOPBACK, Access, Guard
from convscope.web.protocol import TimedProtocol
from hostile_images import encode, pixels
from made_runs import make_run

TOKEN = "right-token-0123456789"
PATHS = ("/", "/predict", "/model", "/healthz", "/metrics", "/openapi.json", "/static/serve.js")
GOOD = encode(pixels())


class Impatient(TimedProtocol):
    """The same, with less patience."""

    head_seconds = 0.3
    take_seconds = 0.3
    most_connections = 20

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # The system would take megabytes for a client that does not read.
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        super().connection_made(transport)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "digits").path


@pytest.fixture(scope="module")
def live(run: Path) -> Iterator[Live]:
    with serving(run, protocol=Impatient, body_seconds=0.4) as live:
        yield live


def connect(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.port), timeout=10)


def until_closed(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def raw(live: Live, request: bytes) -> bytes:
    with connect(live) as connection:
        connection.sendall(request)
        return until_closed(connection)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def head(live: Live, more: str = "", path: str = "/predict", method: str = "POST") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nContent-Type: image/png\r\n"
        f"{more}\r\n"
    ).encode()


def is_well(live: Live) -> bool:
    with httpx.Client(base_url=live.url, trust_env=False, timeout=20) as client:
        answer = client.post("/predict", content=GOOD, headers=PNG)
    return answer.status_code == 200


# ── slow and silent clients ─────────────────────────────────────────────────────────────────


def test_a_connection_that_says_nothing_is_closed(live: Live) -> None:
    started = time.monotonic()
    with connect(live) as connection:
        assert until_closed(connection) == b""
    assert 0.2 < time.monotonic() - started < 5


def test_a_head_that_drips_is_cut_off(live: Live) -> None:
    """Slowloris: a byte now and then, so that nothing is ever silent for long."""
    started = time.monotonic()
    with connect(live) as connection:
        answer = b""
        for byte in head(live, "X: " + "y" * 200):
            try:
                connection.send(bytes([byte]))
                time.sleep(0.02)
            except OSError:
                break
        answer = until_closed(connection)
    assert time.monotonic() - started < 3
    assert answer == b"" or status(answer) == 408


def test_a_second_head_has_its_time_too(live: Live) -> None:
    with connect(live) as connection:
        connection.sendall(head(live, path="/healthz", method="GET"))
        assert status(connection.recv(65536)) == 200
        connection.sendall(b"GET /healthz HT")
        started = time.monotonic()
        answer = until_closed(connection)
        assert time.monotonic() - started < 3
        assert status(answer) == 408


def test_a_body_that_drips_is_cut_off(live: Live) -> None:
    started = time.monotonic()
    with connect(live) as connection:
        connection.sendall(head(live, "Content-Length: 1000\r\n"))
        with contextlib.suppress(OSError):
            for _ in range(60):
                connection.send(b"x")
                time.sleep(0.02)
        assert status(until_closed(connection)) == 408
    assert time.monotonic() - started < 5


def test_a_client_that_does_not_take_its_answers_is_cut_off(live: Live) -> None:
    """Many requests, one behind the other, and nobody reads what comes back."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before: else it grows
        connection.settimeout(10)
        connection.connect(("127.0.0.1", live.port))
        request = head(live, path="/static/serve.css", method="GET")
        with pytest.raises(ConnectionError):
            pour(connection, request)
    assert is_well(live)


def pour(connection: socket.socket, request: bytes) -> None:
    """Send it again and again, for ten seconds."""
    started = time.monotonic()
    while time.monotonic() - started < 10:
        connection.sendall(request * 200)


def test_too_many_connections_are_told_to_come_again(live: Live) -> None:
    silent = [connect(live) for _ in range(30)]
    time.sleep(0.05)
    try:
        answers = [raw(live, head(live, path="/healthz", method="GET"))]
    finally:
        for connection in silent:
            connection.close()
    assert status(answers[0]) == 503
    assert b"retry-after: 1" in answers[0].lower()
    more = [connect(live) for _ in range(60)]  # more than twice as many are not listened to
    for connection in more:
        connection.close()
    time.sleep(0.1)
    assert is_well(live)


# ── how much ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sent", ["nothing", "all"])
def test_a_body_that_says_it_is_too_large(live: Live, sent: str) -> None:
    body = b"\0" * (2**20 + 1)
    expect = "Expect: 100-continue\r\n" if sent == "nothing" else ""
    request = head(live, f"{expect}Content-Length: {len(body)}\r\n")
    answer = raw(live, request + (body if sent == "all" else b""))
    assert status(answer) == 413
    assert b"more than 1 MB: send a smaller picture" in answer


def test_a_body_is_counted_while_it_streams(live: Live) -> None:
    sent = 0
    with connect(live) as connection:
        connection.sendall(head(live, "Transfer-Encoding: chunked\r\n"))
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
    assert sent < 40 * 2**20
    assert is_well(live)


def test_all_bodies_together_are_bounded() -> None:
    """Three clients send a megabyte each to a server that holds two, and none is finished."""
    answers: list[int] = []

    async def app(*_: object) -> None:
        await asyncio.sleep(0.1)

    async def one(guard: Guard) -> None:
        parts = [b"x" * 2**19] * 2

        async def receive() -> dict[str, object]:
            await asyncio.sleep(0)
            return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
        await guard(scope | {"headers": [(b"host", b"localhost")]}, receive, send)

    async def main() -> None:
        guard = Guard(app, Access(), max_bodies=2 * 2**20)
        await asyncio.gather(*(one(guard) for _ in range(3)))
        assert answers == [503]
        await asyncio.gather(*(one(guard) for _ in range(2)))  # what was held is given back
        assert answers == [503]

    asyncio.run(main())


# ── who ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_names_and_other_sites_are_refused_everywhere(
    live: Live, path: str, method: str
) -> None:
    end = "Connection: close\r\nContent-Length: 0\r\n\r\n"
    own = f"Host: 127.0.0.1:{live.port}\r\n"
    for headers, expected in (
        (f"Host: evil.example:{live.port}\r\n", 421),
        (f"{own}Origin: http://evil.example\r\n", 403),
        (f"{own}Origin: null\r\n", 403),
        (f"{own}Sec-Fetch-Site: cross-site\r\n", 403),
    ):
        answer = raw(live, f"{method} {path} HTTP/1.1\r\n{headers}{end}".encode())
        assert status(answer) == expected


def test_every_answer_has_the_headers(live: Live) -> None:
    answers = [live.client.get(path) for path in (*PATHS, "/nothing")]
    answers += [live.predict(GOOD), live.predict(b"none")]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "access-control-allow-origin" not in answer.headers


@pytest.fixture(scope="module")
def open_live(run: Path) -> Iterator[Live]:
    """As it is off loopback, with a proxy before it."""
    access = Access(
        LOOPBACK,
        any_address=True,
        proxies=frozenset({"classify.example.org"}),
        token=TOKEN,
        program="server",
        cookie="convscope_server_1",
    )
    with serving(run, access) as live:
        yield live


@pytest.mark.parametrize(
    "path", ["/predict", "/", "/model", "/metrics", "/example.png", "/nothing"]
)
@pytest.mark.parametrize("given", [None, "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_without_the_token_nothing_is_told(open_live: Live, path: str, given: str | None) -> None:
    headers = {"Authorization": given} if given else {}
    answer = httpx.get(f"{open_live.url}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json().keys() == {"error"}


def test_a_supervisor_needs_no_token(open_live: Live) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(f"{open_live.url}{path}", trust_env=False)
        assert answer.status_code == 200


def test_the_token_opens_the_door(open_live: Live) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(
        f"{open_live.url}/predict", content=GOOD, headers=PNG | bearer, trust_env=False
    )
    assert answer.status_code == 200
    with httpx.Client(base_url=open_live.url, trust_env=False) as browser:
        page = browser.get("/", params={"token": TOKEN})
        assert page.status_code == 200
        assert TOKEN not in page.text
        assert "$CONVSCOPE_TOKEN" in page.text
        assert browser.post("/predict", content=GOOD, headers=PNG).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("classify.example.org", None, 200),
        ("classify.example.org", "https://classify.example.org", 200),
        ("classify.example.org:8443", "https://classify.example.org:8443", 200),
        ("classify.example.org", "http://classify.example.org", 200),
        ("classify.example.org", "https://example.org", 403),
        ("classify.example.org.evil.example", None, 421),
        ("192.0.2.7:8422", "http://192.0.2.7:8422", 200),
        ("192.0.2.7:8422", "https://192.0.2.7:8422", 403),
    ],
)
def test_a_proxy_is_one_more_name(
    open_live: Live, host: str, origin: str | None, expected: int
) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {TOKEN}"}
    headers |= {"Origin": origin} if origin else {}
    answer = httpx.get(f"{open_live.url}/model", headers=headers, trust_env=False)
    assert answer.status_code == expected


# ── broken requests ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3\r\n\r\n",
        b"GET\r\n\r\n",
        b"\0" * 2000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 600_000 + b"\r\n\r\n",
    ],
    ids=lambda request: re.sub(rb"[^A-Za-z0-9]+", b" ", request[:80])[-24:].decode(),
)
def test_what_is_no_request_is_answered_and_does_no_harm(live: Live, request_: bytes) -> None:
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = raw(live, request_)
    assert answer == b"" or 400 <= status(answer) < 506
    if len(request_) < 1000:
        assert answer
    assert is_well(live)


def test_a_client_that_goes_in_the_middle_does_no_harm(live: Live) -> None:
    for cut in (10, 60, 150):
        with connect(live) as connection:
            connection.sendall((head(live, "Content-Length: 500\r\n") + GOOD)[:cut])
    with connect(live) as connection:  # its answer will find nobody
        connection.sendall(head(live, f"Content-Length: {len(GOOD)}\r\n") + GOOD)
    assert is_well(live)
