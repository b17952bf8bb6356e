"""Where a server listens: ports, names, tokens."""

import socket

import pytest

from convscope.errors import InputError
from convscope.web import place as web_place
from convscope.web.place import find_place


def test_a_taken_port_is_answered_by_the_next() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place = find_place("127.0.0.1", port)
        place.listening.close()
        assert port < place.port <= port + web_place.MORE_PORTS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    place = find_place(host, 0)
    place.listening.close()
    assert place.access.token is None
    assert not place.access.any_address
    assert place.url == f"http://127.0.0.1:{place.port}/"


def test_off_loopback_a_random_token_is_asked_for() -> None:
    places = [find_place("0.0.0.0", 0) for _ in range(2)]
    for place in places:
        place.listening.close()
        assert place.access.token is not None
        assert len(place.access.token) >= 32
        assert place.url.endswith(f"/?token={place.access.token}")
        assert place.access.any_address
        assert str(place.port) in place.access.cookie
    assert places[0].access.token != places[1].access.token


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no-such-host.invalid", 0, "no host 'no-such-host.invalid'"),
        ("192.0.2.1", 0, "can be used"),
        ("127.0.0.1", 70_000, "the port is 70000; allowed: 0 to 65535"),
        ("127.0.0.1", -1, "the port is -1"),
        ("\x1b[2J", 0, r"no host '\\x1b\[2J'"),
    ],
)
def test_a_place_that_cannot_be_had(host: str, port: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_place(host, port)
