"""The command line of the search for settings: `convscope tune`."""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli_options import Json

EPILOG = (
    "\b\nExamples:\n"
    "  convscope tune lenet5 --data mnist-sample --trials 20\n"
    "  convscope tune alexnet-fast --data photos/ --vary optimizer.lr=0.01..1:log\n"
    "  convscope tune lenet5 --vary batch_size=32,64,128 --vary optimizer.lr=1e-4..1e-1:log\n"
    "The same command again goes on with the search, with more --trials too."
)


def tune(
    recipe: Annotated[str, typer.Argument(help="A name of `convscope list recipes`.")],
    data: Annotated[
        str | None, typer.Option(help="A name of `convscope list datasets`, or a path.")
    ] = None,
    trials: Annotated[int, typer.Option(help="How many trainings in all.")] = 20,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=RANGE",
            help="A field to vary: LOW..HIGH, LOW..HIGH:log, or values with commas.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field for all trials."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The search's directory; under runs/ if none is given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search the settings with which a recipe learns your data best, on validation images."""
    from convscope.printing import Listener, print_json
    from convscope.text import printable
    from convscope.tuning.tune import tune as search

    with Listener(as_json=as_json) as listen:
        found = search(
            recipe,
            data=data,
            trials=trials,
            vary=vary or (),
            settings=settings or (),
            seed=seed,
            out=out,
            listen=listen,
        )
    if as_json:
        print_json(found.to_json())
        return
    best = found.study.best
    if best is None:
        print("no trial was finished")
    else:
        print(f"best validation accuracy {found.study.trials[best].accuracy:.2%}, trial {best + 1}")
        for name, share in found.importance.items():
            print(f"importance {share:6.1%}  {printable(name)}")
        if found.command:
            print(f"train it  {printable(found.command, 2000)}")
    print(f"report    {printable(found.report)}")
