"""Look at a stranger's table and say what each column seems to be."""

import keyword
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from modelway.contract import Frozen
from modelway.data.reading import read_table
from modelway.data.typed import moment
from modelway.errors import ConfigError

Kind = Literal["int", "float", "bool", "string", "timestamp", "text"]
MAX_CATEGORIES = 200
"""A text column with more different values than this is free text, of no use as a category."""
TIME_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d-%b-%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
)
_CLASSES = 2
_TAKEN = {"event_time", "known_at", "label", "label_known_at", "label_matured_at", "probability", "decision"}
_YES = ("1", "true", "t", "yes", "y", "1.0")
_NO = ("0", "false", "f", "no", "n", "0.0")


@dataclass(frozen=True, slots=True)
class Found:
    """One raw column and what it seems to be. `text` is of no use to a model."""

    source: str
    name: str
    """The same as an identifier, unlike any name the platform uses."""
    kind: Kind
    nullable: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """A table, looked at as a classification problem."""

    rows: int
    months: int
    """How much time the rows span, rounded up."""
    time_format: str
    key: Found
    time: Found
    label: Found
    positive: str
    """The raw label value that counts as 1."""
    label_known: Found | None
    others: tuple[Found, ...]


class Roles(Frozen):
    """Which raw column plays which part."""

    key: str
    """Names the row's subject; another value in every row."""
    time: str
    """The moment at which the row became known."""
    label: str
    positive: str | None = None
    """The label's value that counts as 1; found out for 0/1, yes/no, true/false."""
    label_known: str | None = None
    """The moment at which the label became known; none means at once."""
    time_format: str | None = None
    """How times are written; found out when only one of `TIME_FORMATS` fits."""


def look(source: Path, roles: Roles) -> Profile:
    """Read the whole table and say what its columns are.

    Args:
        source: CSV or Parquet, or a folder of them.
        roles: Which column is the key, the time, the label.

    Raises:
        ConfigError: A named column is missing or is not what it is named for.
        SourceError: The file is missing, empty or unreadable.
    """
    table = pl.concat(list(read_table(str(source))))
    special = {roles.key, roles.time, roles.label, roles.label_known}
    _require_columns(table, [name for name in special if name])
    _require_key(table[roles.key])
    written = roles.time_format or _time_format(table[roles.time])
    names = _names(table.columns)
    label = table[roles.label]
    return Profile(
        rows=table.height,
        months=_months(table[roles.time], written),
        time_format=written,
        key=Found(roles.key, names[roles.key], "string", nullable=False),
        time=Found(roles.time, names[roles.time], "timestamp", nullable=False),
        label=Found(roles.label, names[roles.label], "bool", nullable=bool(label.null_count())),
        positive=_positive(label, roles.positive),
        label_known=_known(table, roles.label_known, names, written),
        others=tuple(_found(table[c], names[c], written) for c in table.columns if c not in special),
    )


def _require_columns(table: pl.DataFrame, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ConfigError(
            f"the table has no column {', '.join(missing)}",
            expected=f"one of {', '.join(table.columns)}",
            remedy="name the columns as the header writes them",
        )


def _require_key(key: pl.Series) -> None:
    repeated = key.len() - key.n_unique()
    if repeated or key.null_count():
        raise ConfigError(
            f"{key.name} repeats in {repeated:,} rows and is empty in {key.null_count():,}",
            expected="a key: another value in every row",
            remedy="name another column with --key, or number the rows",
        )


def _time_format(times: pl.Series) -> str:
    """The one format that fits every time. Typed columns need none."""
    if times.dtype != pl.String:
        return TIME_FORMATS[0]
    fitting = [f for f in TIME_FORMATS if not _moments(times, f).null_count()]
    if len(fitting) == 1:
        return fitting[0]
    examples = ", ".join(times.drop_nulls().unique(maintain_order=True).head(3))
    raise ConfigError(
        f"{len(fitting) or 'no'} known time formats fit every row of {times.name}, such as {examples}",
        expected="a time in every row, all written alike",
        remedy="say --time-format, e.g. '%d/%m/%Y' (strptime's words)",
    )


def _moments(times: pl.Series, time_format: str) -> pl.Series:
    if times.dtype != pl.String:
        return times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return times.to_frame("at").select(moment(pl.col("at").str.strip_chars(), time_format))["at"]


def _months(times: pl.Series, time_format: str) -> int:
    moments = _moments(times, time_format)
    if moments.null_count():
        raise ConfigError(
            f"{moments.null_count():,} rows of {times.name} hold no time written as {time_format}",
            expected="a time in every row",
            remedy="say another --time-format, or drop those rows",
        )
    years, months = moments.dt.year(), moments.dt.month()
    numbered = years.cast(pl.Int64) * 12 + months
    return int(numbered.max() or 0) - int(numbered.min() or 0) + 1  # type: ignore[arg-type]  # of an int column


def _positive(label: pl.Series, positive: str | None) -> str:
    values = label.cast(pl.String).drop_nulls().unique().sort().to_list()
    if positive is not None:
        wanted = [positive]
    else:
        wanted = [v for v in values if v.lower() in _YES] if len(values) == _CLASSES else []
    if len(wanted) == 1 and wanted[0] in values and len(values) >= _CLASSES:
        return str(wanted[0])
    raise ConfigError(
        f"{label.name} has the values {', '.join(values[:8])}{' …' if len(values) > 8 else ''}",  # noqa: PLR2004
        expected="two values, one of them 1, yes or true; or one named by --positive",
        remedy="say which value is to be predicted with --positive",
    )


def _known(table: pl.DataFrame, column: str | None, names: dict[str, str], written: str) -> Found | None:
    if column is None:
        return None
    if table[column].dtype == pl.String and _moments(table[column], written).null_count() == table.height:
        raise ConfigError(
            f"{column} holds no time written as {written}",
            expected="when the label became known, written like --time",
            remedy="name another column with --label-known",
        )
    return Found(column, names[column], "timestamp", nullable=True)


def _found(values: pl.Series, name: str, time_format: str) -> Found:
    return Found(values.name, name, _kind(values, time_format), nullable=True)


def _kind(values: pl.Series, time_format: str) -> Kind:
    if values.dtype != pl.String:
        return _kind_of_type(values)
    text = values.str.strip_chars().replace("", None).drop_nulls()
    if text.is_empty():
        return "text"
    if set(text.unique().str.to_lowercase()) <= {*_YES, *_NO} - {"1.0", "0.0"}:
        return "bool"
    if not text.cast(pl.Float64, strict=False).null_count():
        return "int" if not text.cast(pl.Int64, strict=False).null_count() else "float"
    if not _moments(text, time_format).null_count():
        return "timestamp"
    return "string" if text.n_unique() <= MAX_CATEGORIES else "text"


def _kind_of_type(values: pl.Series) -> Kind:
    kind = values.dtype
    if kind == pl.Boolean:
        return "bool"
    if kind.is_integer():
        return "int"
    if kind.is_numeric():
        return "float"
    return "timestamp" if kind.is_temporal() else "text"


def _names(columns: list[str]) -> dict[str, str]:
    """An identifier for each column: lower case, no keyword, none of the platform's names, all different."""
    names: dict[str, str] = {}
    for column in columns:
        plain = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode().lower()
        name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "column"
        name = f"c_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
        while name in _TAKEN or name in names.values():
            name += "_value"
        names[column] = name
    return names
