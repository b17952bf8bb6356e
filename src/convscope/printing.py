"""Results as text for people. Results go to standard output, progress to standard error."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.documents import to_json_bytes
from convscope.terminal import Display
from convscope.text import printable

if TYPE_CHECKING:
    from convscope.comparison import Comparison
    from convscope.data.cache_space import CacheInfo
    from convscope.data.inspection import Inspection
    from convscope.environment import Diagnosis
    from convscope.evaluation.results import Evaluation
    from convscope.events import Event
    from convscope.listing import Entry
    from convscope.model_summary import Anatomy
    from convscope.run import Run
    from convscope.shipping import Exported


SHOWN_CLASSES = 40


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    print(to_json_bytes(document).decode(), end="", flush=True)


class Listener:
    """Shows work as it goes; the accuracy goes to standard output once it is known.

    A `quiet` one shows nothing: another process does.
    """

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.display = Display()
        self.broken_output: OSError | None = None

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *error: object) -> None:
        self.display.clear()

    def __call__(self, event: "Event") -> None:
        from convscope.events import Stage, Work
        from convscope.training.progress import Progress

        if self.quiet:
            return
        if isinstance(event, Stage):
            self.display.line(event.text)
        elif isinstance(event, Progress):
            self.display.row(event)
        elif isinstance(event, Work):
            self.display.work(event.label, event.done, event.total)
        else:
            self.display.clear()
            if not self.as_json:
                self._print_result(accuracy_line(event))

    def _print_result(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError as error:  # whoever read the output is gone: the report is still written
            self.broken_output = error

    def finish(self, run: "Run") -> None:
        """Say where everything lies."""
        if self.quiet:
            return
        if self.broken_output is not None:
            raise self.broken_output
        from convscope.comparison import read_results

        report, result = run.path / "report.html", read_results(run)
        if self.as_json:
            accuracy = result.accuracy
            found = {"run": str(run.path), "report": str(report), "accuracy": accuracy}
            print_json(found | run.document.training)
        else:
            for line in view_lines(result):
                print(line)
            print(f"run     {printable(run.path)}")
            print(f"report  {printable(report)}")


def accuracy_line(result: "Evaluation") -> str:
    """The accuracy with its interval, as one line."""
    low, high = result.accuracy_interval
    return (
        f"{result.split} accuracy {result.accuracy:.2%}"
        f"  (95 % interval {low:.2%} to {high:.2%}, n = {result.n:,})"
    )


def view_lines(result: "Evaluation") -> list[str]:
    """Top-5 accuracy, and the accuracy with several views of each image, where there are such."""
    lines = []
    if result.top5 is not None and result.top5_interval is not None:
        low, high = result.top5_interval
        lines.append(f"top-5 accuracy {result.top5:.2%}  (95 % interval {low:.2%} to {high:.2%})")
    for one in result.views:
        low, high = one.accuracy_interval
        top5 = "" if one.top5 is None else f", top-5 {one.top5:.2%}"
        lines.append(
            f"{printable(one.name)} accuracy {one.accuracy:.2%}{top5}  (95 % interval {low:.2%} to "
            f"{high:.2%}, mean of {one.count} views of each image)"
        )
    return lines


def print_evaluation(result: "Evaluation") -> None:
    """Accuracy, classes, most confused pairs, robustness."""
    for line in (accuracy_line(result), *view_lines(result)):
        print(line)
    print(f"loss {result.loss:.4f}, calibration error (ECE) {result.calibration.ece:.2%}\n")
    scores = sorted(result.per_class, key=lambda s: s.f1 or 0.0)[:SHOWN_CLASSES]
    rows = [
        [printable(s.name, 30), f"{s.support:,}", share(s.precision), share(s.recall), share(s.f1)]
        for s in (result.per_class if len(result.per_class) <= SHOWN_CLASSES else scores)
    ]
    print_table(["class", "images", "precision", "recall", "F1"], rows)
    if len(result.per_class) > len(rows):
        print(f"the weakest {len(rows)} of {len(result.per_class):,} classes; all with --json")
    if result.confused_pairs:
        print("\nmost often confused")
        for pair in result.confused_pairs[:5]:
            true, taken = printable(pair.true, 30), printable(pair.predicted, 30)
            print(f"  {true} taken for {taken}: {pair.count} times ({pair.rate:.1%} of {true})")
    for curve in result.robustness:
        print(f"\naccuracy against {curve.label} ({curve.unit}, n = {curve.n:,})")
        for point in curve.points:
            print(f"  {point.x:>7g}  {point.accuracy:7.2%}  {bar(point.accuracy)}")


def print_export(found: "Exported") -> None:
    """What was written, how good it is, and what to do with it."""
    kind = "8-bit whole numbers" if found.precision == "int8" else "float32"
    print(f"exported   {printable(found.path)}  ({found.bytes:,} bytes, {kind})")
    print(f"card       {printable(found.card)}")
    subject = "its float32 form" if found.precision == "int8" else "it"
    print(f"checked    scores of {subject} differ from torch's by at most {found.difference:.1g}")
    if found.accuracy is not None and found.accuracy_interval is not None:
        low, high = found.accuracy_interval
        print(
            f"accuracy   {found.accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%}, "
            f"n = {found.n:,})"
        )
    if found.float_accuracy is not None:
        print(f"float32    {found.float_accuracy:.2%}  (McNemar's p = {found.p_value:.2g})")
    print(f"use it     convscope predict {shlex.quote(printable(found.path))} picture.png")


def print_anatomy(found: "Anatomy") -> None:
    """The table of layers, the totals, the formulas, the connection table where there is one."""
    channels, height, width = found.input_shape
    print(f"{found.model}, input {channels}×{height}×{width}\n")
    header = ["layer", "kind", "output", "sees", "parameters", "connections", "multiply-adds"]
    rows = [
        [
            row.name,
            row.kind + (f", {row.activation}" if row.activation else ""),
            "×".join(map(str, row.output_shape)),
            "" if row.receptive_field is None else "×".join(map(str, row.receptive_field)),
            f"{row.parameters:,}",
            "" if row.connections is None else f"{row.connections:,}",
            "" if row.multiply_adds is None else f"{row.multiply_adds:,}",
        ]
        for row in found.layers
    ]
    totals = [f"{n:,}" for n in (found.parameters, found.connections, found.multiply_adds)]
    print_table(header, [*rows, ["total", "", "", "", *totals]], left=2)
    print("\nhow the numbers are found")
    for row in found.layers:
        for name, formula in row.formulas.items():
            print(f"  {row.name:<8} {name.replace('_', ' '):<16} {formula}")
    for row in found.layers:
        if row.table is not None:
            print(f"\nwhich maps each map of {row.name} sees\n{row.table_text()}")


def print_inspection(found: "Inspection", preview: Path | None) -> None:
    """Classes and counts, sizes, formats, and every problem with what to do."""
    splits = list(found.counts)
    print(f"{printable(found.name)}: {len(found.classes)} classes\n")
    rows = [
        [printable(name, 40), *(f"{found.counts[split].get(name, 0):,}" for split in splits)]
        for name in found.classes
    ]
    totals = [f"{sum(found.counts[split].values()):,}" for split in splits]
    print_table(["class", *splits], [*rows, ["total", *totals]])
    shown = [f"{width}×{height} ({count:,})" for height, width, count in found.sizes[:5]]
    more = f" and {len(found.sizes) - 5:,} other sizes" if len(found.sizes) > 5 else ""
    print(f"\nsizes (width×height): {', '.join(shown)}{more}")
    for label, counts in (("formats", found.formats), ("modes", found.modes)):
        if counts:
            print(f"{label}: " + ", ".join(f"{printable(k)} ({n:,})" for k, n in counts.items()))
    for label, pairs in (("corrupt", found.corrupt), ("ignored", found.ignored)):
        for name, reason in pairs[:10]:
            print(f"{label}: {printable(name)}: {reason}")
        if len(pairs) > 10:
            print(f"{label}: and {len(pairs) - 10:,} more (all of them with --json)")
    print("\nno problems found" if not found.problems else "\nproblems")
    for problem in found.problems:
        print(f"  {problem}")
    if preview is not None:
        print(f"preview  {printable(preview)}")


def print_listing(entries: Sequence["Entry"]) -> None:
    """Names and summaries in two columns."""
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        print(f"{entry.name:<{width}}  {entry.summary}")


def print_cache(found: "CacheInfo") -> None:
    """Where decoded images are kept, how much room they take, how to remove them."""
    print(f"decoded images in {printable(found.directory)}")
    for path, size in found.files:
        print(f"  {printable(path.name, 20)}  {size / 1e9:.2f} GB")
    print(f"{found.bytes / 1e9:.2f} GB of at most {found.limit / 1e9:.0f} GB")
    if found.files:
        print("`convscope cache clear` removes them; they are made again when they are needed")


def print_comparison(found: "Comparison") -> None:
    """A line a run, the settings that differ, McNemar's p-value against the first."""
    header = ["run", "model", "test accuracy", "95 % interval", "loss", "seconds", "p"]
    rows = []
    for run in found.runs:
        low, high = run.accuracy_interval
        rows.append(
            [
                printable(run.path, 60),
                printable(run.model, 30),
                f"{run.accuracy:.2%}",
                f"{low:.2%}–{high:.2%}",
                f"{run.loss:.4f}",
                "" if run.seconds is None else f"{run.seconds:.1f}",
                "" if run.p_value is None else f"{run.p_value:.3g}",
            ]
        )
    print_table(header, rows)
    print("\np: McNemar's exact test against the first run; empty where the test images differ")
    if found.differing:
        print("\nsettings that differ")
        names = [printable(run.path, 30) for run in found.runs]
        print_table(
            ["setting", *names],
            [[key, *(run.settings.get(key, "") for run in found.runs)] for key in found.differing],
        )


def print_diagnosis(found: "Diagnosis") -> None:
    """A fact a line, remedies behind an arrow."""
    width = max(len(line.name) for line in found.findings)
    for line in found.findings:
        remedy = f"  → {line.remedy}" if line.remedy else ""
        print(f"{line.name:<{width}}  {line.value}{remedy}")


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, left: int = 1) -> None:
    """Columns as wide as needed: the first `left` to the left, the others to the right."""
    table = [list(header), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def share(value: float | None) -> str:
    """A fraction as a percentage; a dash where it is not defined."""
    return "–" if value is None else f"{value:.1%}"


def bar(value: float, width: int = 30) -> str:
    """A fraction as a bar of blocks."""
    return "█" * round(value * width)
