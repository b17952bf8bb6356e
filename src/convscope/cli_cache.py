"""The command line of the cache: `convscope cache` and `convscope cache clear`."""

import typer

from convscope.cli_options import Json

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Decoded images kept on disk: where they lie, how large they are; `clear` removes them.",
)


@app.callback()
def cache(
    context: typer.Context,
    as_json: Json = False,
) -> None:
    """Decoded images kept on disk: where they lie and how large they are."""
    from convscope.data.cache_space import cache_info
    from convscope.printing import print_cache, print_json

    if context.invoked_subcommand:
        return
    found = cache_info()
    if as_json:
        print_json(found.to_json())
    else:
        print_cache(found)


@app.command(name="clear", epilog="\b\nExamples:\n  convscope cache clear")
def cache_clear() -> None:
    """Remove all decoded images; they are made again when they are needed."""
    from convscope.data.cache_space import clear_cache

    print(f"{clear_cache() / 1e9:.2f} GB freed")
