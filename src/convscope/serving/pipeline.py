"""From the bytes of pictures to probabilities: decoded by a pool, classified in batches.

    classify → waiting → decoders → decoded → networks, a batch at a time each → each caller

The queues are bounded, so memory is: who comes when the first is full is sent away. A picture
that comes alone is classified at once; one that others follow waits a moment for them,
since a batch costs far less than its pictures one by one.

Each core classifies a batch of its own with one thread, rather than all cores the same batch: the
threads of one computation wait for each other at every layer, and on cores that also decode and
speak HTTP that wait is long.
"""

import asyncio
import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convscope.environment import available_cores
from convscope.errors import ConvscopeError
from convscope.predictor import Predictor
from convscope.serving.metrics import Metrics
from convscope.web.answers import Refusal

BATCH, BATCH_BYTES = 64, 2**26
"""Pictures that go through the network together: so many, and so much memory, at most."""
MOST_WAITING = 256
MAX_PIXELS = 25_000_000
"""Of a picture: decoding takes up to 20 bytes for each, in every decoder."""
GATHER_SECONDS = 0.0015
ANSWER_SECONDS = 30.0

Row = npt.NDArray[np.float32]


@dataclass(eq=False)
class _Job:
    """A picture on its way, and who waits for it."""

    data: bytes
    answer: "asyncio.Future[Row]"
    pixels: npt.NDArray[np.uint8] | None = None


class Pipeline:
    """Classifies pictures for coroutines of one event loop. Starts its threads, see `close`.

    Args:
        predictor: the network.
        metrics: told about batches, and asked to show how much waits.
        batch: pictures in a batch, at most; less where the network's memory says so.
        most_waiting: pictures that may be on their way at once.
        gather_seconds: how long a picture waits for others.
        answer_seconds: how long a caller waits.
        networks: batches that are computed at once.
        decoders: threads that decode.
    """

    def __init__(
        self,
        predictor: Predictor,
        metrics: Metrics,
        *,
        batch: int = BATCH,
        most_waiting: int = MOST_WAITING,
        gather_seconds: float = GATHER_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        networks: int = 1,
        decoders: int | None = None,
    ) -> None:
        self.predictor, self.metrics = predictor, metrics
        how = predictor.preprocessing
        fit = BATCH_BYTES // (how.channels * math.prod(how.size))
        self.batch = max(1, min(batch, predictor.largest_batch, fit))
        self.most_waiting = most_waiting
        self._gather, self._patience = gather_seconds, answer_seconds
        self._on_their_way = 0  # changed by the event loop alone; the networks look at it
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._decoded: queue.Queue[_Job | None] = queue.Queue(2 * self.batch)
        metrics.queue_depth = lambda: self._on_their_way
        count = decoders or available_cores()
        self._decoders = [
            threading.Thread(target=self._decode_all, name=f"decoder {i}", daemon=True)
            for i in range(count)
        ]
        self._gathering = threading.Lock()
        self._networks = [
            threading.Thread(target=self._classify_all, name=f"network {i}", daemon=True)
            for i in range(networks)
        ]
        for thread in (*self._decoders, *self._networks):
            thread.start()

    async def classify(self, data: bytes) -> Row:
        """The probability of each class, float32, for the picture in the bytes of a file.

        Raises:
            Refusal: 422, no picture that can be read; 503, too many wait, or it took too long.
        """
        if self._on_their_way >= self.most_waiting:
            raise Refusal(503, f"{self.most_waiting} pictures wait already: try again")
        job = _Job(data, asyncio.get_running_loop().create_future())
        self._on_their_way += 1
        self._waiting.put(job)
        try:
            async with asyncio.timeout(self._patience):
                return await job.answer
        except TimeoutError:
            words = f"no answer within {self._patience:g} s: try again"
            raise Refusal(503, words) from None
        finally:
            self._on_their_way -= 1

    def warm_up(self, data: bytes) -> None:
        """One picture and one full batch through everything, so that the first caller waits for
        nothing.

        Raises:
            InputError: the network gives no probabilities.
        """
        pixels = self.predictor.read(data)
        for count in (1, self.batch):
            self.predictor.probabilities(np.repeat(pixels[None], count, axis=0))

    def close(self) -> None:
        """Finish what is on its way, and end the threads. Not for the event loop's thread."""
        for _ in self._decoders:
            self._waiting.put(None)
        for thread in self._decoders:
            thread.join()
        self._decoded.put(None)
        for thread in self._networks:
            thread.join()

    # ── in threads ──────────────────────────────────────────────────────────────────────────

    def _decode_all(self) -> None:
        while (job := self._waiting.get()) is not None:
            if job.answer.done():  # nobody waits any more
                continue
            try:
                job.pixels = self.predictor.read(job.data, max_pixels=MAX_PIXELS)
            except ConvscopeError as error:
                _tell(job, Refusal(422, str(error)))
            except MemoryError:
                _tell(job, Refusal(503, "no memory for a picture as large: try again"))
            except Exception as error:  # our own mistake must not end the thread
                _tell(job, error)
            else:
                self._decoded.put(job)

    def _classify_all(self) -> None:
        while True:
            with self._gathering:  # else two networks would share out one batch
                jobs = self._next_batch()
            if jobs is None:
                return
            jobs = [job for job in jobs if not job.answer.done()]
            if jobs:
                self._classify(jobs)

    def _next_batch(self) -> list[_Job] | None:
        """What is decoded and what follows soon; None at the end."""
        first = self._decoded.get()
        jobs = [first] if first is not None else []
        end = time.monotonic() + self._gather
        while first is not None and len(jobs) < min(self.batch, self._on_their_way):
            try:
                job = self._decoded.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if job is None:
                self._decoded.put(None)
                break
            jobs.append(job)
        if not jobs:
            self._decoded.put(None)  # for the other networks
            return None
        return jobs

    def _classify(self, jobs: Sequence[_Job]) -> None:
        images = np.stack([job.pixels for job in jobs if job.pixels is not None])
        try:
            rows = self.predictor.probabilities(images)
        except Exception as error:  # our own mistake, too
            for job in jobs:
                _tell(job, error)
        else:
            _soon(jobs[0], lambda: self._answer(jobs, rows))

    # ── in the event loop ───────────────────────────────────────────────────────────────────

    def _answer(self, jobs: Sequence[_Job], rows: npt.NDArray[np.float32]) -> None:
        self.metrics.batch_sizes.observe(len(jobs))
        for job, row in zip(jobs, rows, strict=True):
            if not job.answer.done():
                job.answer.set_result(row)


def _tell(job: _Job, error: Exception) -> None:
    """Raise `error` where the job is awaited."""

    def tell() -> None:
        if not job.answer.done():
            job.answer.set_exception(error)

    _soon(job, tell)


def _soon(job: _Job, function: Callable[[], None]) -> None:
    """Have the event loop call `function`, unless it has ended meanwhile."""
    with contextlib.suppress(RuntimeError):
        job.answer.get_loop().call_soon_threadsafe(function)
