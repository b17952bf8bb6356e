"""What a training loop tells of itself, about ten times a second."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A row of progress: where training stands now.

    Attributes:
        epoch: the current epoch, from 1; `epochs` in all.
        step: steps done in this epoch, of `steps`.
        done: steps done in all, of `total`.
        loss: mean training loss of this epoch so far; `accuracy` likewise, a fraction.
        images_per_second: since this process began to train.
        seconds_left: at that speed.
        finished: at the end of an epoch its row of `metrics.jsonl`, else None.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    done: int
    total: int
    loss: float
    accuracy: float
    images_per_second: float
    seconds_left: float
    finished: dict[str, Any] | None = None
