"""What the server counts, in Prometheus' text format (version 0.0.4).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import bisect
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    """How many values were at most as large as each bound, their number and their sum.

    >>> seen = Histogram((1, 2))
    >>> for value in (1, 2, 5):
    ...     seen.observe(value)
    >>> for line in seen.lines("size"):
    ...     print(line)
    size_bucket{le="1"} 1
    size_bucket{le="2"} 2
    size_bucket{le="+Inf"} 3
    size_sum 8
    size_count 3
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            shown = bound if isinstance(bound, str) else f"{bound:g}"
            yield f'{name}_bucket{{le="{shown}"}} {total}'
        yield f"{name}_sum {self._sum:.10g}"
        yield f"{name}_count {total}"


class Metrics:
    """The counts of one server. For one thread: the event loop's.

    Attributes:
        requests: by path and status; paths are those of the server, all others are `other`.
        seconds: from the head of a prediction's request to its answer.
        batch_sizes: pictures that went through the network together.
        queue_depth: pictures on their way now.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds = Histogram(SECONDS)
        self.batch_sizes = Histogram(SIZES)
        self.queue_depth: Callable[[], int] = int
        self._started = time.time()

    def to_text(self) -> str:
        """All of them, as Prometheus reads them."""
        lines = [
            *_head("requests_total", "counter", "Requests answered, by path and status."),
            *(
                f'convscope_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self.requests.items())
            ),
            *_head("predict_seconds", "histogram", "From a request's head to its answer."),
            *self.seconds.lines("convscope_predict_seconds"),
            *_head("batch_size", "histogram", "Pictures that went through the network together."),
            *self.batch_sizes.lines("convscope_batch_size"),
            *_head("queue_depth", "gauge", "Pictures on their way now."),
            f"convscope_queue_depth {self.queue_depth()}",
            *_head("start_time_seconds", "gauge", "When the server started, in Unix time."),
            f"convscope_start_time_seconds {self._started:.3f}",
        ]
        memory = resident_bytes()
        if memory is not None:
            lines += [
                *_head("resident_memory_bytes", "gauge", "Resident memory of the process."),
                f"convscope_resident_memory_bytes {memory}",
            ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, words: str) -> tuple[str, str]:
    return f"# HELP convscope_{name} {words}", f"# TYPE convscope_{name} {kind}"


def resident_bytes(process: int | str = "self") -> int | None:
    """Resident memory of a process; None where /proc does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
