"""Old versions give their bundles back to the disk; what was decided about them, and why, stays."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from modelway.bundle.bundle import CARD_FILE, LINEAGE_FILE
from modelway.contract import Frozen
from modelway.errors import InputError, StorageError
from modelway.registry.books import Books
from modelway.registry.ledger import PRUNED, Decision, Ledger
from modelway.registry.stages import Stage
from modelway.registry.vault import Vault

_REMAINS = (LINEAGE_FILE, CARD_FILE)
"""Kept beside the evaluation: where the model came from, and what was known of it."""


class Prunable(Frozen):
    """A version whose bundle may go."""

    version: int
    semantic: str | None
    digest: str
    size_bytes: int
    """What goes with it; 0 where the folder is gone already."""


def prunable(ledger: Ledger, keep: int, rollbacks: int | None = None) -> tuple[int, ...]:
    """Versions whose bundle may go, oldest first. Pure.

    Never one in Production, Staging or Development, never one of the newest archived ones that are kept,
    never one that a rollback can return to, and never one whose bundle another version needs, be it its own
    or what it was made from.

    Args:
        ledger: All decisions on the model.
        keep: How many of the newest archived versions stay whole.
        rollbacks: How many rollbacks in a row must stay possible; None: as many as now.
    """
    there = [v for v in ledger.records if v not in ledger.pruned]
    archived = sorted(v for v in there if ledger.shelf.stages[v] is Stage.ARCHIVED)
    served = ledger.shelf.served
    reachable = served if rollbacks is None else served[-(rollbacks + 1) :]
    kept = {*archived[max(0, len(archived) - keep) :], *reachable}
    old = [v for v in archived if v not in kept]
    staying = [ledger.records[v] for v in there if v not in old]
    needed = {r.digest for r in staying} | {r.variant.origin_digest for r in staying if r.variant}
    return tuple(v for v in old if ledger.records[v].digest not in needed)


class Retention:
    """Prunes one registry's bundles."""

    def __init__(self, books: Books, vault: Vault) -> None:
        """Remember the decisions and the files."""
        self._books = books
        self._vault = vault

    def plan(self, name: str, *, keep: int, rollbacks: int | None = None) -> tuple[Prunable, ...]:
        """What `prune` would remove. Changes nothing anywhere.

        Raises:
            NotFoundError: Nobody registered that model.
            InputError: `keep` or `rollbacks` is below 0.
        """
        _check_counts(keep, rollbacks)
        ledger = self._books.seen(name)
        return tuple(self._prunable(ledger, version) for version in prunable(ledger, keep, rollbacks))

    def prune(
        self, name: str, *, keep: int, who: str, why: str, rollbacks: int | None = None
    ) -> tuple[Prunable, ...]:
        """Remove old bundles.

        Each is written down before it goes: a kill leaves only files behind, which the next call removes.

        Raises:
            NotFoundError: Nobody registered that model.
            InputError: `keep` or `rollbacks` is below 0, or no reason is given.
            TransitionError: Someone decided about this model meanwhile.
            StorageError: A folder cannot be removed.
        """
        _check_counts(keep, rollbacks)
        ledger = self._books.known(name)
        gone = tuple(self._prunable(ledger, version) for version in prunable(ledger, keep, rollbacks))
        try:
            for each in gone:
                self._keep_remains(name, each)
                facts = {"digest": each.digest, "size_bytes": each.size_bytes}
                ledger = self._books.decide(ledger, Decision(PRUNED, each.version, who, why, facts))
            self._sweep(ledger)
        except OSError as error:
            raise StorageError(
                f"cannot prune {name}: {error.filename}: {error.strerror or error}",
                expected="folders that can be read and removed",
                remedy="check who owns them, and run it again: it goes on where it stopped",
            ) from error
        return gone

    def _prunable(self, ledger: Ledger, version: int) -> Prunable:
        record = ledger.records[version]
        size = sum(path.stat().st_size for path in _files(self._vault.bundles / record.digest))
        return Prunable(version=version, semantic=record.semantic, digest=record.digest, size_bytes=size)

    def _keep_remains(self, name: str, gone: Prunable) -> None:
        folder = self._vault.evaluation_folder(name, gone.version)
        folder.mkdir(parents=True, exist_ok=True)
        for file in _REMAINS:
            source = self._vault.bundles / gone.digest / file
            if source.is_file():
                shutil.copyfile(source, folder / file)

    def _sweep(self, ledger: Ledger) -> None:
        """Remove the folders of pruned versions that no other version needs."""
        needed = {record.digest for v, record in ledger.records.items() if v not in ledger.pruned}
        for digest in {ledger.records[v].digest for v in ledger.pruned} - needed:
            folder = self._vault.bundles / digest
            leaving = folder.with_name(f".pruned-{digest}")
            if folder.is_dir():
                folder.rename(leaving)  # a folder under its digest is whole, or not there
            if leaving.is_dir():
                shutil.rmtree(leaving)


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else ()


def _check_counts(keep: int, rollbacks: int | None) -> None:
    if keep < 0 or (rollbacks or 0) < 0:
        raise InputError(
            f"keep {keep} versions and {rollbacks} rollbacks",
            expected="numbers from 0",
            remedy="`--dry-run` shows what would go",
        )
