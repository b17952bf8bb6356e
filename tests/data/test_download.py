import contextlib
import errno
import gzip
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from convscope.data.download import Limits, Resource, cache_directory, fetch, is_intact
from convscope.errors import ConvscopeError, InputError

CONTENT = bytes(range(256)) * 4000
PACKED = gzip.compress(CONTENT)
LIMITS = Limits(timeout=2.0, slow_seconds=0.5, slow_bytes=2000, allow_http=True)

Answer = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """A loopback server whose answers a test chooses, by path; it remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        with contextlib.suppress(OSError):  # the client went away
            self.server.answers[self.path](self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    @property
    def start(self) -> int:
        """Where the client asks the server to begin."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))
        assert match, "a range of another form"
        return int(match[1])


def whole(content: bytes, *, ranges: bool = True, send: int | None = None) -> Answer:
    """Serve `content`; of what is left only `send` bytes, then hang up."""

    def answer(handler: Handler) -> None:
        start = handler.start if ranges else 0
        if start and start >= len(content):
            handler.begin(416, {})
            return
        rest = content[start:]
        headers = {"Content-Length": str(len(rest))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.begin(206 if start else 200, headers)
        handler.wfile.write(rest[:send])

    return answer


def refuse(status: int) -> Answer:
    return lambda handler: handler.begin(status, {"Content-Length": "0"})


def redirect(url: str) -> Answer:
    return lambda handler: handler.begin(302, {"Location": url, "Content-Length": "0"})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def resource(*urls: str, content: bytes = CONTENT, packed: bool = True) -> Resource:
    digest = hashlib.sha256(content).hexdigest()
    return Resource(name="data.bin", mirrors=urls, bytes=len(content), sha256=digest, packed=packed)


def leftovers(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def test_fetches_once(server: Server, tmp_path: Path) -> None:
    wanted = resource(server.url("/a", whole(CONTENT)))
    seen: list[tuple[int, int]] = []
    path = fetch(wanted, tmp_path / "new", progress=lambda *now: seen.append(now), limits=LIMITS)
    assert path == tmp_path / "new" / "data.bin"
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ["data.bin"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    fetch(wanted, tmp_path / "new", limits=LIMITS)
    assert len(server.asked) == 1


def test_the_payload_counts_not_its_packing(server: Server, tmp_path: Path) -> None:
    for level in (1, 9):
        packed = gzip.compress(CONTENT, level)
        url = server.url(f"/{level}", whole(packed))
        path = fetch(resource(url, packed=False), tmp_path / str(level), limits=LIMITS)
        assert path.read_bytes() == packed


def test_a_truncating_server_is_resumed(server: Server, tmp_path: Path) -> None:
    wanted = resource(server.url("/a", whole(CONTENT, send=300_000)))
    path = fetch(wanted, tmp_path, limits=LIMITS)
    assert path.read_bytes() == CONTENT
    assert [ask for _, ask in server.asked] == [
        None,
        "bytes=300000-",
        "bytes=600000-",
        "bytes=900000-",
    ]


def test_a_server_that_always_ends_early(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", whole(CONTENT, send=1000, ranges=False))
    with pytest.raises(ConvscopeError, match=r"/a: it ended after 1,000 of 1,024,000 bytes\)"):
        fetch(resource(url), tmp_path, limits=LIMITS)
    assert leftovers(tmp_path) == [".data.bin.part"]  # never under its own name
    fetch(resource(server.url("/b", whole(CONTENT))), tmp_path, limits=LIMITS)
    assert server.asked[-1] == ("/b", "bytes=1000-")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".data.bin.part").write_bytes(CONTENT[:5000])
    wanted = resource(server.url("/a", whole(CONTENT, ranges=False)))
    assert fetch(wanted, tmp_path, limits=LIMITS).read_bytes() == CONTENT
    assert server.asked == [("/a", "bytes=5000-")]


@pytest.mark.parametrize("left", [b"foreign", CONTENT[:-1] + b"x", CONTENT + b"more", CONTENT])
def test_a_part_of_something_else(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / ".data.bin.part").write_bytes(left)
    wanted = resource(server.url("/a", whole(CONTENT)))
    assert fetch(wanted, tmp_path, limits=LIMITS).read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["data.bin"]


def test_two_packings_are_not_mixed(server: Server, tmp_path: Path) -> None:
    """The first mirror ends early, the second has packed the same data in another way."""
    other = gzip.compress(CONTENT, 1)
    urls = (
        server.url("/a", whole(PACKED, send=100, ranges=False)),
        server.url("/b", whole(other)),
    )
    path = fetch(resource(*urls, packed=False), tmp_path, limits=LIMITS)
    assert path.read_bytes() == other


def test_the_wrong_part_is_refused(server: Server, tmp_path: Path) -> None:
    def answer(handler: Handler) -> None:
        handler.begin(206, {"Content-Range": "bytes 0-9/10", "Content-Length": "10"})
        handler.wfile.write(b"0123456789")

    (tmp_path / ".data.bin.part").write_bytes(CONTENT[:5000])
    with pytest.raises(ConvscopeError, match="it answers with another part than asked for"):
        fetch(resource(server.url("/a", answer)), tmp_path, limits=LIMITS)


def test_every_mirror_is_tried_and_named(server: Server, tmp_path: Path) -> None:
    wrong = CONTENT[:-1] + b"?"
    bad = (
        server.url("/forbidden", refuse(403)),
        server.url("/gone", refuse(404)),
        server.url("/wrong", whole(wrong)),
        server.url("/empty", whole(b"")),
        "http://127.0.0.1:1/closed",
    )
    with pytest.raises(ConvscopeError) as caught:
        fetch(resource(*bad), tmp_path, limits=LIMITS)
    message = str(caught.value)
    assert caught.value.exit_code == 1
    assert message.startswith("cannot download data.bin (")
    for expected in (
        "/forbidden: 403 Forbidden;",
        "/gone: 404 Not Found;",
        "/wrong: its SHA-256 is not the expected one;",
        "/empty: its SHA-256 is not the expected one;",
        "/closed: [Errno 111] Connection refused)" if sys.platform == "linux" else "/closed: ",
        f"or put the file into {tmp_path} by hand",
    ):
        assert expected in message
    assert "\n" not in message
    assert leftovers(tmp_path) == []
    good = server.url("/good", whole(CONTENT))
    assert fetch(resource(*bad, good), tmp_path, limits=LIMITS).read_bytes() == CONTENT


def test_a_server_that_says_nothing(server: Server, tmp_path: Path) -> None:
    release = threading.Event()

    def silent(_: Handler) -> None:
        release.wait(10)

    def stops(handler: Handler) -> None:
        handler.begin(200, {"Content-Length": str(len(CONTENT))})
        handler.wfile.write(CONTENT[:100])
        release.wait(10)

    for answer in (silent, stops):
        started = time.monotonic()
        limits = Limits(timeout=0.2, allow_http=True)
        with pytest.raises(ConvscopeError, match="/a: no answer in time"):
            fetch(resource(server.url("/a", answer)), tmp_path, limits=limits)
        assert time.monotonic() - started < 5
    release.set()


def test_a_server_that_drips(server: Server, tmp_path: Path) -> None:
    """Each byte comes in time, but the file would take hours."""
    stop = threading.Event()

    def drip(handler: Handler) -> None:
        handler.begin(200, {"Content-Length": str(len(CONTENT))})
        while not stop.wait(0.05):
            handler.wfile.write(b"x")

    started = time.monotonic()
    with pytest.raises(ConvscopeError, match=r"/a: it stalled: \d+ bytes in 0.5 s"):
        fetch(resource(server.url("/a", drip)), tmp_path, limits=LIMITS)
    stop.set()
    assert time.monotonic() - started < 10


def test_a_server_that_never_ends(server: Server, tmp_path: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.begin(200, {})
        while True:
            handler.wfile.write(bytes(100_000))

    url = server.url("/a", endless)
    with pytest.raises(ConvscopeError, match="/a: it sends more than 2,052,096 bytes"):
        fetch(resource(url), tmp_path, limits=LIMITS)
    url = server.url("/b", lambda handler: handler.begin(200, {"Content-Length": str(10**15)}))
    with pytest.raises(ConvscopeError, match="/b: it offers 1,000,000,000,000,000 bytes; at most"):
        fetch(resource(url), tmp_path / "b", limits=LIMITS)


def test_rubbish_instead_of_http(server: Server, tmp_path: Path) -> None:
    def rubbish(handler: Handler) -> None:
        handler.wfile.write(b"\x80rubbish\n\n")

    url = server.url("/a", rubbish)
    with pytest.raises(ConvscopeError, match="/a: "):
        fetch(resource(url), tmp_path, limits=LIMITS)
    url = server.url("/b", lambda handler: handler.begin(200, {"Content-Length": "9" * 5000}))
    with pytest.raises(ConvscopeError, match="/b: its SHA-256 is not the expected one"):
        fetch(resource(url), tmp_path, limits=LIMITS)


def test_https_only(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", whole(CONTENT))
    for bad in (url, "ftp://127.0.0.1/a", f"file://{tmp_path}/a", "http://example.org/a"):
        limits = Limits(allow_http=bad != url)
        with pytest.raises(ConvscopeError, match=f"{re.escape(bad)} is not https"):
            fetch(resource(bad), tmp_path, limits=limits)
    assert server.asked == []


@pytest.mark.parametrize("target", ["http://example.org/a", "file:///etc/passwd", "ftp://x/a"])
def test_redirects_to_https_only(server: Server, tmp_path: Path, target: str) -> None:
    with pytest.raises(
        ConvscopeError, match=rf"/a: .*{re.escape(target)}.* (is not https|is not allowed)"
    ):
        fetch(resource(server.url("/a", redirect(target))), tmp_path, limits=LIMITS)


def test_redirects_are_followed_but_not_for_ever(server: Server, tmp_path: Path) -> None:
    good = server.url("/good", whole(CONTENT))
    assert fetch(resource(server.url("/a", redirect(good))), tmp_path, limits=LIMITS).is_file()
    loop = server.url("/loop", redirect("/loop"))
    with pytest.raises(ConvscopeError, match="/loop: 302 The HTTP server returned a redirect"):
        fetch(resource(loop), tmp_path / "loop", limits=LIMITS)


def test_a_wrong_file_in_its_place_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT[:-5])
    wanted = resource(server.url("/a", whole(CONTENT)))
    assert not is_intact(tmp_path / "data.bin", wanted)
    assert fetch(wanted, tmp_path, limits=LIMITS).read_bytes() == CONTENT


def test_a_file_put_there_by_hand(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(gzip.compress(CONTENT, 3))
    fetch(resource("https://unused.invalid", packed=False), tmp_path)


def test_is_intact_of_a_bomb(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(50 << 20)))
    assert not is_intact(tmp_path / "bomb", resource(packed=False))
    (tmp_path / "rubbish").write_bytes(b"\x1f\x8brubbish")
    assert not is_intact(tmp_path / "rubbish", resource(packed=False))


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"no space left on the disk for .*data.bin: free some"):
        fetch(resource(server.url("/a", whole(CONTENT))), tmp_path, limits=LIMITS)
    assert not (tmp_path / "data.bin").exists()


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot write .*data.bin: .*give another place"):
        fetch(resource("https://unused.invalid"), tmp_path / "file" / "cache")


def test_many_at_once_download_once(server: Server, tmp_path: Path) -> None:
    """Processes that want the same file wait for the first, and take what it brought."""

    def slow(handler: Handler) -> None:
        time.sleep(0.5)
        whole(CONTENT)(handler)

    url = server.url("/a", slow)
    program = (
        "import sys, pathlib\n"
        "from convscope.data.download import Limits, Resource, fetch\n"
        "wanted = Resource(name='data.bin', mirrors=(sys.argv[1],), bytes=int(sys.argv[2]),"
        " sha256=sys.argv[3])\n"
        "path = fetch(wanted, pathlib.Path(sys.argv[4]), limits=Limits(allow_http=True))\n"
        "print(len(path.read_bytes()))\n"
    )
    digest = hashlib.sha256(CONTENT).hexdigest()
    command = [sys.executable, "-c", program, url, str(len(CONTENT)), digest, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in running] == [str(len(CONTENT))] * 3
    assert len(server.asked) == 1


def test_a_killed_download_is_resumed(server: Server, tmp_path: Path) -> None:
    arrived = threading.Event()

    def half(handler: Handler) -> None:
        handler.begin(200, {"Content-Length": str(len(CONTENT))})
        handler.wfile.write(CONTENT[:500_000])
        arrived.wait(20)

    url = server.url("/a", half)
    program = (
        "import sys, pathlib\n"
        "from convscope.data.download import Limits, Resource, fetch\n"
        "wanted = Resource(name='data.bin', mirrors=(sys.argv[1],), bytes=10**6, sha256='0' * 64)\n"
        "fetch(wanted, pathlib.Path(sys.argv[2]), limits=Limits(allow_http=True))\n"
    )
    part = tmp_path / ".data.bin.part"
    with subprocess.Popen([sys.executable, "-c", program, url, str(tmp_path)]) as process:
        while not (part.exists() and part.stat().st_size > 400_000):
            time.sleep(0.02)
        process.kill()
    arrived.set()
    assert not (tmp_path / "data.bin").exists()
    size = part.stat().st_size
    wanted = resource(server.url("/a", whole(CONTENT)))
    assert fetch(wanted, tmp_path, limits=LIMITS).read_bytes() == CONTENT
    assert server.asked[-1] == ("/a", f"bytes={size}-")


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("CONVSCOPE_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_directory() == tmp_path / "xdg" / "convscope"
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_directory() == tmp_path / ".cache" / "convscope"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_directory() == tmp_path / "Library" / "Caches" / "convscope"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache_directory() == tmp_path / "Local" / "convscope" / "cache"
