"""What long work tells while it goes on; whoever listens decides how to show it."""

from collections.abc import Callable
from dataclasses import dataclass

from convscope.evaluation.results import Evaluation
from convscope.training.progress import Progress


@dataclass(frozen=True)
class Stage:
    """A line for the reader: what begins now, or what was found."""

    text: str


@dataclass(frozen=True)
class Work:
    """`done` of `total` pieces of the work called `label`."""

    label: str
    done: int
    total: int


Event = Stage | Work | Progress | Evaluation
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener for whoever does not listen."""
    del event


def counting(listen: Listener, label: str) -> Callable[[int, int], None]:
    """A progress callback that tells `listen` of the work called `label`."""
    return lambda done, total: listen(Work(label, done, total))
