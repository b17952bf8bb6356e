"""Predictions as lines: for people, as JSON, as CSV. Standard output."""

import csv
import json
import sys
from collections.abc import Callable, Mapping

from convscope.prediction import Prediction
from convscope.text import csv_text, printable

Show = Callable[[Prediction], None]


def as_text(top: int) -> Show:
    """One line a picture; where it cannot be read, none."""
    del top

    def show(prediction: Prediction) -> None:
        if not prediction.error:
            guesses = "   ".join(
                f"{printable(guess.name)} {guess.probability:.1%}" for guess in prediction.guesses
            )
            print(f"{printable(prediction.source)}: {guesses}", flush=True)

    return show


def as_json(top: int) -> Show:
    """One JSON object a line."""
    del top
    return lambda prediction: print(json.dumps(prediction.to_json(), ensure_ascii=True), flush=True)


def as_csv(top: int) -> Show:
    """A header, and a row a picture: file, then class and probability of each guess, error."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    guessed = [
        f"{what}{number if number > 1 else ''}"
        for number in range(1, top + 1)
        for what in ("class", "probability")
    ]
    writer.writerow(["file", *guessed, "error"])

    def show(prediction: Prediction) -> None:
        cells = [
            cell
            for guess in prediction.guesses
            for cell in (csv_text(guess.name), f"{guess.probability:.6f}")
        ]
        cells += [""] * (2 * top - len(cells))
        writer.writerow([csv_text(prediction.source), *cells, csv_text(prediction.error)])

    return show


OUTPUTS: Mapping[str, Callable[[int], Show]] = {"text": as_text, "json": as_json, "csv": as_csv}


def show_error(prediction: Prediction) -> str:
    """Why a picture could not be read, on one line."""
    return f"error: {printable(prediction.source)}: {prediction.error}"
