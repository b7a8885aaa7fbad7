"""`modelway demo`: one whole turn of the loop on real loans, in a home of its own."""

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, help="Drive the whole loop on real loans and print what happened.")


@app.callback(invoke_without_command=True)
def demo(
    keep: bool = typer.Option(False, "--keep", help="Leave the gateway and the pages up."),
    small: bool = typer.Option(False, "--small", help="The same story with less of everything, for CI."),
    picture: Path = typer.Option(None, dir_okay=False, help="Draw the table as an SVG file too."),
) -> None:
    """Raw loans to a served, load-tested, canaried, monitored, retrained model. Ctrl-C leaves nothing."""
    from modelway.cli.demo.run import run  # noqa: PLC0415 - --help does without

    run(keep=keep, small=small, picture=picture)
