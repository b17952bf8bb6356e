"""The command line of explanations: `convscope explain`."""

from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "\b\nExamples:\n"
    "  convscope explain runs/digits seven.png\n"
    "  convscope explain runs/photos cat.jpg --class dog --out why-not-a-dog"
)


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.")],
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class to explain; the likeliest, if none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The directory to write into; explained-NAME, if none.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, max=100, help="How many of the most alike training images.")
    ] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as JSON.")] = False,
) -> None:
    """Why a picture was taken for what it was: layers, pixels, most alike training images."""
    import importlib.util
    import sys

    from convscope import run_data
    from convscope.errors import InputError
    from convscope.explain.writing import explain_image
    from convscope.printing import Listener
    from convscope.run import open_run
    from convscope.text import printable

    training = None
    if neighbours:
        try:
            with Listener(as_json=True) as listen:
                training = run_data.load_data(open_run(run), listen).train
        except InputError as error:
            if not (run / "run.json").is_file():
                raise
            print(f"without the most alike training images: {error}", file=sys.stderr)
    if importlib.util.find_spec("captum") is None:
        how = "pip install 'convscope[lab]'"
        print(f"without the pixels that speak for a class: {how}", file=sys.stderr)
    files = explain_image(
        run,
        image,
        out or Path(f"explained-{image.stem}"),
        class_name=class_name,
        training=training,
        neighbours=max(neighbours, 1),
    )
    if as_json:
        print(files[-1].read_text("utf-8"), end="")
        return
    for file in files:
        print(printable(file))
