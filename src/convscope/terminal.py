"""Show what happens: a progress bar on a terminal, plain lines elsewhere. Writes to stderr."""

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from convscope.training.progress import Progress

PLAIN_SECONDS = 10.0
PATIENCE_SECONDS = 1.0


class Display:
    """One piece of work at a time, with the time left. Leaving the context clears the bar.

    Work that is done within a second is not shown at all; where the output is no terminal,
    a line comes every ten seconds.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.plain = not self.stream.isatty()
        self.bar: Bar | None = None
        self.label = ""
        self.started = self.shown = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def line(self, text: str) -> None:
        """A line above the bar."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stream, flush=True)

    def row(self, row: "Progress") -> None:
        """One row of progress of a training."""
        if row.finished:
            self.line(epoch_line(row.finished, row.epochs))
        facts = f"{row.images_per_second:,.0f} images/s  loss {row.loss:.4f}"
        self.work("training", row.done, row.total, facts=facts, seconds_left=row.seconds_left)

    def work(
        self,
        label: str,
        done: int,
        total: int,
        *,
        facts: str = "",
        seconds_left: float | None = None,
    ) -> None:
        """`done` of `total` of the work called `label`."""
        now = time.monotonic()
        if label != self.label:
            self.clear()
            self.label, self.started, self.shown = label, now, now
        if seconds_left is None:
            seconds_left = (now - self.started) / max(done, 1) * (total - done)
        facts = f"{facts}  {clock(seconds_left)} left".strip()
        if self.plain:
            if now - self.shown >= PLAIN_SECONDS:
                self.shown = now
                self.line(f"  {label} {done:,}/{total:,}: {facts}")
        elif self.bar is not None or now - self.started + seconds_left > PATIENCE_SECONDS:
            self._draw(done, total, facts)

    def clear(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        self.label = ""

    def _draw(self, done: int, total: int, facts: str) -> None:
        if self.bar is None:
            self.bar = _make_bar(self.stream)
            self.bar.add_task(self.label, total=total, facts="")
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=done, total=total, facts=facts)


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """An epoch's result on one line, in columns."""
    width = len(str(epochs))
    text = (
        f"  epoch {row['epoch']:>{width}}/{epochs}   loss {row['loss']:.4f}"
        f"   training {row['train_accuracy']:7.2%}"
    )
    if "validation_accuracy" in row:
        text += f"   validation {row['validation_accuracy']:7.2%}"
    return text


def clock(seconds: float) -> str:
    """A duration as people read it.

    >>> clock(59.7), clock(3700)
    ('1:00', '1:01:40')
    """
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _make_bar(stream: TextIO) -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
        console=Console(file=stream),
        transient=True,
    )
