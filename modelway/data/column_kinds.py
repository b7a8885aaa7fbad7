"""What the columns of a stranger's table seem to be: numbers, flags, times, categories, or of no use."""

import keyword
import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import polars as pl

from modelway.data.table_form import number, said
from modelway.data.typed import moment
from modelway.errors import ConfigError

Kind = Literal["int", "float", "bool", "string", "timestamp", "text"]
MAX_CATEGORIES = 200
"""A text column with more different values than this is free text, of no use as a category."""
MAX_TIMELESS_SHARE = 0.05
"""Rows without a readable time are set aside; a new contract lets no more of them pass."""
TIME_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d-%b-%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
)
YES = ("1", "true", "t", "yes", "y", "1.0")
NO = ("0", "false", "f", "no", "n", "0.0")
_TAKEN = {"event_time", "known_at", "label", "label_known_at", "label_matured_at", "probability", "decision"}
_INEXACT_FROM = 2**53
"""From there on floating point skips whole numbers; cells are read through it."""
_FIRST_CELLS = 100
_FIRST_YEAR = 1678
"""Two digits read as `%Y` are years of antiquity; nanoseconds, which some readers use, begin here too."""


def time_format(times: pl.Series) -> str:
    """The one format that fits all times but a few that are missing. Typed columns need none.

    Raises:
        ConfigError: None fits, or more than one does.
    """
    if times.dtype != pl.String:
        return TIME_FORMATS[0]
    allowed = MAX_TIMELESS_SHARE * times.len()
    fitting = [f for f in TIME_FORMATS if moments(times, f).null_count() <= allowed]
    if len(fitting) == 1:
        return fitting[0]
    examples = ", ".join(said(times).unique(maintain_order=True).head(3)) or "nothing: it is empty"
    named = " or ".join(f"--time-format '{f}'" for f in fitting)
    raise ConfigError(
        f"{len(fitting) or 'no'} known time formats fit every row of {times.name}, such as {examples}",
        expected="a time in every row, all written alike",
        remedy=f"say which: {named}"
        if fitting
        else "say --time-format, e.g. '%d/%m/%y' (strptime's words), or "
        "--no-time where the table has no such column",
    )


def moments(times: pl.Series, written: str) -> pl.Series:
    """Times as UTC moments; null where one cannot be read.

    Raises:
        ConfigError: The column is neither text nor of dates.
    """
    if times.dtype in {pl.Date, pl.Datetime}:
        return times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if times.dtype != pl.String:
        raise ConfigError(
            f"{times.name} holds values of type {times.dtype}, no times",
            expected="dates, datetimes, or text that says them",
            remedy="turn the column into dates first: a number may count seconds, days or anything",
        )
    found = times.to_frame("at").select(moment(pl.col("at").str.strip_chars(), written))["at"]
    return found.to_frame("at").select(pl.when(pl.col("at").dt.year() >= _FIRST_YEAR).then(pl.col("at")))[
        "at"
    ]


def decimal_mark(columns: Iterable[pl.Series]) -> Literal[".", ","]:
    """The mark under which more columns of text are numbers; the point where they are even."""
    texts = [text for text in map(said, columns) if not text.is_empty()]
    return max((".", ","), key=lambda mark: sum(_numbers(text, mark) is not None for text in texts))


def kind_of(values: pl.Series, written: str, decimal: str) -> Kind:
    """What a column seems to be.

    `text` is of no use: free text, empty, always the same, or times written otherwise than `written`, which
    may lie after the decision like all times.
    """
    if values.dtype != pl.String:
        return _kind_of_type(values)
    text = said(values)
    if values.n_unique() == 1 or text.is_empty():
        return "text"
    if set(text.unique().str.to_lowercase()) <= {*YES, *NO} - {"1.0", "0.0"}:
        return "bool"
    if not moments(text, written).null_count():  # before numbers: `20240131` may be a day
        return "timestamp"
    if (numbers := _numbers(text, decimal)) is not None:
        return _kind_of_numbers(text, numbers, decimal)
    useless = text.n_unique() > MAX_CATEGORIES or _written_otherwise(text)
    return "text" if useless else "string"


def identifiers(columns: Iterable[str]) -> dict[str, str]:
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


def _numbers(text: pl.Series, decimal: str) -> pl.Series | None:
    """All cells as numbers, or None where one of them is none."""
    found = text.to_frame("x").select(number(pl.col("x"), decimal))["x"]
    return None if found.null_count() else found


def _kind_of_numbers(text: pl.Series, numbers: pl.Series, decimal: str) -> Kind:
    whole = not text.str.contains(decimal, literal=True).any() and (numbers == numbers.round()).all()
    return "int" if whole and (numbers.abs() < _INEXACT_FROM).all() else "float"


def _written_otherwise(text: pl.Series) -> bool:
    """All cells are times, in another of the known formats."""
    first = text.head(_FIRST_CELLS)
    likely = (each for each in TIME_FORMATS if not moments(first, each).null_count())
    return any(not moments(text, each).null_count() for each in likely)


def _kind_of_type(values: pl.Series) -> Kind:
    kind = values.dtype
    if values.n_unique() == 1:
        return "text"
    if kind == pl.Boolean:
        return "bool"
    if kind.is_integer():
        return "int"
    if kind.is_numeric():
        return "float"
    return "timestamp" if kind.is_temporal() else _kind_of_category(values)


def _kind_of_category(values: pl.Series) -> Kind:
    named = values.dtype in {pl.Categorical, pl.Enum}
    return "string" if named and values.n_unique() <= MAX_CATEGORIES else "text"
