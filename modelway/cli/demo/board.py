"""What the demo shows: a line while a station works, one table at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Row:
    """One station's line: filled in by the station while it works."""

    station: str
    happened: str = ""
    figure: str = ""
    look: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Board:
    """Collects what each station did, and prints it."""

    console: Console = field(default_factory=lambda: Console(highlight=False))
    rows: list[Row] = field(default_factory=list)

    @contextmanager
    def station(self, name: str) -> Iterator[Row]:
        """Show that a station works, then what came of it."""
        row = Row(name)
        started = time.monotonic()
        with self.console.status(f"{name} …"):
            yield row
        row.seconds = time.monotonic() - started
        self.add(row)

    def add(self, row: Row) -> None:
        """Show a station that is over."""
        self.rows.append(row)
        self.console.print(f"[green]✓[/] [bold]{row.station}[/]  {row.happened}  [cyan]{row.figure}[/]")

    def show(self, picture: Path | None = None) -> None:
        """Print the table; with `picture`, draw it as an SVG file too."""
        self.console.print(self._table())
        if picture is not None:
            drawn = Console(record=True, width=150, file=picture.open("w", encoding="utf-8"))
            drawn.print(self._table())
            drawn.save_svg(str(picture), title="make demo")

    def _table(self) -> Table:
        """Station, what happened, figure, where to look."""
        table = Table(title="One turn of the loop", title_justify="left", show_lines=True)
        for heading in ("station", "what happened", "figure", "where to look", "s"):
            table.add_column(heading, justify="right" if heading == "s" else "left", overflow="fold")
        for row in self.rows:
            seconds = f"{row.seconds:.1f}" if row.seconds else ""
            table.add_row(row.station, row.happened, row.figure, short(row.look), seconds)
        return table


def short(path: str) -> str:
    """A path as seen from the working directory; anything else as it is."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
