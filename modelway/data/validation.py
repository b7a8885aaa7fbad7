"""Hold cleaned rows against the contract: repair, set aside with the reason, count everything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from modelway.contract import Column, DataContract, RowRule
from modelway.data.report import Seen
from modelway.errors import ContractError

TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "timestamp": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """One chunk that was looked at and not counted yet."""

    rows: pl.DataFrame
    """Repaired; `_reason` and `_reasons` say why a row is to be set aside, null and empty for a sound one."""
    broken: Mapping[str, pl.Series]
    """Rule or check -> which rows break it."""

    @property
    def kept(self) -> pl.DataFrame:
        """The sound rows, all columns."""
        return self.rows.filter(pl.col("_reason").is_null())

    @property
    def aside(self) -> pl.DataFrame:
        """The rows to be set aside, all columns."""
        return self.rows.filter(pl.col("_reason").is_not_null())

    def only(self, mask: pl.Series) -> "Looked":
        """The rows under the mask."""
        return Looked(self.rows.filter(mask), {name: rows.filter(mask) for name, rows in self.broken.items()})


class Inspection:
    """Looks at a table chunk by chunk and adds up what it saw in `seen`.

    Rows are set aside for, in this order: the contract's rules, a cell that its column does not allow
    (found by pandera), a key met before. `_reason` names the first, `_reasons` all.
    """

    def __init__(self, contract: DataContract, seen: Seen | None = None) -> None:
        """Start with nothing seen, or go on counting."""
        self.seen = seen or Seen()
        self._contract = contract
        self._schema = frame_schema(contract)
        self._keys: list[pl.Series] = []

    def take(self, cleaned: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Split one chunk into rows to keep (the contract's columns) and rows set aside (all columns).

        Raises:
            ContractError: A column is missing or of another type, or a rule cannot be evaluated.
        """
        return self.count(self.look(cleaned))

    def look(self, cleaned: pl.DataFrame) -> Looked:
        """Find what is wrong in one chunk, and count nothing yet. Its keys are met from here on.

        Raises:
            ContractError: A column is missing or of another type, or a rule cannot be evaluated.
        """
        check_columns(cleaned, self._contract)
        frame, by_rule = self._apply_rules(cleaned.with_columns(pl.col(pl.Float64).fill_nan(None)))
        setting_aside = [rule.name for rule in self._contract.rules if rule.action == "quarantine"]
        faults = {name: by_rule[name] for name in setting_aside}
        faults |= self._cell_faults(frame)
        faults["duplicate_key"] = self._repeated_keys(frame)
        return Looked(frame.with_columns(_reasons(faults)), by_rule | faults)

    def count(self, looked: Looked) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Add to `seen`, and split into rows to keep (the contract's columns) and rows set aside."""
        kept, aside = looked.kept.select(c.name for c in self._contract.columns), looked.aside
        self.seen.add(kept, aside, Counter({name: int(mask.sum()) for name, mask in looked.broken.items()}))
        return kept, aside

    def _apply_rules(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
        """Repair what the rules repair; a mask of broken rows for each rule."""
        by_rule = {}
        for rule in self._contract.rules:
            by_rule[rule.name] = broken = _broken(frame, rule)
            if rule.action == "repair":
                frame = _repaired(frame, rule, broken)
        return frame, by_rule

    def _cell_faults(self, frame: pl.DataFrame) -> dict[str, pl.Series]:
        try:
            self._schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases.drop_nulls("index").group_by("column", "check", maintain_order=True)
            return {f"{column}:{check}": _mask(frame, rows["index"]) for (column, check), rows in cases}
        return {}

    def _repeated_keys(self, frame: pl.DataFrame) -> pl.Series:
        key = frame[self._contract.key]
        repeated = ~key.is_first_distinct()
        for seen in self._keys:
            repeated |= key.is_in(seen.implode())
        self._keys.append(key)
        return repeated


def frame_schema(contract: DataContract) -> pa.DataFrameSchema:
    """The contract's columns as pandera checks: type, null, range, set."""
    return pa.DataFrameSchema({column.name: _pandera_column(column) for column in contract.columns})


def _pandera_column(column: Column) -> pa.Column:
    checks = [
        None if column.ge is None else pa.Check.ge(column.ge),
        None if column.le is None else pa.Check.le(column.le),
        None if column.isin is None else pa.Check.isin(list(column.isin)),
    ]
    return pa.Column(TYPES[column.kind], [c for c in checks if c], nullable=column.nullable)


def check_columns(frame: pl.DataFrame, contract: DataContract) -> None:
    """Refuse a table without the contract's columns in the contract's types.

    Raises:
        ContractError: Naming each column that is missing or of another type.
    """
    wrong = [
        f"{column.name} is {frame.schema.get(column.name) or 'missing'}, not {TYPES[column.kind]}"
        for column in contract.columns
        if frame.schema.get(column.name) != TYPES[column.kind]
    ]
    if wrong:
        raise ContractError(
            f"the cleaned table breaks its contract: {'; '.join(wrong)}",
            expected=f"the {len(contract.columns)} columns of contract {contract.version}",
            remedy="mend the use case's `clean`, or raise the contract's major version",
        )


def _broken(frame: pl.DataFrame, rule: RowRule) -> pl.Series:
    """Rows that break the rule; where it cannot be decided (null) it is not broken."""
    try:
        return frame.select(_=pl.sql_expr(rule.violated).cast(pl.Boolean).fill_null(value=False))["_"]
    except pl.exceptions.PolarsError as cause:
        raise _unusable(rule, rule.violated, cause) from cause


def _repaired(frame: pl.DataFrame, rule: RowRule, broken: pl.Series) -> pl.DataFrame:
    column, text = str(rule.column), str(rule.repaired)
    kind = frame.schema[column]
    try:
        better = pl.when(broken).then(pl.sql_expr(text).cast(kind)).otherwise(pl.col(column))
        return frame.with_columns(better.alias(column))
    except pl.exceptions.PolarsError as cause:
        raise _unusable(rule, text, cause) from cause


def _unusable(rule: RowRule, sql: str, cause: Exception) -> ContractError:
    return ContractError(
        f"rule {rule.name} cannot be evaluated: {str(cause).splitlines()[0]}",
        expected="SQL over the columns that `clean` returns",
        remedy=f"mend the expression: {sql}",
    )


def _mask(frame: pl.DataFrame, rows: pl.Series) -> pl.Series:
    return pl.Series(range(frame.height), dtype=pl.Int64).is_in(rows.cast(pl.Int64).implode())


def _reasons(faults: Mapping[str, pl.Series]) -> list[pl.Expr]:
    """`_reason`: the first fault's name, null for a sound row; `_reasons`: all names, comma separated."""
    names = [pl.when(mask).then(pl.lit(name)) for name, mask in faults.items()]
    return [
        pl.coalesce(names).alias("_reason"),
        pl.concat_str(names, separator=", ", ignore_nulls=True).alias("_reasons"),
    ]
