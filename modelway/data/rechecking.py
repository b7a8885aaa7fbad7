"""Hold a parent's rows against what its contract did not ask yet."""

import polars as pl

from modelway.contract import DataContract, RowRule
from modelway.data.contract_versions import contract_changes
from modelway.data.manifest import Snapshot
from modelway.data.snapshot import FolderSnapshotStore
from modelway.data.validation import Inspection
from modelway.errors import ContractError


def recheck(store: FolderSnapshotStore, parent: Snapshot, contract: DataContract) -> tuple[str, ...]:
    """Look at the parent's rows again, where the contract is not the one they were held against.

    Every limit of a column is tried, and every rule that is new or another and sets aside or repairs.

    Returns:
        Names of such rules that read columns a snapshot does not keep: nobody can try them any more.

    Raises:
        ContractError: A row of the parent breaks the contract.
    """
    if parent.promised == contract:
        return ()
    rules = _other_rules(parent, contract)
    tried = [rule for rule in rules if set(_columns(rule)) <= set(parent.columns)]
    as_faults = tuple(RowRule(**{**rule.model_dump(), "action": "quarantine"}) for rule in tried)
    inspection = Inspection(contract.model_copy(update={"rules": as_faults}))
    for chunk in parent.files:
        inspection.take(store.chunk_rows(chunk).collect())
    if inspection.seen.aside:
        raise _broken(parent, contract, inspection)
    return tuple(rule.name for rule in rules if rule not in tried)


def require_trust(parent: Snapshot, contract: DataContract, unchecked: tuple[str, ...]) -> None:
    """Refuse to take the parent's rows on trust.

    Raises:
        ContractError: There are rules that nobody can try on them.
    """
    if unchecked:
        raise ContractError(
            f"{', '.join(unchecked)} of contract {contract.version} cannot be tried on {parent.short_id}: "
            "it does not keep the columns they read",
            expected="rules that are the parent's, or read the contract's columns alone",
            remedy="ingest the whole source, or say --trust-parent if its rows keep them",
        )


def _other_rules(parent: Snapshot, contract: DataContract) -> list[RowRule]:
    acting = [rule for rule in contract.rules if rule.action != "note"]
    if parent.promised is None:
        return acting
    other = {change.rule for change in contract_changes(parent.promised, contract)}
    return [rule for rule in acting if rule.name in other]


def _columns(rule: RowRule) -> list[str]:
    return pl.sql_expr(rule.violated).meta.root_names()


def _broken(parent: Snapshot, contract: DataContract, inspection: Inspection) -> ContractError:
    seen = inspection.seen
    told = "; ".join(f"{count:,} for {name}" for name, count in seen.first.items())
    return ContractError(
        f"{seen.aside:,} rows of {parent.short_id} break contract {contract.version}: {told}",
        expected="a parent whose rows keep the present contract",
        remedy="ingest the whole source, without --onto: it sets them aside",
    )
