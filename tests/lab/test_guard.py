"""Every promise on who may ask and how much, against a real server, in raw bytes where need be."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.web.guard import HEADERS, LOOPBACK, Access, Guard
from lab_server import Live, serve_digits, serving
from made_runs import make_run

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
PATHS = ("/", "/api/runs", "/api/runs/digits/forward", "/static/index.html", "/nothing")
POOL = b'{"values":[[1,2],[3,4]],"kind":"max","size":2}'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    yield from serve_digits(tmp_path_factory)


def raw(port: int, request: bytes) -> bytes:
    """What the server answers to these very bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def ask(lab: Live, method: str, path: str, headers: str) -> bytes:
    request = f"{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n"
    return raw(lab.port, request.encode("latin-1"))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machine_may_be_addressed_by_its_own_names(lab: Live, name: str) -> None:
    assert status(ask(lab, "GET", "/api/runs", f"Host: {name}:{lab.port}\r\n")) == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_a_name_that_was_pointed_here_is_refused(lab: Live, method: str, path: str) -> None:
    """DNS rebinding: the request arrives at 127.0.0.1, but Host says whose page it came from."""
    answer = ask(lab, method, path, f"Host: evil.example:{lab.port}\r\n")
    assert status(answer) == 421


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1, evil.example",
        "127.0.0.1:80:80",
        "127.0.0.1:port",
        "0.0.0.0",
        "10.0.0.1",
        "0x7f.1",
        "2130706433",
        "[::ffff:10.0.0.1]",
        "[::1",
        "::1",
        "localhost.",
        "127.0.0.1/",
    ],
)
def test_other_hosts_are_refused(lab: Live, host: str) -> None:
    assert status(ask(lab, "GET", "/api/runs", f"Host: {host}\r\n")) in (400, 421)


def test_no_host_and_two_hosts_are_refused(lab: Live) -> None:
    assert status(ask(lab, "GET", "/api/runs", "")) == 400
    two = f"Host: 127.0.0.1:{lab.port}\r\nHost: evil.example\r\n"
    assert status(ask(lab, "GET", "/api/runs", two)) == 400
    old = raw(lab.port, b"GET /api/runs HTTP/1.0\r\n\r\n")
    assert status(old) == 421


@given(st.text(max_size=40))
def test_no_text_but_the_names_passes(host: str) -> None:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name.strip("[]").lower() not in LOOPBACK:
        assert not Access().names(host)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_another_origin_is_refused_on_every_method(lab: Live, method: str, path: str) -> None:
    headers = f"Host: 127.0.0.1:{lab.port}\r\nOrigin: http://evil.example\r\n"
    assert status(ask(lab, method, path, headers)) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "https://127.0.0.1:{port}",
        "http://localhost:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "http://evil.example/http://127.0.0.1:{port}",
        "file://",
        "",
    ],
)
def test_an_origin_that_is_not_quite_the_own_is_refused(lab: Live, origin: str) -> None:
    """A server on another port of this machine is another origin."""
    shown = origin.format(port=lab.port)
    headers = f"Host: 127.0.0.1:{lab.port}\r\nOrigin: {shown}\r\n"
    assert status(ask(lab, "POST", "/api/bench/pool", headers)) == 403


def test_the_own_origin_is_welcome(lab: Live) -> None:
    for name in ("127.0.0.1", "localhost"):
        address = f"{name}:{lab.port}"
        answer = httpx.post(
            f"http://127.0.0.1:{lab.port}/api/bench/pool",
            content=POOL,
            headers={
                "Host": address,
                "Origin": f"http://{address}",
                "Content-Type": "application/json",
                "Sec-Fetch-Site": "same-origin",
            },
            trust_env=False,
        )
        assert answer.json()["output"] == [[4.0]]


