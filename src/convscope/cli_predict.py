"""The command line of predictions: `convscope predict`."""

import sys
from typing import Annotated

import typer

EPILOG = (
    "\b\nExamples:\n"
    "  convscope predict seven.png                      a digit, by the LeNet-5 of the package\n"
    "  convscope predict runs/digits seven.png\n"
    "  convscope predict model.onnx pictures/ --top 1 --json\n"
    "  convscope predict model.onnx 'photos/**/*.jpg' --csv > answers.csv\n"
    "  cat seven.png | convscope predict model.onnx -"
)


def predict(
    first: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|IMAGE",
            help="A run directory or an .onnx file; without one the LeNet-5 of the package "
            "reads digits.",
        ),
    ],
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            help="Files, folders, quoted patterns, or - for one on stdin.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="How many guesses for each picture.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A table: file, classes and probabilities, error.")
    ] = False,
) -> None:
    """Classify pictures with a trained network; without torch where it is an .onnx file."""
    from convscope.errors import InputError
    from convscope.prediction import model_and_pictures
    from convscope.prediction import predict as predict_images
    from convscope.prediction_output import OUTPUTS, show_error
    from convscope.predictor import EXAMPLE
    from convscope.terminal import Display

    if as_json and as_csv:
        raise InputError("--json and --csv are two forms of the same: give one of them")
    show = OUTPUTS["json" if as_json else "csv" if as_csv else "text"](top)
    model, pictures = model_and_pictures([first, *(images or [])])
    failed = 0
    with Display() as display:
        if model == EXAMPLE:
            display.line("no model is named: the LeNet-5 of the package reads digits")
        quiet = sys.stdout is not None and sys.stdout.isatty()  # the answers themselves show it

        def tell(done: int, total: int) -> None:
            if not quiet:
                display.work("pictures", done, total)

        stdin = sys.stdin.buffer if sys.stdin else None
        for prediction in predict_images(model, pictures, top=top, stdin=stdin, progress=tell):
            show(prediction)
            if prediction.error:
                failed += 1
                display.line(show_error(prediction))
    if failed:
        raise typer.Exit(1)
