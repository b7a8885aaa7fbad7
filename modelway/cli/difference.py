"""`modelway data diff`: what changed between two snapshots, for the terminal, machines and a browser."""

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelway.cli.output import emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelway.data.difference import Difference
    from modelway.data.distributions import Shift
    from modelway.data.snapshot import FolderSnapshotStore


def show_difference(
    store: "FolderSnapshotStore", old: str, new: str, *, html: Path | None, as_json: bool
) -> None:
    """Compare schema, rows and distributions, and print or write what was found."""
    from modelway.data.distributions import shifts  # noqa: PLC0415 - SciPy, a second

    a, b = store.get(old), store.get(new)
    found = store.diff(a.id, b.id)
    moved = shifts(a, b, store.scan(a.id), store.scan(b.id))
    if html is not None:
        html.write_text(_page(found, moved), encoding="utf-8")
    if as_json:
        both = {**found.model_dump(mode="json"), "columns": [s.model_dump(mode="json") for s in moved]}
        print(json.dumps(both, indent=2))
        return
    emit(_facts(found), as_json=False, title="Difference")
    emit([_line(shift) for shift in moved], as_json=False, title="Columns, the farthest moved first")
    print(summary(moved) if html is None else f"{summary(moved)}\npage: {html}")


def summary(moved: "Sequence[Shift]") -> str:
    """One sentence: which columns moved."""
    names = [shift.name for shift in moved if shift.moved]
    return f"moved: {', '.join(names)}" if names else f"none of {len(moved)} columns moved"


def _facts(found: "Difference") -> list[dict[str, Any]]:
    facts = found.model_dump(mode="json")
    by_column = facts.pop("changed_by_column")
    lines = {**facts, **{f"changed {name}": count for name, count in by_column.items()}}
    return [
        {"what": k, "value": ", ".join(map(str, v)) if isinstance(v, list) else v} for k, v in lines.items()
    ]


def _line(shift: "Shift") -> dict[str, Any]:
    return {
        "column": shift.name,
        "moved": "yes" if shift.moved else "",
        "distance": "no values" if shift.distance is None else f"{shift.distance:.3f}",
        "measure": shift.measure,
        "nulls": f"{shift.null_share_old:.2%} to {shift.null_share_new:.2%}",
        "typical": f"{shift.typical_old} to {shift.typical_new}",
    }


def _page(found: "Difference", moved: "Sequence[Shift]") -> str:
    from modelway.evaluation.page import page, section, table, tiles  # noqa: PLC0415 - --help does without

    counts = [(what, f"{getattr(found, what):,}", "rows") for what in ("added", "removed", "changed")]
    facts = [[escape(str(value)) for value in line.values()] for line in _facts(found)]
    columns = [[escape(str(value)) for value in _line(shift).values()] for shift in moved]
    lead = (
        "Distances from 0 (alike) to 1. Moved: by 0.1 or more, or 5 % more or fewer nulls, chance left out."
    )
    return page(
        "Data difference",
        tiles([*counts, ("columns", str(sum(s.moved for s in moved)), f"of {len(moved)} moved")])
        + section("Columns", f"{summary(moved)}. {lead}", table([*_line(moved[0])] if moved else [], columns))
        + section("Schema and rows", "By key; null equals null.", table(["what", "value"], facts)),
    )