def test_two_origins_are_refused(lab: Live) -> None:
    own = f"http://127.0.0.1:{lab.port}"
    headers = f"Host: 127.0.0.1:{lab.port}\r\nOrigin: {own}\r\nOrigin: http://evil.example\r\n"
    assert status(ask(lab, "GET", "/api/runs", headers)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_get_neither_data_nor_scripts(lab: Live, site: str) -> None:
    """An <img> or <script> of another page: no Origin, but the browser says where it stands."""
    headers = f"Host: 127.0.0.1:{lab.port}\r\nSec-Fetch-Site: {site}\r\n"
    for path in ("/api/runs", "/static/index.html", "/"):
        assert status(ask(lab, "GET", path, headers)) == 403
    link = headers + "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
    assert status(ask(lab, "GET", "/", link)) != 403  # a link may open the page
    assert status(ask(lab, "GET", "/api/runs", link)) == 403
    framed = headers + "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"
    assert status(ask(lab, "GET", "/", framed)) == 403


@pytest.mark.parametrize("path", [*PATHS, "/api/runs/digits", "/api/runs/none", "/static/none.js"])
def test_every_answer_has_the_headers(lab: Live, path: str) -> None:
    answer = lab.client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    kept = "no-cache" if path.startswith("/static/") else "no-store"
    assert answer.headers["cache-control"] == kept


def test_refusals_have_the_headers_too(lab: Live) -> None:
    answer = ask(lab, "GET", "/api/runs", "Host: evil.example\r\n").lower()
    for name, value in HEADERS.items():
        assert f"{name}: {value}".lower().encode() in answer


def test_a_body_that_says_it_is_too_large_is_not_read(lab: Live) -> None:
    request = (
        f"POST /api/runs/digits/forward HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\n"
        f"Content-Length: {8 * 2**20 + 1}\r\n\r\n"
    )
    answer = raw(lab.port, request.encode())
    assert status(answer) == 413
    assert b"more than 8 MB: send a smaller picture" in answer


def test_a_body_is_counted_while_it_streams(lab: Live) -> None:
    """No length is announced, and it would never end: the answer comes after 8 MB."""
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", lab.port), timeout=20) as connection:
        connection.sendall(
            b"POST /api/runs/digits/forward?height=1&width=1&channels=1 HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\nTransfer-Encoding: chunked\r\n\r\n" % lab.port
        )
        sent = 0
        try:
            for _ in range(100_000):
                connection.sendall(chunk)
                sent += 65536
        except OSError:  # the server has closed the connection
            pass
        assert sent < 40 * 2**20
        assert sent >= 8 * 2**20
    assert lab.client.get("/api/runs").status_code == 200


def test_eight_megabytes_are_taken(lab: Live) -> None:
    body = b"\0" * (2048 * 4096)
    answer = lab.client.post(
        "/api/runs/digits/forward",
        params={"height": 2048, "width": 4096, "channels": 1},
        content=body,
    )
    assert answer.status_code == 200


async def _through_guard(receive: Any, **settings: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def app(*_: Any) -> None:
        raise AssertionError("the application must not be asked")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/bench/pool",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await Guard(app, Access(), **settings)(scope, receive, send)
    return sent


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    started = time.monotonic()
    sent = asyncio.run(_through_guard(receive, body_seconds=0.05))
    assert sent[0]["status"] == 408
    assert time.monotonic() - started < 5


def test_a_body_that_drips_is_cut_off() -> None:
    """Each part comes soon, but all of them together take too long."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert asyncio.run(_through_guard(receive, body_seconds=0.1))[0]["status"] == 408


def test_a_length_that_is_no_number_is_refused(lab: Live) -> None:
    for length in (b"-1", b"1e9", b"0x10", "٣".encode()):
        request = b"POST /api/bench/pool HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n"
        assert status(raw(lab.port, request % length)) == 400


def test_there_is_no_websocket(lab: Live) -> None:
    headers = (
        f"Host: 127.0.0.1:{lab.port}\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    assert status(ask(lab, "GET", "/api/ws", headers)) in (403, 404)

    async def never(*_: Any) -> None:
        raise AssertionError

    async def closed() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await Guard(never, Access())({"type": "websocket", "headers": []}, never, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(closed()) == [{"type": "websocket.close", "code": 1008}]


# ── the token ───────────────────────────────────────────────────────────────────────────────

TOKEN = "right-token-0123456789"


@pytest.fixture(scope="module")
def open_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A lab as it is off loopback: every literal address is right, and a token is asked for."""
    root = tmp_path_factory.mktemp("open") / "runs"
    make_run(root / "digits")
    access = Access(LOOPBACK | {"my-machine"}, any_address=True, token=TOKEN, cookie="lab_1")
    with serving(root, access=access) as live:
        yield live


@pytest.mark.parametrize("path", ["/api/runs", "/static/index.html", "/", "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "lab_1=wrong"},
        {"Cookie": "lab_1="},
        {"Cookie": f"other={TOKEN}"},
        {"Cookie": f"lab_1={TOKEN[:-1]}"},
        {"Cookie": ";;;=\x7f"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": TOKEN},
    ],
)
def test_without_the_token_nothing_is_answered(
    open_lab: Live, path: str, headers: dict[str, str]
) -> None:
    answer = httpx.get(f"{open_lab.url.rstrip('/')}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert "with its token" in answer.json()["error"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        "token=wrong",
        "token=",
        "token",
        f"Token={TOKEN}",
        "token=é",
        f"token={TOKEN}&" + "a=1&" * 30,
    ],
)
def test_a_wrong_token_gives_no_cookie(open_lab: Live, query: str) -> None:
    answer = httpx.get(f"{open_lab.url}?{query}", trust_env=False)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_program_sends_the_token_as_bearer(open_lab: Live) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = httpx.get(
            f"{open_lab.url}api/runs",
            headers={"Authorization": f"{scheme} {TOKEN}"},
            trust_env=False,
        )
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers


def test_the_token_is_taken_once_and_kept_in_a_cookie(open_lab: Live) -> None:
    with httpx.Client(base_url=open_lab.url, trust_env=False) as client:
        first = client.get("/", params={"token": TOKEN})
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.get("/api/runs").status_code == 200
        assert client.get("/api/runs", headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.get(f"{open_lab.url}api/runs?token={TOKEN}", trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("host", "welcome"),
    [
        ("192.168.1.20:8421", True),
        ("[fe80::1]:8421", True),
        ("my-machine:8421", True),
        ("evil.example", False),
        ("192.168.1.20.evil.example", False),
        ("0x7f.1", False),
    ],
)
def test_off_loopback_names_are_still_checked(open_lab: Live, host: str, welcome: bool) -> None:
    headers = f"Host: {host}\r\nCookie: lab_1={TOKEN}\r\n"
    assert (status(ask(open_lab, "GET", "/api/runs", headers)) == 200) is welcome


# ── how much ────────────────────────────────────────────────────────────────────────────────


def test_many_silent_connections_do_not_stop_the_others(lab: Live) -> None:
    silent = [socket.create_connection(("127.0.0.1", lab.port)) for _ in range(20)]
    for connection in silent:
        connection.sendall(b"POST /api/bench/pool HTTP/1.1\r\nHost: localhost\r\n")
    try:
        assert lab.client.get("/api/runs").status_code == 200
    finally:
        for connection in silent:
            connection.close()


def test_garbage_is_answered_and_does_no_harm(lab: Live) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3\r\n\r\n",
        b"GET\r\n\r\n",
        b"\0" * 2000 + b"\r\n\r\n",
    ):
        assert status(raw(lab.port, garbage)) == 400
    headers = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000
    thread = threading.Thread(target=_swallow, args=(lab.port, headers))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert lab.client.get("/api/runs").status_code == 200


def _swallow(port: int, request: bytes) -> None:
    try:
        raw(port, request)
    except OSError:  # closed while it was being sent
        return
