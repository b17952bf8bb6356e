"""The command line: parse, call one function, print. Imports nothing heavy before it is needed."""

import gc
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from convscope import (
    cli_cache,
    cli_explain,
    cli_export,
    cli_lab,
    cli_predict,
    cli_serve,
    cli_study,
    cli_tune,
)
from convscope.cli_options import Json

app = typer.Typer(
    name="convscope",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train the classic convolutional networks on your own images, see why they work, "
    "and trust the numbers.\n\n"
    "\b\n"
    "  convscope train                      LeNet-5 on 5,000 real digits, in seconds\n"
    "  convscope train lenet5 --data DIR    on your own folder of class folders\n"
    "  convscope predict RUN picture.png    what the trained network says\n"
    "  convscope export RUN                 one ONNX file that runs anywhere, with its card\n"
    "  convscope anatomy lenet5-1998        the paper's network, layer by layer",
)

app.add_typer(cli_cache.app, name="cache")

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]


@app.command(
    epilog="\b\nExamples:\n"
    "  convscope train\n"
    "  convscope train lenet5 --data mnist --seed 1\n"
    "  convscope train lenet5 --data photos/ --set epochs=20 --set validation=0.2\n"
    "  convscope train alexnet-fast --data photos/\n"
    "  convscope train alexnet-cifar --data cifar10 --precision fp32\n"
    '  convscope train lenet5 --set \'model.arguments.pool={"layer":"pool","kind":"average"}\'\n'
    "  convscope train --resume runs/lenet5-mnist-seed0-20261122-101500\n"
    "  torchrun --nproc-per-node 2 -m convscope train lenet5 --data mnist"
)
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A name of `convscope list recipes`; lenet5-augmented if none is given."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A name of `convscope list datasets`, or a path.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change a field of the recipe; --print-recipe shows all, docs/recipes.md says "
            "what they are.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory to make.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="fp32, bf16, or auto: the one that is measured to be faster here."),
    ] = None,
    cache: Annotated[
        str,
        typer.Option(
            help="Keep decoded images on disk: auto (where memory is too small), always, never."
        ),
    ] = "auto",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")
    ] = False,
    print_recipe: Annotated[
        bool, typer.Option("--print-recipe", help="Show the resolved recipe and stop.")
    ] = False,
    track: Annotated[
        str | None,
        typer.Option(help="Results for tensorboard or mlflow, too, in the run's directory."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network, evaluate it on the test set, write the report."""
    from convscope.data.loading import read_ahead

    if data is not None and not print_recipe:
        read_ahead(data)  # while torch is imported
    from convscope import pipeline
    from convscope.errors import InputError
    from convscope.printing import Listener, print_json
    from convscope.processes import is_follower

    begun = [recipe, data, settings, out, skip_bad, print_recipe, precision, cache != "auto"]
    if resume and (any(begun) or seed is not None):
        raise InputError(
            "--resume goes on with a run as it was begun: leave out the recipe, --data, --set, "
            "--seed, --out, --precision, --cache, --skip-bad and --print-recipe, or start a new run"
        )
    recipe = recipe or "lenet5-augmented"
    settings = [*(settings or []), *([f"precision={precision}"] if precision else [])]
    if print_recipe:
        chosen = pipeline.resolve(recipe, data=data, settings=settings, seed=seed)
        print_json(chosen.model_dump(mode="json"))
        return
    with Listener(as_json=as_json, quiet=is_follower()) as listen:
        if resume:
            run = pipeline.resume(resume, track=track, listen=listen)
        else:
            run = pipeline.train(
                recipe,
                data=data,
                settings=settings,
                seed=seed,
                out=out,
                skip_bad=skip_bad,
                cache=cache,
                track=track,
                listen=listen,
            )
        listen.finish(run)


@app.command(
    epilog="\b\nExamples:\n"
    "  convscope evaluate runs/digits\n"
    "  convscope evaluate runs/digits --data my-test-folder/ --json | jq .accuracy"
)
def evaluate(
    run: RunPath,
    data: Annotated[
        str | None, typer.Option(help="Other data than the run's own test set: a name or a path.")
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness/--no-robustness",
            help="Measure robustness curves; without them nothing is written into the run.",
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Measure a trained run on test images; write results and report into the run."""
    from convscope import pipeline
    from convscope.printing import Listener, print_evaluation, print_json
    from convscope.text import printable

    with Listener(as_json=True) as listen:
        result = pipeline.evaluate(run, data=data, robustness=robustness, listen=listen)
    if as_json:
        print_json(result.to_json())
    else:
        print_evaluation(result)
        if data is None and robustness:
            print(f"report  {printable(run / 'report.html')}")


app.command(epilog=cli_predict.EPILOG)(cli_predict.predict)
app.command(epilog=cli_lab.EPILOG)(cli_lab.lab)
app.command(epilog=cli_explain.EPILOG)(cli_explain.explain)
app.command(epilog=cli_serve.EPILOG)(cli_serve.serve)
app.command(epilog=cli_export.EPILOG)(cli_export.export)
app.command(epilog=cli_study.EPILOG)(cli_study.study)
app.command(epilog=cli_tune.EPILOG)(cli_tune.tune)


@app.command(
    epilog="\b\nExamples:\n"
    "  convscope anatomy lenet5-1998\n"
    "  convscope anatomy lenet5 --input 3x32x32 --json"
)
def anatomy(
    model: Annotated[str, typer.Argument(help="A name of `convscope list models`.")],
    input_shape: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="The input, such as 1x32x32.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A network layer by layer: shapes, receptive fields, parameters, connections, formulas."""
    from convscope.model_summary import anatomy as take_apart
    from convscope.printing import print_anatomy, print_json

    found = take_apart(model, _shape(input_shape) if input_shape else None)
    if as_json:
        print_json(found.to_json())
    else:
        print_anatomy(found)


@app.command(
    epilog="\b\nExamples:\n"
    "  convscope check photos/\n"
    "  convscope check archive.zip --preview sheet.png"
)
def check(
    data: Annotated[str, typer.Argument(help="A path, or a name of `convscope list datasets`.")],
    preview: Annotated[
        Path | None, typer.Option(help="Where to write a sheet of example images (PNG).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at data before training: classes, counts, sizes, bad files, duplicates."""
    from convscope.checking import check as check_data
    from convscope.printing import print_inspection, print_json
    from convscope.terminal import Display

    with Display() as display:
        found = check_data(
            data, preview=preview, progress=lambda done, total: display.work("images", done, total)
        )
    if as_json:
        print_json(found.to_json())
    else:
        print_inspection(found, preview)
    if found.unusable:
        raise typer.Exit(2)
    if found.is_bad:
        raise typer.Exit(1)


@app.command(
    name="list", epilog="\b\nExamples:\n  convscope list recipes\n  convscope list datasets --json"
)
def list_names(
    what: Annotated[str, typer.Argument(metavar="models|recipes|datasets")],
    as_json: Json = False,
) -> None:
    """List the models, recipes or data sets, a line each."""
    from convscope.errors import unknown_name
    from convscope.listing import LISTS
    from convscope.printing import print_json, print_listing

    if what not in LISTS:
        raise unknown_name("list", what, LISTS)
    entries = LISTS[what]()
    if as_json:
        print_json([entry.to_json() for entry in entries])
    else:
        print_listing(entries)


@app.command(epilog="\b\nExamples:\n  convscope compare runs/a runs/b")
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Two runs or more.")],
    as_json: Json = False,
) -> None:
    """Set runs side by side: settings that differ, accuracy, and whether it can be chance."""
    from convscope.comparison import compare as compare_runs
    from convscope.printing import print_comparison, print_json

    found = compare_runs(runs)
    if as_json:
        print_json(found.to_json())
    else:
        print_comparison(found)


@app.command(epilog="\b\nExamples:\n  convscope doctor\n  convscope doctor --json")
def doctor(as_json: Json = False) -> None:
    """Versions, processor, threads, and what is missing."""
    from convscope.environment import doctor as diagnose
    from convscope.printing import print_diagnosis, print_json

    found = diagnose()
    if as_json:
        print_json(found.to_json())
    else:
        print_diagnosis(found)
    if not found.healthy:
        raise typer.Exit(1)


def _shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width from text such as 1x32x32."""
    from convscope.errors import InputError
    from convscope.text import printable

    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 3 or not all(
        part.isascii() and part.isdigit() and len(part) <= 6 for part in parts
    ):
        raise InputError(f"input '{printable(text)}': write channels x height x width: 1x32x32")
    channels, height, width = map(int, parts)
    return channels, height, width


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from convscope.errors import ConvscopeError
    from convscope.processes import is_told_here

    # Importing torch makes half a million objects that stay; by default Python looks through them
    # for garbage again and again, for a third of a second.
    gc.set_threshold(100_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without UTF-8 shows escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except ConvscopeError as error:
        if is_told_here(error):
            print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        from convscope.text import printable

        print(f"error: {printable(error)}: check the path and the rights to it", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        print(
            "error: out of memory: take smaller batches (--set batch_size=32), smaller or fewer "
            "images, or a smaller network",
            file=sys.stderr,
        )
        sys.exit(1)
