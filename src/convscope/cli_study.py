"""The command line of the studies: `convscope study`."""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli_options import Json

EPILOG = (
    "\b\nExamples:\n"
    "  convscope study                              the questions\n"
    "  convscope study pooling-invariance --report  on the embedded digits, with a page\n"
    "  convscope study pooling-kind --data MNIST --seeds 10\n"
    "  convscope study all --data MNIST --data CIFAR10 --budget full\n"
    "  convscope study my-question.json             your own: see docs/studies.md\n\n"
    "What was cut goes on where it stopped; what is done is not done again."
)


def study(
    name: Annotated[
        str | None,
        typer.Argument(help="A study, `all`, or a JSON file; without one they are listed."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A name or path, once or twice: grey images stand for digits, colour ones for "
            "pictures. Default: mnist-sample and shapes."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="Seeds of each arm.")] = None,
    budget: Annotated[str, typer.Option(help="quick (minutes) or full (hours).")] = "quick",
    report: Annotated[bool, typer.Option("--report", help="Write a page to look at.")] = False,
    done: Annotated[
        bool, typer.Option("--done", help="Train nothing: put together what is done.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where rows, results and pages go.")] = Path(
        "runs/studies"
    ),
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="Processes; 0: one for each core.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Try a claim about CNNs yourself: arms, seeds, statistics, a verdict in plain words."""
    from convscope.printing import Listener, print_json
    from convscope.printing_studies import print_studies, print_study
    from convscope.studies.questions import STUDIES
    from convscope.studies.results import write_results
    from convscope.studies.running import Plan, choose_sources, run_studies, valid_budget
    from convscope.studies.study import chosen_studies

    if name is None:
        if as_json:
            print_json([one.model_dump(mode="json") for one in STUDIES.values()])
        else:
            print_studies(STUDIES)
        return
    chosen = chosen_studies(name, STUDIES)
    with Listener(as_json=True) as listen:
        plan = Plan(
            budget=valid_budget(budget),
            seeds=seeds or 0,
            sources=choose_sources(data or [], listen),
            store=out,
            workers=workers,
            train=not done,
        )
        found = run_studies(chosen, plan, listen)
        for document in found:
            path = write_results(document, out)
            page = None
            if report:
                from convscope.studies.page import write_page

                page = write_page(document, out)
            listen.display.clear()
            if not as_json:
                print_study(document, path, page)
    if as_json:
        print_json(found if name == "all" else found[0])
