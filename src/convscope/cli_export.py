"""The command line of exports: `convscope export`."""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli_options import Json

EPILOG = (
    "\b\nExamples:\n"
    "  convscope export runs/digits\n"
    "  convscope export runs/photos --int8 --out photos.onnx\n"
    "  convscope export runs/photos --licence 'CC BY 4.0'\n"
    "  convscope predict runs/digits/onnx/model.onnx seven.png"
)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    to: Annotated[str, typer.Option(help="The format: onnx.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The file to write; if none, RUN/onnx/model.onnx, or RUN/onnx-int8/model.onnx.",
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Compute in 8-bit whole numbers: a quarter of the size; large convolutions are "
            "faster, LeNet-5 is slower. The accuracy is measured beside that of float32.",
        ),
    ] = False,
    preprocessing: Annotated[
        str,
        typer.Option(
            help="graph: the file takes pixels and does the rest; metadata: it takes normalised "
            "numbers, and its metadata say how they are made."
        ),
    ] = "graph",
    licence: Annotated[
        str, typer.Option(help="Of the weights, for the metadata and the card.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write the trained network as one ONNX file, checked, with a model card beside it."""
    from convscope.printing import Listener, print_export, print_json
    from convscope.shipping import export as write_export

    with Listener(as_json=True) as listen:
        found = write_export(
            run,
            to=to,
            out=out,
            int8=int8,
            preprocessing=preprocessing,
            licence=licence,
            listen=listen,
        )
    if as_json:
        print_json(found.to_json())
    else:
        print_export(found)
