"""Export a run: its network as one file for use elsewhere, and a card that explains the file."""

import datetime
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscope.comparison import read_results
from convscope.data.dataset import Dataset
from convscope.errors import InputError, unknown_name
from convscope.events import Listener, Stage, Work, ignore
from convscope.exporting.card import MARK, render_card
from convscope.exporting.onnx import OnnxExport, export_onnx
from convscope.files import own_directory, write_atomically
from convscope.reporting import bind_classes
from convscope.run import Run, open_run
from convscope.run_data import load_data
from convscope.text import printable
from convscope.version import __version__

FORMATS = ("onnx",)
PREPROCESSING = ("graph", "metadata")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        path, card: the file, and its model card.
        bytes: the file's size.
        precision: `fp32` or `int8`.
        difference: the largest between scores of the float32 file and of the network in torch,
            over the largest score.
        accuracy, accuracy_interval, n: of the file on test images; None where not evaluated.
        float_accuracy, p_value: of the float32 network beside an int8 file, and McNemar's test
            of the difference.
    """

    path: Path
    card: Path
    bytes: int
    precision: str = "fp32"
    difference: float = 0.0
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    n: int | None = None
    float_accuracy: float | None = None
    p_value: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path), "card": str(self.card)}


def export(
    run: str | Path | Run,
    *,
    to: str = "onnx",
    out: str | Path | None = None,
    int8: bool = False,
    preprocessing: str = "graph",
    licence: str = "",
    listen: Listener | None = None,
) -> Exported:
    """Write a trained network as one file, with a model card beside it.

    An ONNX file is written only after it was compared with the network in torch. It needs
    nothing but a runtime: `convscope.predict` takes it, and so does any other program.

    Args:
        run: a complete run.
        to: `onnx`.
        out: the file; by default RUN/onnx/model.onnx, or RUN/onnx-int8/model.onnx.
        int8: products in eight bits, with ranges chosen on training images, and the accuracy
            measured on the test images beside that of float32. Both are loaded.
        preprocessing: `graph`: the file takes uint8 pixels; `metadata`: it takes what
            `preprocess.normalise` gives.
        licence: of the weights, for metadata and card.
        listen: hears of the work as it goes.

    Raises:
        InputError: no such run, data that are gone, a network that cannot be exported, or a
            place that cannot be written to.
        ConvscopeError: the file would answer otherwise than the network.
    """
    run = open_run(run)
    tell = listen or ignore
    _check_choices(to, preprocessing)
    path = _place(run, to, int8, out)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def load() -> tuple[Dataset, Dataset]:
        splits = load_data(run, tell)
        return splits.train, bind_classes(splits.test, run.document.classes)

    tell(Stage(f"exporting {run.document.model.name}, and comparing it with torch"))
    made = export_onnx(
        run,
        now=now,
        version=__version__,
        raw=preprocessing == "graph",
        licence=licence,
        load=load if int8 else None,
        progress=lambda label, done, total: tell(Work(label, done, total)),
    )
    return _write(run, path, made)


def _check_choices(to: str, preprocessing: str) -> None:
    if to not in FORMATS:
        raise unknown_name("format", to, FORMATS)
    if preprocessing not in PREPROCESSING:
        raise unknown_name("place of the preprocessing", preprocessing, PREPROCESSING)


def _place(run: Run, to: str, int8: bool, out: str | Path | None) -> Path:
    if out is None:
        return own_directory(run.path / (f"{to}-int8" if int8 else to)) / f"model.{to}"
    path = Path(out)
    if path.suffix.lower() != f".{to}":
        raise InputError(f"'{printable(path)}' does not end in .{to}: give a file name that does")
    if not os.path.isdir(path.parent):
        raise InputError(f"there is no directory {printable(path.parent)}: make it first")
    return path


def _write(run: Run, path: Path, made: OnnxExport) -> Exported:
    results = read_results(run) if (run.path / "results.json").exists() else None
    size = sum(map(len, made.pieces))
    text = render_card(made.document, path.name, size, results, made.difference)
    card = _card_path(path)
    write_atomically(path, made.pieces)
    write_atomically(card, text.encode("utf-8", "backslashreplace"))
    of = made.document
    return Exported(
        path=path,
        card=card,
        bytes=size,
        precision=of.precision,
        difference=made.difference,
        accuracy=of.accuracy.accuracy if of.accuracy else None,
        accuracy_interval=of.accuracy.interval if of.accuracy else None,
        n=of.accuracy.n if of.accuracy else None,
        float_accuracy=of.float_accuracy.accuracy if of.float_accuracy else None,
        p_value=of.p_value,
    )


def _card_path(path: Path) -> Path:
    """README.md; beside a README of someone else, the file's name with .md."""
    card = path.with_name("README.md")
    try:
        with open(card, encoding="utf-8", errors="replace") as file:
            ours = file.readline().strip() == MARK
    except FileNotFoundError:
        ours = True
    except OSError:
        ours = False
    return card if ours else path.with_suffix(".md")
