"""Which snapshots may go, and their removal. What a registered model was made from always stays."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from modelway.contract import Frozen
from modelway.data.lock import collecting
from modelway.data.manifest import Snapshot
from modelway.data.snapshot import FolderSnapshotStore
from modelway.data.storage import ABANDONED_AFTER_S
from modelway.errors import InputError


class Collection(Frozen):
    """What a collection removes, and why it leaves the rest."""

    removed: tuple[str, ...]
    """Ids of snapshots."""
    kept: Mapping[str, str]
    """Id -> why it stays."""
    files: Mapping[str, int]
    """Stored files that no snapshot that stays consists of -> bytes."""

    @property
    def freed_bytes(self) -> int:
        """Size of the files that go."""
        return sum(self.files.values())


def plan_collection(
    store: FolderSnapshotStore, protected: Mapping[str, str], *, keep_last: int
) -> Collection:
    """Decide without touching anything.

    A snapshot stays when a model needs it, when it is among the newest of its use case, or when one that
    stays was made from it.

    Args:
        store: What there is.
        protected: Snapshot id -> what needs it, e.g. `credit@3`.
        keep_last: How many of each use case's newest stay anyway.

    Raises:
        InputError: `keep_last` is below 1: the newest snapshot is what the next training reads.
    """
    if keep_last < 1:
        raise InputError(f"keep {keep_last} snapshots", expected="1 or more", remedy="raise --keep")
    known = {snapshot.id: snapshot for snapshot in store.list()}
    kept = {name: f"needed by {why}" for name, why in protected.items() if name in known}
    for name in _newest(known.values(), keep_last):
        kept.setdefault(name, f"among the {keep_last} newest")
    for name, child in _ancestors(known, kept):
        kept.setdefault(name, f"parent of {child[:12]}")
    removed = tuple(name for name in known if name not in kept)
    files = _files_of_none(store, [known[name] for name in kept])
    return Collection(removed=removed, kept=kept, files=files)


def _files_of_none(store: FolderSnapshotStore, staying: Iterable[Snapshot]) -> dict[str, int]:
    """Stored files that none of the snapshots consists of -> bytes."""
    stored = store.folder.sizes("objects")
    needed = {chunk.name for snapshot in staying for chunk in snapshot.files + snapshot.quarantine_files}
    return {name: size for name, size in stored.items() if name not in needed}


def collect(
    store: FolderSnapshotStore, protected: Callable[[], Mapping[str, str]], *, keep_last: int
) -> Collection:
    """Remove what may go: manifests first, so that no snapshot is ever without its rows.

    Files written or used again within the last hour stay: on a remote store their snapshot may be about to
    appear. They, and what a killed collection or commit left, go with the next one. Snapshots that have
    appeared there since the plan was made keep their files.

    Args:
        store: What there is.
        protected: Gives snapshot id -> what needs it. Asked once nobody can commit rows or pack a bundle any
            more: one that is packed a moment later finds its snapshot gone, and fails.
        keep_last: How many of each use case's newest stay anyway.

    Returns:
        What was removed; `files` are those that are really gone.

    Raises:
        TransitionError: Rows are being committed, or a bundle is being made of some, right now.
        StorageError: A file cannot be removed; what was removed before is consistent.
    """
    with collecting(store.folder):
        plan = plan_collection(store, protected(), keep_last=keep_last)
        for name in plan.removed:
            store.folder.remove(f"manifests/{name}.json")
        gone = {
            name: size
            for name, size in _files_of_none(store, store.list()).items()
            if store.folder.remove(name, younger_than_s=ABANDONED_AFTER_S)
        }
    return plan.model_copy(update={"files": gone})


def _newest(snapshots: Iterable[Snapshot], keep_last: int) -> Iterator[str]:
    by_use_case: dict[str, list[str]] = {}
    for snapshot in snapshots:
        by_use_case.setdefault(snapshot.use_case, []).append(snapshot.id)
    for ids in by_use_case.values():
        yield from ids[-keep_last:]


def _ancestors(known: Mapping[str, Snapshot], kept: Iterable[str]) -> list[tuple[str, str]]:
    """Each ancestor of what is kept, with the child that names it."""
    found: list[tuple[str, str]] = []
    seen, waiting = set(kept), list(kept)
    while waiting:
        child = waiting.pop()
        for parent in known[child].parents:
            if parent in known and parent not in seen:
                seen.add(parent)
                found.append((parent, child))
                waiting.append(parent)
    return found
