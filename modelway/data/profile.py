"""Look at a stranger's table and say what each column seems to be."""

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from modelway.contract import Frozen
from modelway.data.column_kinds import (
    MAX_TIMELESS_SHARE,
    TIME_FORMATS,
    YES,
    Kind,
    decimal_mark,
    identifiers,
    kind_of,
    moments,
    time_format,
)
from modelway.data.table_form import DEALT_TIME, MADE_KEY, TableForm
from modelway.errors import ConfigError, SourceError

_CLASSES = 2
_NEVER = 9999
"""The year of `9999-12-31`, by which databases say that something has not happened."""
_NO_LABEL = {"", "na", "n/a", "#n/a", "nan", "null", "?"}
"""`none` is left out: it may well be one of a label's values."""


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
    positives: int
    """Rows whose label counts as 1."""
    months: int
    """How much time the rows span, rounded up."""
    newest: datetime
    """The last moment in it: of a row, or of a label that became known."""
    time_format: str
    form: TableForm
    key: Found
    time: Found
    label: Found
    positive: str
    """The raw label value that counts as 1."""
    label_missing: tuple[str, ...]
    """Words in the label column that say that there is none."""
    label_known: Found | None
    others: tuple[Found, ...]
    set_aside: tuple[str, ...]
    """What the contract will keep out, in words: repeated rows, rows without a time."""


class Roles(Frozen):
    """Which raw column plays which part."""

    key: tuple[str, ...]
    """Together they name the row's subject, different in every row; none: the row's number does."""
    time: str | None
    """The moment at which the row became known; None: the table does not say."""
    label: str
    positive: str | None = None
    """The label's value that counts as 1; found out for 0/1, yes/no, true/false."""
    label_known: str | None = None
    """The moment at which the label became known; none means at once."""
    time_format: str | None = None
    """How times are written; found out when only one of `TIME_FORMATS` fits."""

    @property
    def key_column(self) -> str:
        """The raw column that is the key."""
        return self.key[0] if len(self.key) == 1 else MADE_KEY

    @property
    def time_column(self) -> str:
        """The raw column that is the time."""
        return self.time or DEALT_TIME

    def require_one_part_each(self) -> None:
        """Refuse a column that is named for two parts; the time may be a part of the key.

        Raises:
            ConfigError: One is.
        """
        parts = [*self.key, *{self.time} - {None, *self.key}, self.label, self.label_known]
        twice = sorted({name for name in parts if name and parts.count(name) > 1})
        if twice:
            raise ConfigError(
                f"{', '.join(twice)} is named for two parts",
                expected="another column for each of key, time, label and label-known",
                remedy="leave --label-known out where the label is known with the row"
                if self.label_known in twice
                else "name each column once",
            )

    def named(self) -> list[str]:
        """Columns that the table must have."""
        return [name for name in (*self.key, self.time, self.label, self.label_known) if name]


def look(source: Path, roles: Roles) -> Profile:
    """Read the whole table and say what its columns are, and how it is written.

    Args:
        source: CSV or Parquet, or a folder of them.
        roles: Which column is the key, the time, the label.

    Raises:
        ConfigError: A named column is missing or is not what it is named for.
        SourceError: A file is missing, empty or unreadable, or its columns are of other types.
        ContractError: A later file of a folder lacks a column of the first.
    """
    roles.require_one_part_each()
    form = _form(str(source), roles)
    table = _whole(form, str(source))
    distinct = table if form.numbered else table.unique(maintain_order=True)
    _require_key(distinct[roles.key_column], roles)
    named = {roles.key_column, roles.time_column, roles.label, roles.label_known}
    others = [column for column in table.columns if column not in named]
    decimal = decimal_mark(table[c] for c in others if table.schema[c] == pl.String)
    seen = _Look(table, form.model_copy(update={"decimal": decimal}), roles)
    return seen.profile(others, repeats=table.height - distinct.height)


class _Look:
    """A table, its form and its roles, while it is looked at."""

    def __init__(self, table: pl.DataFrame, form: TableForm, roles: Roles) -> None:
        self._table, self._form, self._roles = table, form, roles
        times = table[roles.time_column]
        self._written = roles.time_format or (time_format(times) if roles.time else TIME_FORMATS[0])
        self._times = moments(times, self._written)
        self._names = identifiers(table.columns)

    def profile(self, others: list[str], *, repeats: int) -> Profile:
        """What the table is; `repeats` of its rows say what another one says."""
        roles, label = self._roles, self._table[self._roles.label]
        positive = _positive(label, roles.positive)
        missing = _missing(label, positive)
        return Profile(
            rows=self._table.height,
            positives=int((label.cast(pl.String).str.strip_chars() == positive).sum()),
            months=_months(self._times, roles.time_column, self._written),
            newest=self._newest(),
            time_format=self._written,
            form=self._form,
            key=self._found(roles.key_column, "string", nullable=False),
            time=self._found(roles.time_column, "timestamp", nullable=False),
            label=self._found(roles.label, "bool", nullable=bool(label.null_count() or missing)),
            positive=positive,
            label_missing=missing,
            label_known=self._found(roles.label_known, "timestamp") if roles.label_known else None,
            others=tuple(
                self._found(c, kind_of(self._table[c], self._written, self._form.decimal)) for c in others
            ),
            set_aside=_set_aside(repeats, self._times.null_count()),
        )

    def _found(self, column: str, kind: Kind, *, nullable: bool = True) -> Found:
        return Found(column, self._names[column], kind, nullable=nullable)

    def _newest(self) -> datetime:
        clocks = [self._times]
        if self._roles.label_known:
            clocks.append(self._known(self._table[self._roles.label_known]))
        dated = (clock.filter(clock.dt.year() < _NEVER) for clock in clocks)
        return max(clock.max() for clock in dated if clock.len())  # type: ignore[type-var, return-value]  # of datetime columns

    def _known(self, column: pl.Series) -> pl.Series:
        found = moments(column, self._written)
        if found.null_count() == column.len():
            raise ConfigError(
                f"{column.name} holds no time written as {self._written}",
                expected="when the label became known, written like --time",
                remedy="name another column with --label-known",
            )
        return found


