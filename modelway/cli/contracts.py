"""`modelway data contract`: what a table promises, how that changed, and which models a change breaks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.output import emit
from modelway.errors import NotFoundError, VerdictError

if TYPE_CHECKING:
    from modelway.contract import Column, Verdict
    from modelway.data.compatibility import ModelNeeds
    from modelway.data.contract_versions import ContractChange, Version
    from modelway.data.snapshot import FolderSnapshotStore, Snapshot
    from modelway.registry.registry import Registry
    from modelway.usecase import UseCase


def contract(
    use_case: str = typer.Argument(help="Installed use case, e.g. credit."),
    tests: Path | None = typer.Option(
        None, help="Write unit tests of the contract to this file, and do no more."
    ),
    source: str | None = typer.Option(
        None, help="Where --tests finds a sound row; default: the use case's own."
    ),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show a contract, its versions over the snapshots, and the models it breaks: exit code 1 if any."""
    from modelway.usecase import load_use_case  # noqa: PLC0415 - polars, 100 ms

    chosen = load_use_case(use_case)
    if tests is not None:
        _write_tests(chosen, source, tests)
        return
    verdict = _show(chosen, as_json=json_)
    if not verdict.passed:
        raise VerdictError(
            verdict.summary(),
            expected="every Staging and Production model to find the columns of its features",
            remedy="keep the column, or bring a model that does without it to Production first",
        )


def _show(use_case: "UseCase", *, as_json: bool) -> "Verdict":
    from modelway.data.compatibility import compatibility  # noqa: PLC0415 - polars, 100 ms
    from modelway.data.contract_versions import contract_history  # noqa: PLC0415 - as above
    from stacks import active  # noqa: PLC0415 - ZenML, seconds

    store = active.snapshot_store()
    snapshots = [snapshot for snapshot in store.list() if snapshot.use_case == use_case.name]
    verdict = compatibility(use_case, _needs(active.registry(), store, use_case.name))
    history, changes = contract_history(snapshots), _unseen_changes(use_case, snapshots)
    if as_json:
        print(json.dumps(_document(use_case, history, changes, verdict), indent=2))
    else:
        _print(use_case, history, changes, verdict)
    return verdict


def _needs(registry: "Registry", store: "FolderSnapshotStore", name: str) -> "dict[str, ModelNeeds]":
    """What the models in Staging and Production were made of."""
    from modelway.data.compatibility import ModelNeeds  # noqa: PLC0415 - polars, 100 ms
    from modelway.registry.stages import Stage  # noqa: PLC0415 - --help does without

    found = {}
    for version in registry.list():
        if version.name == name and version.stage in {Stage.STAGING, Stage.PRODUCTION}:
            bundle = registry.bundle(version.name, version.version)
            columns = _columns(store, bundle.lineage.snapshot_id)
            needs = ModelNeeds(features=bundle.signature.names, columns=columns)
            found[f"{version.reference} ({version.stage})"] = needs
    return found


def _columns(store: "FolderSnapshotStore", snapshot_id: str) -> "dict[str, str] | None":
    try:
        return dict(store.get(snapshot_id).columns)
    except NotFoundError:
        return None


def _unseen_changes(use_case: "UseCase", snapshots: "Sequence[Snapshot]") -> "Sequence[ContractChange]":
    """What changed since the newest snapshot."""
    from modelway.data.contract_versions import contract_changes  # noqa: PLC0415 - --help does without

    promised = snapshots[-1].promised if snapshots else None
    return contract_changes(promised, use_case.contract) if promised else ()


def _document(
    use_case: "UseCase",
    history: "Sequence[Version]",
    changes: "Sequence[ContractChange]",
    verdict: "Verdict",
) -> dict[str, Any]:
    return {
        "contract": use_case.contract.model_dump(mode="json"),
        "history": [version.model_dump(mode="json") for version in history],
        "changes_since_newest_snapshot": [change.model_dump(mode="json") for change in changes],
        "models": verdict.model_dump(mode="json"),
    }


def _print(
    use_case: "UseCase",
    history: "Sequence[Version]",
    changes: "Sequence[ContractChange]",
    verdict: "Verdict",
) -> None:
    promised = use_case.contract
    title = f"{use_case.name} {promised.version}, key {promised.key}"
    emit([_column_line(column) for column in promised.columns], as_json=False, title=title)
    rules = [{"rule": r.name, "action": r.action, "violated": r.violated} for r in promised.rules]
    emit(rules, as_json=False, title="Rules")
    emit([_version_line(version) for version in history], as_json=False, title="Versions")
    if changes:
        emit([{"level": c.level, "what": c.what} for c in changes], as_json=False, title="Not ingested yet")
    models = [{"outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]
    emit(models, as_json=False, title="Models")


def _column_line(column: "Column") -> dict[str, Any]:
    limits = [
        f">= {column.ge:g}" if column.ge is not None else "",
        f"<= {column.le:g}" if column.le is not None else "",
    ]
    return {
        "column": column.name,
        "kind": f"{column.kind}{' or null' if column.nullable else ''}",
        "limits": " ".join([*filter(None, limits), ", ".join(column.isin or ())]).strip(),
        "known_from": column.known_from,
    }


def _version_line(version: "Version") -> dict[str, Any]:
    return {
        "version": version.version,
        "snapshots": version.snapshots,
        "first": version.first[:12],
        "last": version.last[:12],
        "changes": "; ".join(change.what for change in version.changes),
    }


def _write_tests(use_case: "UseCase", source: str | None, target: Path) -> None:
    from modelway.data.contract_tests import write_contract_tests  # noqa: PLC0415 - polars, 100 ms

    written = write_contract_tests(use_case, source, target)
    print(f"wrote {target}: {len(written.tested)} tests")
    for name, why in written.left_out.items():
        print(f"left out {name}: {why}")
