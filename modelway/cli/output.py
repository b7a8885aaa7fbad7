"""How commands show what they found: a table for people, JSON for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def emit(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str = "") -> None:
    """Print a listing: JSON with `--json`, else a table.

    Args:
        rows: One mapping per line, all with the same keys; JSON-able values.
        as_json: Print one JSON array and nothing else.
        title: Heading of the table.
    """
    if as_json:
        print(json.dumps(list(rows), indent=2, default=str))
        return
    from rich.console import Console  # noqa: PLC0415 - 60 ms that --help need not pay

    Console().print(_table(rows, title) if rows else f"{title or 'nothing'}: none")


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> Any:
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(title=title or None, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


def complain(error: Exception) -> None:
    """Print an error's lines to stderr, the first one marked."""
    print(f"error: {error}", file=sys.stderr)
