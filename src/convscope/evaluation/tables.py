"""The numbers of a report as CSV files, in UTF-8, one header line each.

Fractions run from 0 to 1. An undefined number is an empty cell. Names are inert: a spreadsheet
takes none of them for a formula.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from convscope.evaluation.markup import finite
from convscope.evaluation.report_input import ReportInput
from convscope.files import write_atomically
from convscope.text import csv_text

HISTORY = (
    "epoch",
    "loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
)


def write_tables(report: ReportInput, directory: Path) -> list[Path]:
    """Write scores, history, per-class, confusion, calibration, robustness and mistakes.

    Returns:
        The files in `directory`, in that order.

    Raises:
        InputError: the directory cannot be written to.
    """
    result = report.evaluation
    tables: dict[str, Iterable[Sequence[object]]] = {
        "scores": [
            ("views", "count", "accuracy", "low", "high", "loss", "top5"),
            ("single", 1, result.accuracy, *result.accuracy_interval, result.loss, result.top5),
            *(
                (one.name, one.count, one.accuracy, *one.accuracy_interval, one.loss, one.top5)
                for one in result.views
            ),
        ],
        "history": [
            HISTORY,
            *([finite(row.get(key)) for key in HISTORY] for row in report.history),
        ],
        "per_class": [
            ("class", "support", "precision", "recall", "f1"),
            *(
                (one.name, one.support, one.precision, one.recall, one.f1)
                for one in result.per_class
            ),
        ],
        "confusion": [
            ("true \\ predicted", *result.classes),
            *((name, *row) for name, row in zip(result.classes, result.confusion, strict=True)),
        ],
        "calibration": [
            ("lower", "upper", "count", "confidence", "accuracy"),
            *(
                (one.lower, one.upper, one.count, one.confidence, one.accuracy)
                for one in result.calibration.bins
            ),
        ],
        "robustness": [
            ("perturbation", "unit", "x", "accuracy", "low", "high", "agreement", "n"),
            *(
                (curve.name, curve.unit, at.x, at.accuracy, *at.interval, at.agreement, curve.n)
                for curve in result.robustness
                for at in curve.points
            ),
        ],
        "mistakes": [
            ("index", "file", "true", "predicted", "probability", "probability_true"),
            *(
                (
                    one.index,
                    one.file,
                    one.true,
                    one.predicted,
                    one.probability,
                    one.probability_true,
                )
                for one in result.mistakes
            ),
        ],
    }
    paths = []
    for name, rows in tables.items():
        path = directory / f"{name}.csv"
        write_atomically(path, _csv(rows))
        paths.append(path)
    return paths


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([csv_text(cell) if isinstance(cell, str) else cell for cell in row])
    return buffer.getvalue().encode()
