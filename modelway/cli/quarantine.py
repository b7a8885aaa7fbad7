"""`modelway data quarantine`: what was set aside and why, and another try once it was mended."""

import json
from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit

if TYPE_CHECKING:
    from modelway.data.snapshot import FolderSnapshotStore

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Review rows that were set aside, and try them again."
)

_JSON = typer.Option(False, "--json", help="Print JSON.")
_STORE = typer.Option(None, "--store", help="Folder or URL of snapshots; default: the active stack's.")


@app.command("list")
def list_(
    snapshot_id: str = typer.Argument(help="Id, or the start of one."),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """List the reasons, the most frequent first, with the keys of a few rows each."""
    from modelway.data.replay import quarantine_groups  # noqa: PLC0415 - polars, 100 ms

    snapshots = opened(store)
    groups = quarantine_groups(snapshots, snapshots.get(snapshot_id))
    lines = [{**g.model_dump(), "examples": ", ".join(g.examples)} for g in groups]
    emit(lines, as_json=json_, title="Set aside")


@app.command()
def show(
    snapshot_id: str = typer.Argument(help="Id, or the start of one."),
    reason: str = typer.Option(None, help="Only rows set aside for this reason first."),
    rows: int = typer.Option(10, min=1, help="How many rows."),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Show quarantined rows with all their values and reasons."""
    import polars as pl  # noqa: PLC0415 - 100 ms

    snapshots = opened(store)
    found = snapshots.quarantine(snapshot_id)
    if reason and found.width:
        found = found.filter(pl.col("_reason") == reason)
    if json_:
        print(json.dumps(found.head(rows).to_dicts(), indent=2, default=str))
        return
    for row in found.head(rows).to_dicts():
        emit([{"column": name, "value": value} for name, value in row.items()], as_json=False)
    print(f"{min(rows, found.height):,} of {found.height:,} rows")


@app.command()
def replay(
    snapshot_id: str = typer.Argument(help="Id, or the start of one, or `latest`."),
    use_case: str = typer.Option(None, help="Needed with `latest`; else the snapshot names it."),
    source: str = typer.Option(None, help="Read and clean the rows anew from here: for a mended `clean`."),
    trust_parent: bool = typer.Option(
        False, "--trust-parent", help="The kept rows keep changed rules that cannot be tried on them."
    ),
    store: str = _STORE,
    json_: bool = _JSON,
) -> None:
    """Try quarantined rows again, and commit those that now pass as a child snapshot."""
    from modelway.data.replay import replay as run  # noqa: PLC0415 - polars and pandera, 2 s
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above

    snapshots = opened(store)
    chosen = load_use_case(use_case or snapshots.get(snapshot_id).use_case)
    child = run(chosen, snapshots, onto=snapshot_id, source=source, trust_parent=trust_parent)
    line = {"snapshot": child.id, "rows": child.rows, "set_aside": child.quarantined}
    emit([line], as_json=json_, title="After the replay")


def opened(store: str | None) -> "FolderSnapshotStore":
    """The store named, or the active stack's."""
    if store:
        from modelway.data.snapshot import FolderSnapshotStore  # noqa: PLC0415 - polars, 100 ms

        return FolderSnapshotStore(store)
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    return active.snapshot_store()
