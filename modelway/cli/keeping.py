"""`modelway data lineage` and `modelway data gc`: what was made from what, and what may go."""

import json
from collections.abc import Iterable
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit

if TYPE_CHECKING:
    from modelway.data.collection import Collection
    from modelway.data.lineage_graph import Node
    from modelway.data.snapshot import FolderSnapshotStore
    from modelway.registry.model_version import ModelVersion

_JSON = typer.Option(False, "--json", help="Print JSON.")


def lineage(
    html: Path = typer.Option(None, help="Also write the graph as a page to this file."),
    json_: bool = _JSON,
) -> None:
    """Show which snapshot came from which, and the models made from each."""
    from modelway.data.lineage_graph import as_lines, lineage_graph  # noqa: PLC0415 - --help does without

    store, uses = _active()
    models = {snapshot: [f"{v.reference} ({v.stage})" for v in made] for snapshot, made in uses.items()}
    roots = lineage_graph(store.list(), models)
    if html is not None:
        html.write_text(_page(roots), encoding="utf-8")
    if json_:
        print(json.dumps([root.model_dump(mode="json") for root in roots], indent=2))
        return
    print("\n".join(as_lines(roots)) or "no snapshot")
    if html is not None:
        print(f"page: {html}")


def gc(
    keep: int = typer.Option(3, help="How many of each use case's newest snapshots stay anyway."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would go."),
    json_: bool = _JSON,
) -> None:
    """Remove snapshots that no registered model was made from. Models, archived ones too, keep theirs."""
    from modelway.data.collection import collect, plan_collection  # noqa: PLC0415 - --help does without
    from stacks.active import snapshot_store  # noqa: PLC0415 - ZenML, seconds

    store = snapshot_store()
    plan = partial(plan_collection, store, _needed()) if dry_run else partial(collect, store, _needed)
    done = plan(keep_last=keep)
    if json_:
        print(json.dumps({**done.model_dump(mode="json"), "freed_bytes": done.freed_bytes}, indent=2))
        return
    emit(_lines(done), as_json=False, title="Snapshots")
    verb = "would free" if dry_run else "freed"
    print(f"{verb} {done.freed_bytes / 1e6:.1f} MB in {len(done.files)} files")


def _active() -> "tuple[FolderSnapshotStore, dict[str, list[ModelVersion]]]":
    from modelway.registry.references import versions_by_snapshot  # noqa: PLC0415 - MLflow, seconds
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    return active.snapshot_store(), versions_by_snapshot(active.registry())


def _needed() -> dict[str, str]:
    """What each snapshot is needed by: registered versions, else a bundle that the registry does not name.

    Such a bundle waits to be registered, or MLflow's store is not the one that it was registered in.
    """
    from modelway.bundle.stored import bundles_by_snapshot  # noqa: PLC0415 - --help does without
    from stacks.active import bundles_folder  # noqa: PLC0415 - ZenML, seconds

    found = {
        snapshot: f"bundle {digests[0][:12]}"
        for snapshot, digests in bundles_by_snapshot(bundles_folder()).items()
    }
    _, uses = _active()
    return found | {snapshot: ", ".join(v.reference for v in made) for snapshot, made in uses.items()}


def _lines(done: "Collection") -> list[dict[str, str]]:
    going = [{"id": name[:12], "": "goes", "because": "no model needs it"} for name in done.removed]
    return [*going, *({"id": name[:12], "": "stays", "because": why} for name, why in done.kept.items())]


def _page(roots: "Iterable[Node]") -> str:
    from modelway.evaluation.page import page, section  # noqa: PLC0415 - --help does without

    lead = "Each snapshot stands below the one it was made from; the models made from it stand beside it."
    return page(
        "Data lineage", section("Snapshots and models", lead, f'<div class="card">{_list(roots)}</div>')
    )


def _list(nodes: "Iterable[Node]") -> str:
    items = "".join(
        f"<li><code>{escape(node.label)}</code>"
        f"{''.join(f'<br><b>{escape(model)}</b>' for model in node.models)}{_list(node.children)}</li>"
        for node in nodes
    )
    return f"<ul>{items}</ul>" if items else ""
