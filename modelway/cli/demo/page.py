"""The demo's table as a page, with links to the reports it names."""

from html import escape
from pathlib import Path

from modelway.cli.demo.board import Row, short
from modelway.evaluation.page import page, section, table

LEAD = "What each station did in this run, and where to look. Every figure was computed in it."


def write_page(rows: list[Row], folder: Path) -> Path:
    """Write `index.html` into the reports folder; returns its path."""
    head = ("station", "what happened", "figure", "where to look", "seconds")
    body = section(
        "Stations", LEAD, table(head, [_cells(row, folder) for row in rows], numbers=frozenset({4}))
    )
    path = folder / "index.html"
    path.write_text(page("One turn of the loop", body), encoding="utf-8")
    return path


def _cells(row: Row, folder: Path) -> tuple[str, ...]:
    seconds = f"{row.seconds:.1f}" if row.seconds else ""
    return (escape(row.station), escape(row.happened), escape(row.figure), _look(row.look, folder), seconds)


def _look(look: str, folder: Path) -> str:
    """A link for a page of ours, else the command or path as it is."""
    path = Path(look)
    if path.suffix == ".html" and path.is_relative_to(folder):
        address = escape(str(path.relative_to(folder)))
        return f'<a href="{address}">{address}</a>'
    return f"<code>{escape(short(look))}</code>"
