"""Work that takes longer than a request: done once, in a thread, while requests ask how far it is.

At most one such piece of work at a time, besides those that requests wait for.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import anyio

from convscope.web.answers import Refusal

T = TypeVar("T")
Progress = Callable[[int, int], None]

WAIT_SECONDS, LOOK_SECONDS = 8.0, 0.02

_one_at_a_time = threading.Lock()

_busy: set[int] = set()


@contextmanager
def at_work() -> Iterator[None]:
    """Inside, this thread counts as computing for the lab."""
    me = threading.get_ident()
    _busy.add(me)
    try:
        yield
    finally:
        _busy.discard(me)


def is_at_work() -> bool:
    """Whether any thread computes: then the process cannot end by itself for a while."""
    return bool(_busy)


class Background(Generic[T]):
    """A value that `work` gives. What it raises goes to whoever waits, and it is tried again.

    Args:
        words: what is done, for people: `measuring the test images`.
        work: called with a progress callback.
    """

    def __init__(self, words: str, work: Callable[[Progress], T]) -> None:
        self._words, self._work = words, work
        self._lock = threading.Lock()  # held while working, so that the work is done once
        self._started = False
        self._value: list[T] = []
        self._error: Exception | None = None
        self._done, self._total = 0, 0

    def result(self) -> T:
        """The value, worked out here and now if need be. For threads."""
        with self._lock:
            if not self._value:
                self._value.append(self._work(self._note))
            return self._value[0]

    async def wait(self, seconds: float = WAIT_SECONDS) -> T:
        """The value, if it comes in time.

        Raises:
            Refusal: 503, it is still being worked on; with how far it is.
            Exception: whatever the work raised.
        """
        if not self._value and not self._started:
            self._started, self._error = True, None
            threading.Thread(target=self._run, name=self._words, daemon=True).start()
        end = time.monotonic() + seconds
        while not self._value:
            if not self._started:
                raise self._error or RuntimeError(self._words)  # to all who wait
            if time.monotonic() > end:
                raise Refusal(503, self._how_far(), done=self._done, total=self._total)
            await anyio.sleep(LOOK_SECONDS)
        return self._value[0]

    def _run(self) -> None:
        try:
            with _one_at_a_time, at_work():
                self.result()
        except Exception as error:  # it is raised where the value is awaited
            self._error = error
        self._started = False

    def _note(self, done: int, total: int) -> None:
        self._done, self._total = done, total

    def _how_far(self) -> str:
        far = f": {self._done:,} of {self._total:,}" if self._total else ""
        return f"{self._words}{far}; ask again in a moment"
