"""How much is computed at once, and what becomes of those who wait."""

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request

from convscope.errors import InputError
from convscope.lab.answers import Frame, limits
from convscope.lab.background import Background
from convscope.lab.turnstile import Turnstile
from convscope.web.answers import Refusal, json_bytes


def request(*, gone: bool = False) -> Request:
    async def receive() -> dict[str, Any]:
        if not gone:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


class Counter:
    """Counts how many run at once."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0
        self.lock = threading.Lock()

    def __call__(self) -> int:
        with self.lock:
            self.now, self.all = self.now + 1, self.all + 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return self.all


def test_two_at_a_time() -> None:
    counter = Counter()

    async def main() -> list[int]:
        turnstile = Turnstile()
        return await asyncio.gather(*(turnstile.run(request(), counter) for _ in range(12)))

    assert len(asyncio.run(main())) == 12
    assert (counter.most, counter.all) == (2, 12)


def test_long_ones_leave_a_place_for_short_ones() -> None:
    long, short = Counter(), Counter()
    release = threading.Event()

    def slow() -> None:
        long()
        release.wait(10)

    async def main() -> None:
        turnstile = Turnstile()
        waiting = [asyncio.create_task(turnstile.run(request(), slow, long=True)) for _ in range(4)]
        await asyncio.sleep(0.1)
        await asyncio.gather(*(turnstile.run(request(), short) for _ in range(5)))
        assert long.all == 1  # the others have not even begun
        release.set()
        await asyncio.gather(*waiting)

    asyncio.run(main())
    assert (short.all, long.all) == (5, 4)


def test_who_waits_too_long_is_sent_away() -> None:
    release = threading.Event()

    async def main() -> None:
        turnstile = Turnstile(places=2, wait_seconds=0.05)
        held = [
            asyncio.create_task(turnstile.run(request(), lambda: release.wait(10)))
            for _ in range(2)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal, match="the lab is busy with other work: try again") as refused:
            await turnstile.run(request(), lambda: 1)
        assert refused.value.status == 503
        with pytest.raises(Refusal):  # the door for long ones is given back
            await turnstile.run(request(), lambda: 1, long=True)
        release.set()
        await asyncio.gather(*held)
        assert await turnstile.run(request(), lambda: 1, long=True) == 1

    asyncio.run(main())


def test_nothing_is_computed_for_whom_has_gone() -> None:
    release, counter = threading.Event(), Counter()

    async def main() -> None:
        turnstile = Turnstile(places=1)
        held = asyncio.create_task(turnstile.run(request(), lambda: release.wait(10)))
        await asyncio.sleep(0.05)
        late = asyncio.create_task(turnstile.run(request(gone=True), counter))
        await asyncio.sleep(0.05)
        release.set()
        await held
        with pytest.raises(Refusal, match="nobody waits"):
            await late

    asyncio.run(main())
    assert counter.all == 0


def test_an_error_gives_the_place_back() -> None:
    def fail() -> None:
        raise InputError("no")

    async def main() -> None:
        turnstile = Turnstile(places=1)
        for _ in range(3):
            with pytest.raises(InputError, match="no"):
                await turnstile.run(request(), fail)
        assert await turnstile.run(request(), lambda: 2) == 2

    asyncio.run(main())


# ── work in the background ──────────────────────────────────────────────────────────────────


def test_long_work_says_how_far_it_is_and_is_done_once() -> None:
    release, counter = threading.Event(), Counter()

    def work(progress: Any) -> str:
        counter()
        progress(1200, 5000)
        release.wait(10)
        return "done"

    async def main() -> None:
        background = Background("measuring", work)
        for _ in range(2):
            with pytest.raises(Refusal) as refused:
                await background.wait(0.1)
            assert refused.value.to_json() == {
                "error": "measuring: 1,200 of 5,000; ask again in a moment",
                "done": 1200,
                "total": 5000,
            }
        release.set()
        assert await asyncio.gather(*(background.wait() for _ in range(5))) == ["done"] * 5
        assert background.result() == "done"

    asyncio.run(main())
    assert counter.all == 1


def test_work_that_fails_is_tried_again() -> None:
    """Data that were not there may be there the next time."""
    attempts: list[int] = []

    def work(_: Any) -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise InputError("not there")
        return 7

    async def main() -> None:
        background = Background("reading", work)
        for _ in range(2):
            with pytest.raises(InputError, match="not there"):
                await background.wait()
        assert await background.wait() == 7

    asyncio.run(main())


def test_all_who_wait_hear_why_it_failed() -> None:
    def work(_: Any) -> int:
        time.sleep(0.1)
        raise InputError("not there")

    async def main() -> list[Any]:
        background = Background("reading", work)
        waiting = (background.wait() for _ in range(3))
        return await asyncio.gather(*waiting, return_exceptions=True)

    for error in asyncio.run(main()):
        assert isinstance(error, InputError)
        assert str(error) == "not there"


def test_work_that_needs_other_work_does_not_wait_for_itself() -> None:
    first = Background("first", lambda _: 3)
    second = Background("second", lambda _: first.result() + 1)

    async def main() -> list[int]:
        return list(await asyncio.gather(second.wait(), first.wait(), second.wait()))

    assert asyncio.run(main()) == [4, 3, 4]


# ── answers ─────────────────────────────────────────────────────────────────────────────────


def test_what_json_cannot_hold_becomes_null() -> None:
    document = {"a": [float("nan"), float("inf"), 1.5], "é\u202e": (True, None)}
    assert json_bytes(document) == b'{"a":[null,null,1.5],"\\u00e9\\u202e":[true,null]}'


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd"])
def test_values_begin_at_a_multiple_of_four(name: str) -> None:
    frame = Frame()
    assert frame.add(np.array([1, 2], dtype=np.int64)) == 0
    assert frame.add(np.zeros((0, 3))) == 2
    assert frame.add(np.array([[3.5]])) == 2
    body = frame.to_bytes({"name": name})
    length = int.from_bytes(body[:4], "little")
    assert (len(body) - 12) % 4 == 0
    assert body[4 : 4 + length] == b'{"name":"%s"}' % name.encode()
    assert np.frombuffer(body[-12:], dtype="<f4").tolist() == [1, 2, 3.5]


def test_limits_of_nothing() -> None:
    assert limits(np.zeros((0, 2))) == {"min": None, "max": None}
