"""What changed between two contracts, and the version it asks for: minor for limits, major for the schema."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from modelway.contract import Column, DataContract, Frozen
from modelway.data.manifest import Snapshot
from modelway.errors import ConfigError, ContractError

_SCHEMA = ("kind", "known_from")
_LIMITS = ("nullable", "ge", "le", "isin")
_RULE = ("violated", "action", "column", "repaired")
_WHOLE = ("forbidden", "max_quarantined_share", "min_rows")


class ContractChange(Frozen):
    """One difference that data can tell. Descriptions and messages are free to change."""

    level: Literal["major", "minor"]
    what: str
    """In words, with both values."""
    column: str | None = None
    """For a change of the schema: the column that came, went, or is another."""
    rule: str | None = None
    """For a rule that is new or another."""


class Version(Frozen):
    """One contract and the snapshots that were held against it."""

    version: str
    first: str
    """Id of its first snapshot."""
    last: str
    snapshots: int
    changes: tuple[ContractChange, ...]
    """Since the version before; empty for the first, and where either contract was not kept."""


def contract_changes(old: DataContract, new: DataContract) -> tuple[ContractChange, ...]:
    """Every change that asks for another version, those of the schema first."""
    before, after = ({c.name: c for c in contract.columns} for contract in (old, new))
    return (
        *_key_change(old, new),
        *_gone(before, after),
        *_came(before, after),
        *(change for name in before if name in after for change in _column(before[name], after[name])),
        *_rules(old, new),
        *(_minor(f"{n} {_told(old, n)} became {_told(new, n)}") for n in _WHOLE if _differ(old, new, n)),
    )


def needed_version(old: DataContract, changes: Iterable[ContractChange]) -> str:
    """The least version that may stand on a contract changed so.

    Raises:
        ConfigError: The old version is not `major.minor`.
    """
    major, minor = parsed(old.version)
    levels = {change.level for change in changes}
    if "major" in levels:
        return f"{major + 1}.0"
    return f"{major}.{minor + 1}" if levels else old.version


def parsed(version: str) -> tuple[int, int]:
    """Major and minor.

    Raises:
        ConfigError: It is not two whole numbers.
    """
    parts = version.split(".")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004 - major and minor
        raise ConfigError(
            f"contract version {version!r}",
            expected="major.minor, e.g. 1.0",
            remedy="mend the contract's version",
        )
    return int(parts[0]), int(parts[1])


def check_version(newest: Snapshot | None, contract: DataContract) -> None:
    """Refuse a contract that is not the newest snapshot's and does not say so by its version.

    Args:
        newest: Of the use case. None, or one of before contracts were kept, allows anything.
        contract: The present one.

    Raises:
        ContractError: Naming what changed and the version it must be.
        ConfigError: A version is not `major.minor`.
    """
    present = parsed(contract.version)
    if newest is None or newest.promised is None:
        return
    changes = contract_changes(newest.promised, contract)
    needed = needed_version(newest.promised, changes)
    if present >= parsed(needed):
        return
    told = "; ".join(change.what for change in changes) or "nothing, and its version went back"
    raise ContractError(
        f"since contract {newest.promised.version} of snapshot {newest.short_id} changed: {told}",
        expected=f"contract version {needed} or later, found {contract.version}",
        remedy="raise the contract's version, or take the change back",
    )


def contract_history(snapshots: Iterable[Snapshot]) -> tuple[Version, ...]:
    """The versions of one use case's contract, in the order in which they came.

    Args:
        snapshots: Of that use case, the oldest first.
    """
    found: dict[str, Version] = {}
    previous: DataContract | None = None
    for snapshot in snapshots:
        known = found.get(snapshot.contract_version)
        changes = contract_changes(previous, snapshot.promised) if previous and snapshot.promised else ()
        found[snapshot.contract_version] = Version(
            version=snapshot.contract_version,
            first=known.first if known else snapshot.id,
            last=snapshot.id,
            snapshots=known.snapshots + 1 if known else 1,
            changes=known.changes if known else changes,
        )
        previous = snapshot.promised
    return tuple(found.values())


def _key_change(old: DataContract, new: DataContract) -> list[ContractChange]:
    if old.key == new.key:
        return []
    what = f"the key {old.key} became {new.key}"
    return [ContractChange(level="major", what=what, column=old.key)]


def _gone(before: Mapping[str, Column], after: Mapping[str, Column]) -> list[ContractChange]:
    gone = [name for name in before if name not in after]
    return [ContractChange(level="major", what=f"column {n} went", column=n) for n in gone]


def _came(before: Mapping[str, Column], after: Mapping[str, Column]) -> list[ContractChange]:
    came = [name for name in after if name not in before]
    return [ContractChange(level="major", what=f"column {name} came", column=name) for name in came]


def _column(old: Column, new: Column) -> list[ContractChange]:
    schema = [
        ContractChange(level="major", what=_became(old, new, field), column=old.name)
        for field in _SCHEMA
        if _differ(old, new, field)
    ]
    return schema + [_minor(_became(old, new, field)) for field in _LIMITS if _differ(old, new, field)]


def _rules(old: DataContract, new: DataContract) -> list[ContractChange]:
    before, after = ({rule.name: rule for rule in contract.rules} for contract in (old, new))
    gone = [_minor(f"rule {name} went") for name in before if name not in after]
    came = [_minor(f"rule {name} came", name) for name in after if name not in before]
    other = [
        _minor(f"rule {name}: {_told(before[name], field)} became {_told(rule, field)}", name)
        for name, rule in after.items()
        for field in _RULE
        if name in before and _differ(before[name], rule, field)
    ]
    moved = [r for r in before if r in after] != [r for r in after if r in before]
    return [*gone, *came, *other, *([_minor("the order of the rules changed")] if moved else [])]


def _minor(what: str, rule: str | None = None) -> ContractChange:
    return ContractChange(level="minor", what=what, rule=rule)


def _became(old: Column, new: Column, field: str) -> str:
    return f"{old.name}: {field} {_told(old, field)} became {_told(new, field)}"


def _differ(old: Any, new: Any, field: str) -> bool:
    return bool(getattr(old, field) != getattr(new, field))


def _told(part: Any, field: str) -> str:
    value = getattr(part, field)
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
