"""Type a table by its contract: the whole `clean` of a use case whose source is already one flat table."""

from collections.abc import Mapping

import polars as pl

from modelway.contract import Column, DataContract
from modelway.data.table_form import number
from modelway.errors import ContractError

_TRUE = ("1", "true", "t", "yes", "y")
_FALSE = ("0", "false", "f", "no", "n")
_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
}


def typed(
    raw: pl.DataFrame,
    contract: DataContract,
    sources: Mapping[str, str],
    *,
    time_format: str,
    decimal: str | None = None,
) -> pl.DataFrame:
    """Each contract column from its raw column. A cell that cannot be read is null.

    Args:
        raw: Text as `read_table` gives it, or columns that have types already (Parquet).
        contract: Names and kinds of the columns.
        sources: Contract column -> raw column; two may share one (`event_time` and `known_at`).
        time_format: How text says a time, in strptime's words. Times without a zone are UTC.
        decimal: `.` or `,` where numbers may carry thousands' marks and units, as `table_form.number` reads
            them; None: plain numbers only.

    Raises:
        ContractError: A contract column has no source, or `raw` lacks it.
    """
    missing = [c.name for c in contract.columns if sources.get(c.name) not in raw.columns]
    if missing:
        raise ContractError(
            f"nothing to make {', '.join(missing)} of; the source has {', '.join(raw.columns)}",
            expected="a raw column for each column of the contract",
            remedy="mend the use case's `SOURCES`",
        )
    return raw.select(
        _value(column, raw.schema[sources[column.name]], sources[column.name], time_format, decimal).alias(
            column.name
        )
        for column in contract.columns
    )


def moment(text: pl.Expr, time_format: str) -> pl.Expr:
    """Text as a UTC moment, microseconds; null where it does not fit the format."""
    parsed = text.str.to_datetime(time_format, strict=False, time_unit="us")
    return parsed if "z" in time_format else parsed.dt.replace_time_zone("UTC")


def _value(column: Column, kind: pl.DataType, source: str, time_format: str, decimal: str | None) -> pl.Expr:
    raw = pl.col(source)
    if kind != pl.String:
        return _from_type(column, kind, raw)
    text = raw.str.strip_chars()
    text = pl.when(text != "").then(text)
    match column.kind:
        case "timestamp":
            return moment(text, time_format)
        case "bool":
            return _flag(text)
        case "int":
            return _number(text, decimal).cast(pl.Int64, strict=False)
        case "float":
            return _number(text, decimal)
        case "string":
            return text


def _number(text: pl.Expr, decimal: str | None) -> pl.Expr:
    return text.cast(pl.Float64, strict=False) if decimal is None else number(text, decimal)


def _from_type(column: Column, kind: pl.DataType, raw: pl.Expr) -> pl.Expr:
    if column.kind != "timestamp":
        return raw.cast(_TYPES[column.kind], strict=False)
    zone = kind.time_zone if isinstance(kind, pl.Datetime) else None
    moments = raw.cast(pl.Datetime("us", zone))
    return moments.dt.convert_time_zone("UTC") if zone else moments.dt.replace_time_zone("UTC")


def _flag(text: pl.Expr) -> pl.Expr:
    word = text.str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(statement=True).when(word.is_in(_FALSE)).then(statement=False)
