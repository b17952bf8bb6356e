"""Where a server listens, under which names, and with which token."""

import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from convscope.errors import InputError
from convscope.text import printable
from convscope.web.guard import LOOPBACK, Access

MORE_PORTS = 50
BACKLOG = 512
LEAST_TOKEN = 16
TOKEN_VARIABLE = "CONVSCOPE_TOKEN"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


@dataclass(frozen=True)
class Place:
    """Where a server listens, and how it may be addressed.

    Attributes:
        origin: `http://host:port`, as a client on this machine or, off loopback, another writes it.
    """

    listening: socket.socket
    port: int
    access: Access
    origin: str

    @property
    def url(self) -> str:
        """For the browser, with the token if there is one."""
        token = f"?token={self.access.token}" if self.access.token else ""
        return f"{self.origin}/{token}"


def given_token() -> str | None:
    """The token that the user has set in the environment, if there is one."""
    return os.environ.get(TOKEN_VARIABLE) or None


def find_place(
    host: str,
    port: int,
    *,
    program: str = "lab",
    names: Iterable[str] = (),
    token: str | None = None,
    more_ports: int = MORE_PORTS,
) -> Place:
    """A listening socket on `host`, at `port` or the next free one.

    Off loopback everyone on the network could ask, so a token is asked of them: a random one, or
    the one that is given. On loopback there is one only if it is given.

    Args:
        program: the server's name in messages and in its cookie.
        names: more names by which it may be addressed, such as that of a proxy before it.
        token: at least 16 characters of those that a URL takes as they are.
        more_ports: how many ports after `port` are tried.

    Raises:
        InputError: no such host, no free port, a name or a token that cannot be one.
    """
    named = frozenset(_checked_name(name) for name in names)
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
        raise InputError("the token may have letters, digits and . _ ~ - alone: make another")
    if token is not None and len(token) < LEAST_TOKEN:
        raise InputError(
            f"the token has {len(token)} characters; allowed: at least {LEAST_TOKEN}, such as "
            f"{secrets.token_urlsafe(24)}"
        )
    family, address = _address(host)
    listening = _listen(family, address, port, more_ports)
    port = listening.getsockname()[1]
    ip = ipaddress.ip_address(address)
    own = {host.lower(), address} | LOOPBACK
    if ip.is_loopback:
        shown = "127.0.0.1" if host == "localhost" and family == socket.AF_INET else host
    else:
        machine = socket.gethostname().lower()
        own |= {machine, f"{machine}.local"}
        shown = machine if ip.is_unspecified else host
        token = token or secrets.token_urlsafe(24)
    access = Access(
        frozenset(own),
        any_address=ip.is_unspecified,
        proxies=named,
        token=token,
        program=program,
        cookie=f"convscope_{program}_{port}",  # cookies know no ports
    )
    return Place(listening, port, access, f"http://{_bracketed(shown)}:{port}")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{printable(name, 80)}' is no host name: give it as in classify.example.org, "
            "without scheme and port"
        )
    return name.lower()


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


def _listen(family: socket.AddressFamily, address: str, port: int, more: int) -> socket.socket:
    """Ports from `port` on; 0 lets the system choose."""
    if not 0 <= port <= 65535:
        raise InputError(f"the port is {port}; allowed: 0 to 65535")
    last = min(port + more, 65535) if port else 0
    for number in range(port, last + 1):
        # With the protocol named, asyncio sets TCP_NODELAY; without it answers wait 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":  # elsewhere this would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, number))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            continue
        return listening
    where = printable(address, 80)
    tried = (
        f"no port of {where} from {port} to {last} can be used"
        if more
        else f"port {port} of {where} cannot be used"
    )
    raise InputError(f"{tried} ({reason}): give another --port or --host")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
