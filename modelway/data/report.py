"""The contract report: how many rows were dirty in which way, and whether that is still acceptable."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from modelway.contract import DataContract, Outcome, Reason, RowRule, Verdict

_DONE = {"quarantine": "set aside", "repair": "repaired", "note": "noted"}


class Seen:
    """Running sums over the chunks of one table."""

    def __init__(self) -> None:
        """Start at zero."""
        self.kept = self.aside = 0
        self.broken: Counter[str] = Counter()
        """Rows that break each rule, whatever else is wrong with them."""
        self.first: Counter[str] = Counter()
        """Rows set aside for each rule first."""
        self.nulls: Counter[str] = Counter()
        self.oldest: datetime | None = None
        self.newest: datetime | None = None

    @property
    def rows(self) -> int:
        """All rows looked at."""
        return self.kept + self.aside

    @classmethod
    def of(cls, evidence: Mapping[str, Any]) -> "Seen":
        """Go on from the sums that an earlier report's evidence holds."""
        seen = cls()
        seen.kept, seen.aside = evidence["kept"], evidence["quarantined"]
        for name, counts in evidence["rules"].items():
            seen.broken[name], seen.first[name] = counts["rows"], counts["set_aside"]
        seen.nulls = Counter(evidence["nulls"])
        ends = (evidence["oldest_event"], evidence["newest_event"])
        seen.oldest, seen.newest = (datetime.fromisoformat(end) if end else None for end in ends)
        return seen

    def forget_aside(self, rows: pl.DataFrame) -> None:
        """Take out rows that are no longer set aside."""
        if rows.is_empty():
            return
        self.aside -= rows.height
        self.first -= Counter(rows["_reason"].to_list())
        self.broken -= Counter(", ".join(rows["_reasons"].to_list()).split(", "))

    def forget_kept(self, rows: pl.DataFrame) -> None:
        """Take out rows that others replaced. What they broke and was repaired or noted stays counted."""
        self.kept -= rows.height
        self.nulls -= Counter(rows.null_count().row(0, named=True))

    def add(self, kept: pl.DataFrame, aside: pl.DataFrame, broken: Counter[str]) -> None:
        """Count one chunk."""
        self.kept += kept.height
        self.aside += aside.height
        self.broken += broken
        self.first += Counter(aside["_reason"].to_list())
        self.nulls += Counter(kept.null_count().row(0, named=True))
        if kept.height:
            oldest, newest = kept["event_time"].min(), kept["event_time"].max()
            self.oldest = min(t for t in (self.oldest, oldest) if isinstance(t, datetime))
            self.newest = max(t for t in (self.newest, newest) if isinstance(t, datetime))


def contract_report(contract: DataContract, seen: Seen) -> Verdict:
    """What was found, by name and count. FAIL when too little or too dirty to build on.

    Every rule has its line, those that nobody broke too. Its `rows` are all that break it, and
    `set_aside` those quarantined for it first: a row can break several.
    """
    rules = [_rule_reason(rule, seen) for rule in contract.rules]
    cells = [_cell_reason(name, seen) for name in sorted(seen.broken) if ":" in name]
    return Verdict.of(
        [*rules, *cells, _repeated_keys(seen), *_whole_table(contract, seen), *_empty_columns(seen)],
        _evidence(contract, seen),
    )


def freshness(newest: datetime | None, *, as_of: datetime, max_age: timedelta) -> Verdict:
    """Whether the newest row is recent enough. Without a row there is nothing to judge."""
    if newest is None:
        return Verdict.of([Reason(metric="freshness", outcome=Outcome.INCONCLUSIVE, message="no row at all")])
    age_days = (as_of - newest) / timedelta(days=1)
    limit_days = max_age / timedelta(days=1)
    reason = Reason(
        metric="freshness",
        outcome=Outcome.PASS if age_days <= limit_days else Outcome.FAIL,
        message=f"the newest row is {age_days:.1f} days old, the limit is {limit_days:g}",
        found=age_days,
        limit=limit_days,
        unit="days",
    )
    return Verdict.of([reason])


def _evidence(contract: DataContract, seen: Seen) -> Mapping[str, Any]:
    rules = {rule.name: _counts(rule.name, rule.action, seen) for rule in contract.rules}
    cells = {name: _counts(name, "quarantine", seen) for name in sorted(seen.broken) if ":" in name}
    return {
        "rows": seen.rows,
        "kept": seen.kept,
        "quarantined": seen.aside,
        "rules": {**rules, **cells, "duplicate_key": _counts("duplicate_key", "quarantine", seen)},
        "nulls": {name: count for name, count in seen.nulls.items() if count},
        "oldest_event": seen.oldest.isoformat() if seen.oldest else None,
        "newest_event": seen.newest.isoformat() if seen.newest else None,
    }


def _counts(name: str, action: str, seen: Seen) -> Mapping[str, int | str]:
    return {"action": action, "rows": seen.broken[name], "set_aside": seen.first[name]}


def _rule_reason(rule: RowRule, seen: Seen) -> Reason:
    return _counted(rule.name, f"rows {_DONE[rule.action]}: {rule.message}", seen)


def _cell_reason(name: str, seen: Seen) -> Reason:
    column, _, check = name.partition(":")
    return _counted(name, f"rows set aside: {column} breaks {check}", seen)


def _repeated_keys(seen: Seen) -> Reason:
    return _counted("duplicate_key", "rows set aside: their key was met before", seen)


def _counted(name: str, what: str, seen: Seen) -> Reason:
    found = seen.broken[name]
    return Reason(
        metric=name,
        outcome=Outcome.PASS,
        message=f"{found:,} {what}",
        found=found,
        unit="rows",
        samples=seen.rows,
    )


def _whole_table(contract: DataContract, seen: Seen) -> tuple[Reason, Reason]:
    return _quarantined(contract, seen), _volume(contract, seen)


def _quarantined(contract: DataContract, seen: Seen) -> Reason:
    share = seen.aside / seen.rows if seen.rows else 0.0
    limit = contract.max_quarantined_share
    return Reason(
        metric="quarantined_share",
        outcome=Outcome.PASS if share <= limit else Outcome.FAIL,
        message=f"{seen.aside:,} of {seen.rows:,} rows ({share:.2%}) set aside, at most {limit:.2%} may be",
        found=share,
        limit=limit,
        samples=seen.rows,
    )


def _volume(contract: DataContract, seen: Seen) -> Reason:
    return Reason(
        metric="volume",
        outcome=Outcome.PASS if seen.kept >= contract.min_rows else Outcome.FAIL,
        message=f"{seen.kept:,} sound rows, at least {contract.min_rows:,} are needed",
        found=seen.kept,
        limit=contract.min_rows,
        unit="rows",
        samples=seen.rows,
    )


def _empty_columns(seen: Seen) -> list[Reason]:
    """Columns without any value are let in, and named: whoever trains on one is stopped there."""
    names = [name for name, count in seen.nulls.items() if count == seen.kept]
    return [
        Reason(metric=f"empty:{n}", outcome=Outcome.PASS, message=f"{n} has no value at all", found=seen.kept)
        for n in names
    ]
