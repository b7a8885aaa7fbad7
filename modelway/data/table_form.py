"""How somebody's table is written, and reading it so: separator, encoding, decimal comma, key, time."""

import codecs
import csv
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

import polars as pl

from modelway.contract import Frozen
from modelway.data.reading import Dialect, read_table, table_files
from modelway.errors import SourceError

MADE_KEY = "(key)"
"""Raw column with the key of a table that has no single column for it."""
DEALT_TIME = "(time)"
"""Raw column with the time of a table that has none."""
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
DEALT_DAYS = 366
_SEPARATORS = ",;\t|"
_ROWS = 50
_BLOCK_BYTES = 1 << 20
_MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "?")


class TableForm(Frozen):
    """How a table is written where it differs from UTF-8, commas, decimal points, a key and a time."""

    separator: str = ","
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    key: tuple[str, ...] = ()
    """Columns that name a row: several are joined by `|`, one is needed only where `dealt`."""
    numbered: bool = False
    """Nothing names a row: its number in the source does."""
    dealt: bool = False
    """Rows carry no time: each gets a day that follows from its key, as a card is dealt."""

    @classmethod
    def sniffed(cls, source: str) -> Self:
        """The form of a CSV file, or of the first in a folder; the plain one for everything else.

        Raises:
            SourceError: There is no such file, or it is no text.
        """
        if "://" in source or table_files(source)[0].suffix != ".csv":
            return cls()
        path = table_files(source)[0]
        encoding = _encoding(path)
        return cls(separator=_separator(path, encoding), encoding=encoding)

    @property
    def dialect(self) -> Dialect:
        """What reading needs to know of it."""
        return Dialect(separator=self.separator, encoding=self.encoding)

    def read(self, source: str, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield the table in chunks, with `MADE_KEY` and `DEALT_TIME` where the form asks for them.

        Args:
            source: As for `read_table`.
            columns: Columns to read, the made ones included; none means all.

        Raises:
            SourceError: Missing, empty or unreadable.
            ContractError: A column is missing.
        """
        made = {MADE_KEY, DEALT_TIME}
        read = tuple(dict.fromkeys([*(c for c in columns if c not in made), *self.key])) if columns else ()
        first = 0
        for chunk in read_table(source, read, dialect=self.dialect):
            made_up = self._made(chunk, first)
            yield made_up.select(columns) if columns else made_up
            first += chunk.height

    def _made(self, chunk: pl.DataFrame, first: int) -> pl.DataFrame:
        if self.numbered:
            numbers = pl.int_range(first + 1, first + chunk.height + 1, dtype=pl.Int64, eager=True)
            chunk = chunk.with_columns(numbers.cast(pl.String).alias(MADE_KEY))
        elif len(self.key) > 1:
            chunk = chunk.with_columns(pl.concat_str(self.key, separator="|").alias(MADE_KEY))
        if not self.dealt:
            return chunk
        key = self.key[0] if len(self.key) == 1 else MADE_KEY
        return chunk.with_columns(_dealt(chunk[key]).alias(DEALT_TIME))


def number(text: pl.Expr, decimal: str) -> pl.Expr:
    """Text as a number: `1.406,19 €`, `$1,234.5`, `88.8%`, `1 200`. Null where it is none.

    A percentage stays what it says: `88.8%` is 88.8.

    Args:
        text: Cells, as strings.
        decimal: `.` or `,`; the other one, a space and an apostrophe may part thousands.
    """
    point, thousands = (r"\.", ",") if decimal == "." else (",", r"\.")
    parts = rf"[{thousands}' \u2019\u00a0\u202f]"
    digits = rf"([0-9]{{1,3}}({parts}[0-9]{{3}})+|[0-9]+)?({point}[0-9]*)?([eE][+-]?[0-9]+)?"
    bare = text.str.strip_chars().str.replace(r"\s*[$€£¥%]$", "").str.replace(r"^([+-]?)[$€£¥]\s*", "$1")
    plain = bare.str.replace_all(parts, "").str.replace(",", ".", literal=True)
    return pl.when(bare.str.contains(rf"^[+-]?{digits}$")).then(plain).cast(pl.Float64, strict=False)


def said(text: pl.Series) -> pl.Series:
    """The cells that say something: neither empty nor one of the usual words for missing."""
    stripped = text.str.strip_chars()
    return stripped.filter(stripped.is_not_null() & ~stripped.str.to_lowercase().is_in(_MISSING))


def _dealt(keys: pl.Series) -> pl.Series:
    days = [int.from_bytes(hashlib.blake2b(str(k).encode(), digest_size=8).digest()) for k in keys]
    moments = [f"{FIRST_DAY + timedelta(days=day % DEALT_DAYS):%Y-%m-%d}" for day in days]
    return pl.Series(moments, dtype=pl.String)


def _encoding(path: Path) -> str:
    """UTF-8 where every byte fits, UTF-16 where it says so, else Windows' western European."""
    with path.open("rb") as file:
        start = file.read(2)
    guesses = ("utf-16",) if start in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else ("utf-8", "cp1252")
    for encoding in guesses:
        if _decodes(path, encoding):
            return encoding
    raise SourceError(
        f"{path} is text in no encoding known here",
        expected="UTF-8, UTF-16 with its mark, or Windows-1252",
        remedy="save it as `CSV UTF-8`",
    )


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _separator(path: Path, encoding: str) -> str:
    """The one that cuts the first rows into the most columns, alike in every row."""
    marked = "utf-8-sig" if encoding == "utf-8" else encoding  # or the mark hides the first quote
    return max(_SEPARATORS, key=lambda each: _columns(path, marked, each))


def _columns(path: Path, encoding: str, separator: str) -> int:
    """How many each of the first rows has; 0 where they differ. A row may span lines."""
    widths = set()
    with path.open(encoding=encoding, newline="") as file, suppress(csv.Error):  # e.g. a cell of 128 KiB
        for row in itertools.islice(csv.reader(file, delimiter=separator), _ROWS):
            widths |= {len(row)} if row else set()
    return widths.pop() if len(widths) == 1 else 0
