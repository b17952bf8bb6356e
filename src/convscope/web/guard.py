"""Who may ask, and how much: the outermost layer of the server.

A page on the internet that the user happens to visit can send requests to 127.0.0.1, too. What
keeps it out, on every method and path:

- Host must name this machine. A domain name that was pointed at 127.0.0.1 (DNS rebinding) does
  not; behind a literal address or a loopback name no rebinding can stand.
- Origin, where a browser sends it, must be the very address that Host says, port included; and
  Sec-Fetch-Site must not say that another site asks, except to open the page by a link.
- Off loopback, a token that is handed out on the terminal alone: a program sends it as
  `Authorization: Bearer`, a browser opens the page with it once and keeps it in a cookie.

Bodies are counted while they stream in, one by one and all together, and must come within a time.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscope.web.answers import Refusal, json_bytes

MAX_BODY = 8 * 2**20
MAX_BODIES = 256 * 2**20
BODY_SECONDS = 20.0
LINGER_SECONDS = 1.0

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; media-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Access:
    """By which names the server may be addressed, and with which token.

    Attributes:
        hosts: names that Host may have, in lower case.
        any_address: whether Host may also be any literal IP address (a server on all of them).
        proxies: names of a proxy before the server, in lower case; its pages may come by https.
        token: what a client must show; None on loopback.
        program: the server's name in messages.
        cookie: the cookie in which a browser keeps the token.
    """

    hosts: frozenset[str] = LOOPBACK
    any_address: bool = False
    proxies: frozenset[str] = frozenset()
    token: str | None = None
    program: str = "lab"
    cookie: str = "convscope_lab"

    def names(self, host: str | None) -> bool:
        """Whether a Host header, `name` or `name:port`, names this server."""
        name = _name(host)
        if name is None:
            return False
        known = name in self.hosts or name in self.proxies
        return known or (self.any_address and _is_address(name))

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this server, opened as `host`, says this Origin."""
        origin, host = origin.lower(), host.lower()
        behind_proxy = _name(host) in self.proxies
        return origin == f"http://{host}" or (behind_proxy and origin == f"https://{host}")


def _name(host: str | None) -> str | None:
    """The name in a Host header, in lower case; None where it is none."""
    found = _HOST.fullmatch(host or "")
    return (found[1] or found[2]).lower() if found else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware: refuses what may not ask, bounds bodies, sets the headers of all answers.

    Args:
        max_body: bytes of one body, at most.
        max_bodies: bytes of all bodies that are held at once, at most.
        body_seconds: how long a body may take to come.
        open_paths: those that are answered without a token.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        *,
        max_body: int = MAX_BODY,
        max_bodies: int = MAX_BODIES,
        body_seconds: float = BODY_SECONDS,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self.app, self.access = app, access
        self.max_body, self.max_bodies, self.body_seconds = max_body, max_bodies, body_seconds
        self.open_paths = open_paths
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # there is none here
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        token = self._given_token(scope)
        guarded = _with_headers(send, scope, self._new_cookie(token) if token else None)
        holding = _Holding()
        try:
            try:
                self._check(scope, headers, token)
                body = await self._body(headers, receive, holding)
            except Refusal as refusal:
                await _refuse(refusal, guarded)
                return
            await self.app(scope, _replay(body, receive), guarded)
        finally:
            self._held -= holding.size

    def _check(self, scope: Scope, headers: Headers, token: str | None) -> None:
        """Raise Refusal unless host, origin, site and token are right."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        program = self.access.program
        if len(hosts) != 1 or not self.access.names(hosts[0]):
            words = f"this address is not the {program}'s: open the one that it printed"
            raise Refusal(421, words)
        site = headers.get("sec-fetch-site", "same-origin")
        if not all(self.access.is_own_origin(origin, hosts[0]) for origin in origins) or (
            site not in ("same-origin", "none") and not _opens_the_page(scope, headers)
        ):
            raise Refusal(403, f"another site may not use the {program}: open its own page")
        if self.access.token is None or token is not None or scope["path"] in self.open_paths:
            return
        if not self._has_bearer(headers) and not self._has_cookie(headers):
            raise Refusal(
                401,
                f"open the address that the {program} printed, with its token, or send the token "
                "as Authorization: Bearer",
                {"www-authenticate": "Bearer"},
            )

    def _given_token(self, scope: Scope) -> str | None:
        """The right token, where the address of the page carries it."""
        if self.access.token is None or scope["path"] != "/":
            return None
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        except ValueError:  # more fields than that
            return None
        return self.access.token if self._is_token(*query.get("token", [])[:1]) else None

    def _has_bearer(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(token.strip())

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return self.access.cookie in cookies and self._is_token(cookies[self.access.cookie].value)

    def _is_token(self, given: str = "") -> bool:
        return hmac.compare_digest(given.encode(), (self.access.token or "").encode())

    def _new_cookie(self, token: str) -> str:
        return f"{self.access.cookie}={token}; HttpOnly; SameSite=Strict; Path=/"

    async def _body(self, headers: Headers, receive: Receive, holding: "_Holding") -> bytes:
        """The whole body, at most `max_body` bytes, within `body_seconds`."""
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise Refusal(400, "the length of the body is no number")
        if int(length[:20]) > self.max_body:
            if "expect" not in headers:  # else it has not been sent yet
                await self._discard(receive)
            raise self._too_large()
        try:
            async with asyncio.timeout(self.body_seconds):
                return await self._read(receive, holding)
        except TimeoutError:
            raise Refusal(408, f"the body took longer than {self.body_seconds:g} s") from None

    async def _read(self, receive: Receive, holding: "_Holding") -> bytes:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the connection was closed")
            part = message.get("body", b"")
            holding.size += len(part)
            self._held += len(part)
            more = message.get("more_body", False)
            refusal = None
            if holding.size > self.max_body:
                refusal = self._too_large()
            elif self._held > self.max_bodies:
                refusal = Refusal(503, f"the {self.access.program} has no memory left: try again")
            if refusal is not None:
                if more:
                    await self._discard(receive)
                raise refusal
            parts.append(part)
            if not more:
                return b"".join(parts)

    async def _discard(self, receive: Receive) -> None:
        """Take a little more of a body that is not wanted.

        A connection that is closed while its client still sends is reset, and then the client
        may never see why.
        """
        left = self.max_body
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body", False):
                        return
                    left -= len(message.get("body", b""))

    def _too_large(self) -> Refusal:
        return Refusal(413, f"more than {self.max_body // 2**20} MB: send a smaller picture")


@dataclass
class _Holding:
    """How many bytes of its body a request holds."""

    size: int = 0


def _opens_the_page(scope: Scope, headers: Headers) -> bool:
    """Whether a link from elsewhere opens the page in a window of its own."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _with_headers(send: Send, scope: Scope, cookie: str | None) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers["Cache-Control"] = (
                "no-cache" if scope["path"].startswith("/static/") else "no-store"
            )
            if cookie is not None:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return guarded


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read, then whatever else comes (the end of the connection)."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


async def _refuse(refusal: Refusal, send: Send) -> None:
    """Answer without the application; the rest of a body is not read, so the connection ends."""
    body = json_bytes(refusal.to_json())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *((name.encode(), value.encode()) for name, value in refusal.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
