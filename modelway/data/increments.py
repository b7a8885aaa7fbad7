"""Ingest onto a snapshot: what is new, late or corrected is written, the rest is shared with the parent.

Rows are told apart by their key. `known_at` of a late row is its own: an as-of read before it does not show
the row, and one after it does, whenever the row came in.
"""

from modelway.data.contract_versions import check_version
from modelway.data.growth import Growth, is_news
from modelway.data.ingest import named, refuse_failed
from modelway.data.lock import committing
from modelway.data.rechecking import recheck, require_trust
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.data.validation import TYPES
from modelway.errors import ConflictError, ContractError, InputError
from modelway.usecase import UseCase

LATEST = "latest"


def ingest_onto(
    use_case: UseCase,
    source: str | None,
    store: FolderSnapshotStore,
    *,
    onto: str = LATEST,
    trust_parent: bool = False,
) -> Snapshot:
    """Commit what a source adds to a snapshot, as its child. The same increment again is the same snapshot.

    Args:
        use_case: What to read and how to clean it.
        source: The whole table again, or only the news; None is the use case's default.
        store: Where the parent is and the child goes.
        onto: Id of the parent, or `latest`.
        trust_parent: Take the parent's rows as keeping rules that changed and read columns which snapshots
            do not keep. The increment names them.

    Returns:
        The child; the parent itself where the source says nothing that it does not say.

    Raises:
        NotFoundError: No such parent.
        InputError: The parent is another use case's, or its report holds no sums.
        SourceError: The source is missing, empty or unreadable.
        ContractError: The parent has other columns, its rows break the contract or cannot be held against
            it, or the whole does not keep it. Nothing is committed.
        ConflictError: Somebody committed another snapshot onto `latest` meanwhile. Nothing is committed.
        StorageError: The store cannot be written. Nothing is committed.
    """
    chosen = source or use_case.default_source
    with committing(store.folder):
        growth, parent = grow(
            use_case, store, onto, source=named(use_case, chosen), trust_parent=trust_parent
        )
        for raw in use_case.load(chosen):
            growth.take(use_case.clean(raw))
        return finish(use_case, store, growth, parent, moving=onto == LATEST)


def grow(
    use_case: UseCase, store: FolderSnapshotStore, onto: str, *, source: str, trust_parent: bool
) -> tuple[Growth, Snapshot]:
    """Begin an increment, and the parent it grows from; see `ingest_onto`.

    Args:
        use_case: Whose contract holds.
        store: Where the parent is.
        onto: Its id, or `latest`.
        source: As the manifest is to name it.
        trust_parent: Whether rules that cannot be tried on the parent's rows count as kept.
    """
    parent = find_parent(use_case, store, onto)
    unchecked = recheck(store, parent, use_case.contract)
    if not trust_parent:
        require_trust(parent, use_case.contract, unchecked)
    return Growth(store, parent, use_case.contract, source=source, unchecked_rules=unchecked), parent


def find_parent(use_case: UseCase, store: FolderSnapshotStore, onto: str) -> Snapshot:
    """The snapshot to grow from.

    Raises:
        NotFoundError: There is none.
        InputError: It is another use case's.
        ContractError: It has other columns than the contract.
    """
    parent = store.latest(use_case.name) if onto == LATEST else store.get(onto)
    if parent.use_case != use_case.name:
        raise InputError(
            f"{parent.short_id} is a snapshot of {parent.use_case}",
            expected=f"one of {use_case.name}",
            remedy="`modelway data list` shows which is which",
        )
    check_version(store.latest(use_case.name), use_case.contract)
    _require_columns(use_case, store, parent)
    return parent


def _require_columns(use_case: UseCase, store: FolderSnapshotStore, parent: Snapshot) -> None:
    wanted = [(column.name, TYPES[column.kind]) for column in use_case.contract.columns]
    stored = store.chunk_rows(parent.files[0]).collect_schema()
    if wanted != list(stored.items()) or use_case.contract.key != parent.key:
        raise ContractError(
            f"{parent.short_id} has other columns, or in another order, than contract "
            f"{use_case.contract.version}",
            expected="a parent of the same key, columns and types",
            remedy="ingest the whole source, without --onto",
        )


def finish(
    use_case: UseCase, store: FolderSnapshotStore, growth: Growth, parent: Snapshot, *, moving: bool
) -> Snapshot:
    """Commit a growth that keeps the contract; see `ingest_onto`.

    Args:
        use_case: Whose contract the whole must keep.
        store: Where it goes.
        growth: With all its rows taken.
        parent: What it grew from.
        moving: Whether the parent must still be the newest of its use case.
    """
    increment = growth.increment()
    if not is_news(increment) and parent.contract_version == use_case.contract.version:
        return parent
    report = growth.report(increment)
    refuse_failed(use_case, report)
    if moving and store.latest(use_case.name).id != parent.id:
        raise ConflictError(
            f"{parent.short_id} is no longer the newest snapshot of {use_case.name}",
            expected="nobody else to ingest onto it meanwhile",
            remedy="run it again: it reads the newer one",
        )
    return growth.commit(report)
