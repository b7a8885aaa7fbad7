"""What a bundle that is asked by key says, and an online store as our Feast store class leaves it."""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from modelway.bundle.canonical import canonical_json
from modelway.bundle.online import ONLINE_FILE, OnlineFeatures, OnlineView

DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000
SUBJECT = OnlineView(
    name="subject", table="shop_subject", entity="paint_id", features=("amount", "colour"), ttl_s=10 * 86_400
)
PALETTE = OnlineView(
    name="palette", table="shop_palette", entity="colour", features=("months",), ttl_s=86_400
)
FEATURES = OnlineFeatures(subject=SUBJECT, views=(PALETTE,))
ONLINE = {ONLINE_FILE: canonical_json(FEATURES)}
Row = Mapping[str, float | str | None]


def store(path: Path) -> Path:
    """An empty store."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE modelway_rows (view TEXT, entity TEXT, event_us INTEGER, known_us INTEGER, "
            "row TEXT, PRIMARY KEY (view, entity)) WITHOUT ROWID"
        )
    connection.close()
    return path


def put(  # noqa: PLR0913, PLR0917 - a stored row has as many parts
    path: Path,
    view: OnlineView,
    entity: str,
    row: Row,
    event_us: int = NOW_US,
    known_us: int | None = None,
) -> None:
    """One row, known when it happened unless said otherwise."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO modelway_rows VALUES (?, ?, ?, ?, ?)",
            (view.table, entity, event_us, event_us if known_us is None else known_us, json.dumps(row)),
        )
    connection.close()
