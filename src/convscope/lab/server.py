"""Run the lab: find a port, say where it is, open the browser, serve until Ctrl-C."""

import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from convscope.errors import InputError
from convscope.lab.app import make_app
from convscope.lab.background import is_at_work
from convscope.lab.endpoints import Server
from convscope.lab.guard import LOOPBACK, Access
from convscope.text import printable

PORT, MORE_PORTS = 8421, 50
MOST_CONNECTIONS = 100
GRACE_SECONDS = 2


@dataclass(frozen=True)
class Place:
    """Where the lab listens, and how it may be addressed.

    Attributes:
        url: for the browser, with the token if there is one.
    """

    listening: socket.socket
    port: int
    access: Access
    url: str


def find_place(host: str, port: int) -> Place:
    """A listening socket on `host`, at `port` or the next free one.

    Off loopback everyone on the network could ask, so a random token is asked of them.

    Raises:
        InputError: no such host, or no free port.
    """
    family, address = _address(host)
    listening = _listen(family, address, port)
    port = listening.getsockname()[1]
    ip = ipaddress.ip_address(address)
    names = {host.lower(), address} | LOOPBACK
    if ip.is_loopback:
        shown = "127.0.0.1" if host == "localhost" and family == socket.AF_INET else host
        return Place(
            listening, port, Access(frozenset(names)), f"http://{_bracketed(shown)}:{port}/"
        )
    everywhere = ip.is_unspecified
    machine = socket.gethostname().lower()
    names |= {machine, f"{machine}.local"}
    access = Access(
        frozenset(names),
        any_address=everywhere,
        token=secrets.token_urlsafe(24),
        cookie=f"convscope_lab_{port}",  # cookies know no ports
    )
    shown = machine if everywhere else host
    return Place(
        listening, port, access, f"http://{_bracketed(shown)}:{port}/?token={access.token}"
    )


def _address(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(
            f"no host '{printable(host, 80)}': give an address of this machine, such as 127.0.0.1"
        ) from None
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, str(address[0])


def _listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Ports from `port` on; 0 lets the system choose."""
    if not 0 <= port <= 65535:
        raise InputError(f"the port is {port}; allowed: 0 to 65535")
    last = min(port + MORE_PORTS, 65535) if port else 0
    for number in range(port, last + 1):
        # With the protocol named, asyncio sets TCP_NODELAY; without it answers wait 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":  # elsewhere this would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, number))
            listening.listen(128)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            continue
        return listening
    raise InputError(
        f"no port of {printable(address, 80)} from {port} to {last} can be used ({reason}): "
        "give another --port or --host"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def has_display() -> bool:
    """Whether a browser can be shown: elsewhere than on Linux always."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


class _Uvicorn(uvicorn.Server):
    """Uvicorn, telling those who wait for events that it ends, and calling when it serves."""

    def __init__(self, config: uvicorn.Config, server: Server, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._server, self._ready = server, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._server.closing.set()
        # What is cut off now is no error: keep uvicorn from saying so.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        super().handle_exit(sig, frame)


def serve(
    run: Path | None, *, host: str = "127.0.0.1", port: int = PORT, browser: bool = True
) -> None:
    """Serve the lab until Ctrl-C or SIGTERM; then every training is stopped, its state saved.

    Prints one line with the address.

    Raises:
        InputError: no such run, host or port.
    """
    if run is not None:
        from convscope.run import open_run

        open_run(run)  # says at once, and on the terminal, what is wrong with it
    server = Server(run)
    place = find_place(host, port)
    config = uvicorn.Config(
        make_app(server, place.access),
        http="h11",
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )

    def ready() -> None:
        print(f"lab  {place.url}  (Ctrl-C ends it)", flush=True)
        if browser and has_display():
            threading.Thread(target=webbrowser.open, args=(place.url,), daemon=True).start()

    try:
        _Uvicorn(config, server, ready).run(sockets=[place.listening])
    except KeyboardInterrupt:  # uvicorn hands the signal on when all is closed
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second one leaves a child
        server.close()
        place.listening.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_at_work():  # an attribution of a large network takes long, and nobody waits for it
        sys.stdout.flush()
        os._exit(0)
