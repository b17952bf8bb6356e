"""The command line of the server: `convscope serve`."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "\b\nExamples:\n"
    "  convscope serve runs/digits\n"
    "  convscope serve digits.onnx --port 9000 --access-log 2> access.jsonl\n"
    "  CONVSCOPE_TOKEN=... convscope serve digits.onnx --host 0.0.0.0\n"
    "  convscope serve digits.onnx --allow-host classify.example.org   behind a proxy\n"
    "\n"
    "\b\n"
    "Ask it:\n"
    "  curl --data-binary @seven.png -H 'Content-Type: image/png' http://127.0.0.1:8422/predict"
)


def serve(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run directory, or an exported .onnx file.")
    ],
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on. Off this machine a token is asked for: "
            "$CONVSCOPE_TOKEN, or a random one that is printed."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes any.")] = 8422,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name clients may use, such as a proxy's."),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            help="Threads of one batch. With 1 each core has a batch of its own: the most pictures "
            "a second. More answer a single large picture sooner."
        ),
    ] = 1,
    batch: Annotated[int, typer.Option(help="Pictures in a batch, at most.")] = 64,
    queue: Annotated[
        int, typer.Option(help="Pictures on their way at once, at most; others get 503.")
    ] = 256,
    max_mb: Annotated[int, typer.Option(help="Megabytes of a picture's file, at most.")] = 16,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="A line of JSON for each request, on stderr.")
    ] = False,
) -> None:
    """Answer over HTTP what a trained network sees in pictures."""
    from convscope.errors import InputError

    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise InputError("serve needs starlette and uvicorn: pip install 'convscope[serve]'")
    from convscope.serving.server import Limits
    from convscope.serving.server import serve as run

    limits = Limits(batch=batch, waiting=queue, body=max_mb * 2**20, threads=threads)
    run(
        model,
        host=host,
        port=port,
        names=allow_host or (),
        limits=limits,
        access_log=access_log,
    )
