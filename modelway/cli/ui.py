"""`modelway ui`: the pages of Prefect, MLflow and our reports."""

import signal
from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit

if TYPE_CHECKING:
    from modelway.home import Home
    from stacks.pages import Page

app = typer.Typer(add_completion=False, help="Start the pages: Prefect, MLflow and our reports.")


@app.callback(invoke_without_command=True)
def ui(
    detach: bool = typer.Option(False, "--detach", help="Leave the pages running and return."),
    stop: bool = typer.Option(False, "--stop", help="Stop the pages of this home."),
    prefect_port: int | None = typer.Option(
        None, help="Port of Prefect's page; default: the last one, or any."
    ),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Start the pages, print their addresses, and stop what was started on Ctrl-C."""
    from stacks.environment import activate_home  # noqa: PLC0415 - --help does without

    home = activate_home()
    if stop:
        _stop(home, json_)
    else:
        _start(home, prefect_port, detach=detach, json_=json_)


def _stop(home: "Home", json_: bool) -> None:
    from stacks.pages import stop_pages  # noqa: PLC0415 - as above

    emit([{"stopped": name} for name in stop_pages(home)], as_json=json_, title="Stopped")


def _start(home: "Home", prefect_port: int | None, *, detach: bool, json_: bool) -> None:
    from stacks.pages import start_pages, wait_for_pages  # noqa: PLC0415 - as above

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pages = start_pages(home, prefect_port=prefect_port)
    try:
        wait_for_pages(home, pages)
        emit([{"page": page.title, "address": page.url} for page in pages], as_json=json_, title="Pages")
        if not detach:
            typer.echo("Ctrl-C stops them.", err=True)
            signal.pause()
    except KeyboardInterrupt:
        _stop_started(home, pages)
    except BaseException:
        _stop_started(home, pages)
        raise


def _stop_started(home: "Home", pages: tuple["Page", ...]) -> None:
    """Only what this command started: a server that ran before may have flow runs."""
    from stacks.pages import stop_pages  # noqa: PLC0415 - as above

    if names := tuple(page.service.name for page in pages if page.started):
        stop_pages(home, names)
