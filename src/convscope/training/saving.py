"""When checkpoints are written: so rarely that saving takes little of the time."""

import time

from convscope.run import Run
from convscope.training.state import TrainingState

SHARE = 0.02
"""Of the time may go into checkpoints: large networks save more rarely."""


class Saving:
    """A clock between checkpoints.

    Args:
        shortest: seconds from one checkpoint to the next, at least.
    """

    def __init__(self, shortest: float) -> None:
        self.shortest = self.pause = shortest
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self.last > self.pause

    def save(self, state: TrainingState, run: Run) -> None:
        """Write a checkpoint, and learn from it how long that takes."""
        started = time.monotonic()
        state.save(run)
        self.restart()
        self.pause = max(self.shortest, (self.last - started) / SHARE)
