"""Set the demo's stage, tell the story, and leave the stage empty."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from modelway.home import Home

if TYPE_CHECKING:
    from modelway.cli.demo.board import Board

KEPT = "prefect"
"""Prefect's database survives: making one takes longer than any station."""

QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "ZENML_LOGGING_VERBOSITY": "ERROR",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""The demo speaks for the libraries; what they say is in Prefect's page and in the step's log."""


def run(*, keep: bool, small: bool, picture: Path | None) -> None:
    """Run the whole demo.

    Raises:
        ModelwayError: A station failed. What was started is stopped all the same.
    """
    home = _fresh_home()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    finished = False
    try:
        board = _tell(home, small=small)
        board.show(picture)
        _say_where(home, board, keep=keep)
        finished = True
    finally:
        if not (keep and finished):
            _strike(home)


def _fresh_home() -> Home:
    """The demo's own home, below the checkout's: emptied, so that a replay of 2005 knows nothing of 2008."""
    home = Home(Home.current().root / "demo")
    os.environ["MODELWAY_HOME"] = str(home.root)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    _strike(home)
    for path in home.root.glob("*"):
        if path.name != KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    home.prefect.mkdir(parents=True, exist_ok=True)
    return home


def _tell(home: Home, *, small: bool) -> "Board":
    from modelway.cli.demo.board import Board  # noqa: PLC0415 - after the environment is set
    from modelway.cli.demo.scenario import FULL, SMALL  # noqa: PLC0415 - as above
    from stacks.environment import activate_home  # noqa: PLC0415 - as above

    activate_home()
    board = Board()
    with board.station("stack") as row:
        row.happened, row.figure = _set_up(home)
        row.look = "modelway stack show local"
    from modelway.cli.demo.story import Story  # noqa: PLC0415 - flows need the environment

    Story(SMALL if small else FULL, board).tell()
    return board


def _set_up(home: Home) -> tuple[str, str]:
    """Prefect's server starts while ZenML makes its store."""
    from stacks.apply import ensure_active_stack  # noqa: PLC0415 - as above
    from stacks.prefect_server import ensure_server, start_server  # noqa: PLC0415 - as above

    start_server(home)
    name = ensure_active_stack(home)
    os.environ["PREFECT_API_URL"] = ensure_server(home)
    return f"stack {name}: files, SQLite and processes, no server beforehand", os.environ["PREFECT_API_URL"]


def _say_where(home: Home, board: "Board", *, keep: bool) -> None:
    from modelway.cli.demo.board import short  # noqa: PLC0415 - as above
    from modelway.cli.demo.page import write_page  # noqa: PLC0415 - as above

    page = write_page(board.rows, home.reports)
    say = board.console.print
    say(f"\nThis table as a page: {short(str(page))}", soft_wrap=True)
    enter = f'eval "$(MODELWAY_HOME={short(str(home.root))} .venv/bin/modelway env)"'
    say(f"Look around with the commands above, after: {enter}", soft_wrap=True)
    if keep:
        _start_pages(home, board)
    else:
        say("Prefect's, MLflow's and the report pages: .venv/bin/modelway ui   (--keep leaves everything up)")


def _start_pages(home: Home, board: "Board") -> None:
    from stacks.pages import start_pages, wait_for_pages  # noqa: PLC0415 - as above

    pages = start_pages(home)
    wait_for_pages(home, pages)
    for each in pages:
        board.console.print(f"{each.title}: {each.url}")
    board.console.print("Stop it all: .venv/bin/modelway serve --stop; .venv/bin/modelway ui --stop")


def _strike(home: Home) -> None:
    """Stop whatever runs in this home: gateways, servers, pages."""
    from serving.rollout.local import LocalTarget  # noqa: PLC0415 - as above
    from stacks.pages import stop_pages  # noqa: PLC0415 - as above

    for root in home.root.glob("stacks/*/serving"):
        LocalTarget(root).stop()
    if "prefect" in sys.modules:
        from stacks.flavors.console import hang_up  # noqa: PLC0415 - Prefect, which may not be needed

        hang_up()
    stop_pages(home)