def _whole(form: TableForm, source: str) -> pl.DataFrame:
    """All rows, in the columns of the first file; more columns in later files are left out.

    Raises:
        ContractError: A later file lacks a column of the first.
        SourceError: A column is of another type in a later file.
    """
    columns = next(form.read(source)).columns
    try:
        return pl.concat(list(form.read(source, columns)))
    except pl.exceptions.SchemaError as error:
        raise SourceError(
            f"the files of {source} do not fit together: {str(error).splitlines()[0]}",
            expected="every column of one type in all files",
            remedy="write the files alike, or name one of them",
        ) from error


def _form(source: str, roles: Roles) -> TableForm:
    plain = TableForm.sniffed(source)
    _require_columns(next(plain.read(source)), roles.named())
    dealt = roles.time is None
    key = roles.key if dealt or len(roles.key) > 1 else ()
    return plain.model_copy(update={"key": key, "numbered": not roles.key, "dealt": dealt})


def _require_columns(table: pl.DataFrame, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ConfigError(
            f"the table has no column {', '.join(missing)}",
            expected=f"one of {', '.join(table.columns)}",
            remedy="name the columns as the header writes them",
        )
    repeated = [name for name in wanted if f"{name}_duplicated_0" in table.columns]
    if repeated:
        raise ConfigError(
            f"the header has {', '.join(repeated)} more than once",
            expected="one column of that name, for nobody can tell which is meant",
            remedy="rename the others in the file",
        )


def _require_key(key: pl.Series, roles: Roles) -> None:
    repeated, named = key.len() - key.n_unique(), " and ".join(roles.key)
    if repeated or key.null_count():
        raise ConfigError(
            f"{named} repeats in {repeated:,} rows and is empty in {key.null_count():,}",
            expected="a key: another value in every row",
            remedy="give --key again for a second column that tells the rows apart, such as the time; "
            "or say --number-rows",
        )


def _months(times: pl.Series, column: str, written: str) -> int:
    if times.null_count() > MAX_TIMELESS_SHARE * times.len():
        raise ConfigError(
            f"{times.null_count():,} rows of {column} hold no time written as {written}",
            expected="a time in every row",
            remedy="say another --time-format, or drop those rows",
        )
    numbered = times.dt.year().cast(pl.Int64) * 12 + times.dt.month()
    return int(numbered.max() or 0) - int(numbered.min() or 0) + 1  # type: ignore[arg-type]  # of an int column


def _values(label: pl.Series) -> list[str]:
    return label.cast(pl.String).str.strip_chars().drop_nulls().unique().sort().to_list()


def _missing(label: pl.Series, positive: str | None) -> tuple[str, ...]:
    """Words for a label that is missing, unless fewer than two classes were left without them.

    Among numbers NaN is no class, whatever is left.
    """
    values = _values(label)
    words = [v for v in values if v.lower() in _NO_LABEL and v != positive]
    return tuple(words) if label.dtype.is_float() or len(values) - len(words) >= _CLASSES else ()


def _positive(label: pl.Series, positive: str | None) -> str:
    missing = _missing(label, positive)
    values = [v for v in _values(label) if v not in missing]
    if positive is not None:
        wanted = [positive]
    else:
        wanted = [v for v in values if v.lower() in YES] if len(values) == _CLASSES else []
    if len(wanted) == 1 and wanted[0] in values and len(values) >= _CLASSES:
        return str(wanted[0])
    shown = f"the values {', '.join(values[:8])}{' …' if len(values) > 8 else ''}"  # noqa: PLR2004 - a line's worth
    raise ConfigError(
        f"{label.name} has {shown if any(values) else 'no value in any row'}",
        expected="two values, one of them 1, yes or true; or one named by --positive",
        remedy=f"say which one is to be predicted, e.g. --positive {shlex.quote(next(iter(values), '1'))}",
    )


def _set_aside(repeats: int, timeless: int) -> tuple[str, ...]:
    found = ((repeats, "repeat another row word for word"), (timeless, "have no time that can be read"))
    return tuple(f"{count:,} rows {what}" for count, what in found if count)
