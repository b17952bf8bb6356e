"""The command line of the lab: `convscope lab`."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "\b\nExamples:\n"
    "  convscope lab                      the newest run under runs/, or the example\n"
    "  convscope lab runs/digits --port 9000\n"
    "  convscope lab --host 0.0.0.0       for others, too, with a token in the address\n"
    "  convscope lab runs/digits --snapshot digits.html   one file that works without a server"
)


def lab(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="A run directory; the newest if none is given."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on. Off this machine, or with $CONVSCOPE_TOKEN, a token is "
            "asked for."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="The port; where it is taken, the next free one.")
    ] = 8421,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the page as one HTML file that computes by itself, offline, and end.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Open a trained run in the browser and see inside it."""
    from convscope.errors import InputError
    from convscope.text import printable

    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise InputError("the lab needs starlette and uvicorn: pip install 'convscope[lab]'")
    if snapshot is not None:
        from convscope.lab.snapshot import write_snapshot

        size = write_snapshot(run, snapshot)
        typer.echo(f"wrote {printable(snapshot)}, {size / 1e6:.1f} MB: it opens in any browser")
        return
    from convscope.lab.server import serve

    serve(run, host=host, port=port, browser=browser)
