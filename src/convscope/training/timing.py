"""How long a piece of work takes, for choices that are made by measurement."""

import time
from collections.abc import Callable

ENOUGH_SECONDS = 0.25


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of the fastest call of `work` after a first one, which prepares what it needs.

    Called until `ENOUGH_SECONDS` have been measured, three times at the most: what takes long is
    disturbed little.
    """
    work()
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < ENOUGH_SECONDS:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
