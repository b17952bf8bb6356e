"""Show what happens: a progress bar on a terminal, plain lines elsewhere. Writes to stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from convscope.training.fit import Progress

PLAIN_SECONDS = 10.0


class TrainingDisplay:
    """The rows of `fit` for a reader. Use it as a context: leaving it clears the bar."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.plain = not self.stream.isatty()
        self.bar: Bar | None = None
        self.shown = time.monotonic()

    def __enter__(self) -> "TrainingDisplay":
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
        """One row of progress."""
        if row.finished:
            self.line(epoch_line(row.finished, row.epochs))
        if self.plain:
            self._plain(row)
        else:
            self._bar(row)

    def clear(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _plain(self, row: "Progress") -> None:
        now = time.monotonic()
        if not row.finished and now - self.shown >= PLAIN_SECONDS:
            self.shown = now
            self.line(
                f"  epoch {row.epoch}/{row.epochs}, step {row.step}/{row.steps}: {facts(row)}"
            )

    def _bar(self, row: "Progress") -> None:
        done, total = (row.epoch - 1) * row.steps + row.step, row.epochs * row.steps
        if self.bar is None:
            self.bar = _make_bar(self.stream)
            self.bar.add_task("", total=total, facts="")
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=done, facts=facts(row))


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


def facts(row: "Progress") -> str:
    """Speed, loss and the time left."""
    minutes, seconds = divmod(int(row.seconds_left + 0.5), 60)
    return (
        f"{row.images_per_second:,.0f} images/s  loss {row.loss:.4f}  {minutes}:{seconds:02} left"
    )


def _make_bar(stream: TextIO) -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(file=stream)
    return Progress(
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
        console=console,
        transient=True,
    )


@contextmanager
def counting(
    label: str, stream: TextIO | None = None
) -> Iterator[Callable[[int, int], None] | None]:
    """A context that gives `advance(done, total)`: a bar on a terminal, None elsewhere."""
    target = stream or sys.stderr
    if not target.isatty():
        yield None
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn(label, markup=False),
        bars.BarColumn(28),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(file=target), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
