"""Set the demo's stage, tell the story, and leave the stage empty."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modelway.home import Home

if TYPE_CHECKING:
    from modelway.cli.demo.board import Board

KEPT = "prefect"
"""Prefect's database survives: making one takes longer than any station."""


def run(*, keep: bool, small: bool) -> None:
    """Run the whole demo.

    Raises:
        ModelwayError: A station failed. What was started is stopped all the same.
    """
    home = _fresh_home()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    finished = False
    try:
        _tell(home, small=small, keep=keep)
        finished = True
    finally:
        if not (keep and finished):
            _strike(home)


def _fresh_home() -> Home:
    """The demo's own home, below the checkout's: emptied, so that a replay of 2005 knows nothing of 2008."""
    home = Home(Home.current().root / "demo")
    os.environ["MODELWAY_HOME"] = str(home.root)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "WARN")
    _strike(home)
    for path in home.root.glob("*"):
        if path.name != KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    home.prefect.mkdir(parents=True, exist_ok=True)
    return home


def _tell(home: Home, *, small: bool, keep: bool) -> None:
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
    board.console.print(board.table())
    _say_where(home, board, keep=keep)


def _set_up(home: Home) -> tuple[str, str]:
    """Prefect's server starts while ZenML makes its store."""
    from stacks.apply import ensure_active_stack  # noqa: PLC0415 - as above
    from stacks.prefect_server import ensure_server, start_server  # noqa: PLC0415 - as above

    start_server(home)
    name = ensure_active_stack(home)
    os.environ["PREFECT_API_URL"] = ensure_server(home)
    return f"stack {name}: files, SQLite and processes, no server beforehand", os.environ["PREFECT_API_URL"]


def _say_where(home: Home, board: "Board", *, keep: bool) -> None:
    console = board.console
    console.print(f'This home: eval "$(MODELWAY_HOME={_short(home.root)} .venv/bin/modelway env)"')
    if not keep:
        console.print(
            "Pages: run `modelway ui` in it (Prefect, MLflow, reports). `--keep` leaves all of it up."
        )
        return
    from stacks.pages import start_pages, wait_for_pages  # noqa: PLC0415 - as above

    pages = start_pages(home)
    wait_for_pages(home, pages)
    for page in pages:
        console.print(f"{page.title}: {page.url}")


def _short(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _strike(home: Home) -> None:
    """Stop whatever runs in this home: gateways, servers, pages."""
    from serving.rollout.local import LocalTarget  # noqa: PLC0415 - as above
    from stacks.pages import stop_pages  # noqa: PLC0415 - as above

    for root in home.root.glob("stacks/*/serving"):
        LocalTarget(root).stop()
    stop_pages(home)
