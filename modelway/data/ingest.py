"""From a source to a snapshot: load, clean, hold against the contract, commit."""

from contextlib import suppress

from modelway.contract import Verdict
from modelway.data.addresses import described
from modelway.data.contract_versions import check_version
from modelway.data.lock import committing
from modelway.data.report import contract_report
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.data.validation import Inspection
from modelway.errors import ContractError, NotFoundError
from modelway.usecase import UseCase


def ingest(use_case: UseCase, source: str | None, store: FolderSnapshotStore) -> Snapshot:
    """Commit one snapshot of the source; the rows that were set aside are stored beside it.

    The source is read in chunks: memory holds one, not the table.

    Args:
        use_case: What to read and how to clean it.
        source: Where its `load` reads; None is its default.
        store: Where the snapshot goes.

    Raises:
        SourceError: The source is missing, empty or unreadable.
        ContractError: Wrong columns or types, too few rows, too many set aside, or another contract than the
            newest snapshot's under a version that does not say so. Nothing is committed.
        StorageError: The store cannot be written. Nothing is committed.
    """
    chosen = source or use_case.default_source
    with committing(store.folder):
        return _committed(use_case, chosen, store)


def _committed(use_case: UseCase, chosen: str, store: FolderSnapshotStore) -> Snapshot:
    check_version(newest_of(use_case, store), use_case.contract)
    inspection = Inspection(use_case.contract)
    writer = store.writer(use_case.name, use_case.contract, source=named(use_case, chosen))
    for raw in use_case.load(chosen):
        kept, aside = inspection.take(use_case.clean(raw))
        writer.add(kept)
        writer.set_aside(aside)
    report = contract_report(use_case.contract, inspection.seen)
    refuse_failed(use_case, report)
    return writer.commit(report)


def newest_of(use_case: UseCase, store: FolderSnapshotStore) -> Snapshot | None:
    """The use case's newest snapshot, if there is one."""
    with suppress(NotFoundError):
        return store.latest(use_case.name)
    return None


def named(use_case: UseCase, source: str) -> str:
    """A source as a manifest keeps it, also behind a name that only the use case knows, e.g. `sample`."""
    return described(str(getattr(use_case, "resolve", str)(source)))


def refuse_failed(use_case: UseCase, report: Verdict) -> None:
    """Let nothing be committed that its contract report fails.

    Raises:
        ContractError: It did.
    """
    if not report.passed:
        raise ContractError(
            f"{use_case.name}: {report.summary()}",
            expected=f"what contract {use_case.contract.version} promises; nothing was committed",
            remedy="look at the source, or change the contract's limits on purpose",
        )
