"""The hash chain of the audit log: how an entry is linked to the one before, and how that is checked."""

import hashlib
import json
from typing import Any

from modelway.contract import Outcome, Reason

GENESIS = "0" * 64
"""What the first entry is linked to."""

Row = tuple[Any, ...]
"""id, the entry's fields, previous_hash, hash."""


def canonical(value: Any) -> str:
    """One text for each value: keys sorted, no spaces; NaN is refused."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def link(fields: tuple[str, ...], previous_hash: str) -> str:
    """Hash of one entry. The fields go in as a JSON list: no way to shift a word between two of them."""
    return hashlib.sha256(canonical([*fields, previous_hash]).encode()).hexdigest()


def chained(rows: list[Row]) -> Reason:
    """Walk the chain; the first link that does not hold is where it was cut."""
    previous = GENESIS
    for row in rows:
        entry_id, *fields, linked, found = row
        if linked != previous or link(tuple(str(field) for field in fields), linked) != found:
            message = f"entry {entry_id} is not what was written, or not where it was written"
            return Reason(
                metric="audit.chain", outcome=Outcome.FAIL, message=message, found=entry_id, samples=len(rows)
            )
        previous = found
    message = f"all {len(rows):,} entries are what was written"
    return Reason(metric="audit.chain", outcome=Outcome.PASS, message=message, samples=len(rows))


def complete(rows: list[Row], appended: int) -> Reason:
    """Cutting off the newest entries leaves a valid chain; SQLite's own counter tells."""
    newest = rows[-1][0] if rows else 0
    whole = newest == appended == len(rows)
    return Reason(
        metric="audit.complete",
        outcome=Outcome.PASS if whole else Outcome.FAIL,
        message=f"{len(rows):,} entries are there" + ("" if whole else f", {appended:,} were appended"),
        found=len(rows),
        limit=appended,
        unit="entries",
        samples=len(rows),
    )
