"""How much is computed at once: ten clients that draw must not starve the page.

Two computations at a time, of which one may be long (attributions, measuring test images), so
that a short one always finds a place soon. Others wait, and after ten seconds are sent away.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from starlette.requests import Request

from convscope.lab.background import at_work
from convscope.web.answers import Refusal

PLACES = 2
WAIT_SECONDS = 10.0

T = TypeVar("T")


def working(function: Callable[[], T]) -> Callable[[], T]:
    """`function`, counted as work while it runs."""

    def run() -> T:
        with at_work():
            return function()

    return run


class Turnstile:
    """Runs functions in threads, `places` at a time, one less of the long ones."""

    def __init__(self, places: int = PLACES, wait_seconds: float = WAIT_SECONDS) -> None:
        self._places = asyncio.Semaphore(places)
        self._long = asyncio.Semaphore(max(1, places - 1))
        self._wait = wait_seconds

    async def run(self, request: Request, function: Callable[[], T], *, long: bool = False) -> T:
        """What `function` returns, computed in a thread.

        A request whose client has gone while it waited is not computed: who draws has long sent
        the next one.

        Raises:
            Refusal: 503, no place in time; 499, nobody waits any more.
        """
        doors = [self._long, self._places] if long else [self._places]
        waited = any(door.locked() for door in doors)
        passed: list[asyncio.Semaphore] = []
        try:
            try:
                async with asyncio.timeout(self._wait):
                    for door in doors:
                        await door.acquire()
                        passed.append(door)
            except TimeoutError:
                raise Refusal(503, "the lab is busy with other work: try again") from None
            if waited and await request.is_disconnected():
                raise Refusal(499, "nobody waits for the answer")
            # Only the end of the server cancels a request, and then nobody needs the rest.
            return await anyio.to_thread.run_sync(working(function), abandon_on_cancel=True)
        finally:
            for door in passed:
                door.release()
