"""Tables and queries of any database that SQLAlchemy speaks to, streamed in chunks."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from modelway.data.reading import CHUNK_ROWS, require_columns
from modelway.errors import ConfigError, SourceError

_QUERY_WORDS = ("select ", "with ")
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)")
"""A colon that SQLAlchemy takes for a parameter's. Queries in addresses have none: it stands in a text."""


def read_database(address: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """A table, ordered by its primary key, or one query.

    Without an order the same rows may come in another one next time, and be another snapshot: a table has its
    primary key, a query needs its own ORDER BY.

    Args:
        address: `<SQLAlchemy URL>#<table>` or `<SQLAlchemy URL>#SELECT …`.
        columns: Columns to read; none means all.

    Raises:
        SourceError: The database cannot be reached, has no such table, or gives none.
        ContractError: A column is missing.
        ConfigError: The address is none, or its driver is not installed.
    """
    import sqlalchemy as sa  # noqa: PLC0415 - 200 ms that other sources need not pay

    url, _, what = address.partition("#")
    engine = _engine(url)
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=CHUNK_ROWS) as connection:
            result = connection.execute(_statement(engine, what))
            names = list(result.keys())
            require_columns(_shown(url), columns, names)
            for rows in result.partitions(CHUNK_ROWS):
                yield _frame(rows, names, url).select(columns or names)
    except sa.exc.SQLAlchemyError as error:
        raise SourceError(
            f"{_shown(url)} cannot be read: {str(error).splitlines()[0]}",
            expected="a database that answers, and a table or query of it",
            remedy="try the same statement in the database's own shell",
        ) from error
    finally:
        engine.dispose()


def _frame(rows: Sequence[Sequence[Any]], names: list[str], url: str) -> pl.DataFrame:
    """Rows as a table. Polars makes null of a value that does not fit its column: that is refused.

    Raises:
        SourceError: Two columns of one name, or a column whose values have no type in common.
    """
    try:
        frame = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise _no_table(url, str(error).splitlines()[0]) from error
    frame = frame.with_columns(_texts(column, url) for column in frame if column.dtype == pl.Object)
    for place, name in enumerate(names):
        kinds = {type(row[place]).__name__ for row in rows} - {"NoneType"}
        if len(kinds) > 1 and frame[name].null_count() != sum(row[place] is None for row in rows):
            raise _no_table(url, f"column {name} holds {', '.join(sorted(kinds))}")
    return frame


def _texts(column: pl.Series, url: str) -> pl.Series:
    """Identifiers such as PostgreSQL's uuid come as objects that no table holds; their text says all."""
    if kinds := {type(value).__name__ for value in column} - {"NoneType", "UUID"}:
        raise _no_table(url, f"column {column.name} holds {', '.join(sorted(kinds))}")
    texts = [None if value is None else str(value) for value in column]
    return pl.Series(column.name, texts, pl.String)


def _no_table(url: str, why: str) -> SourceError:
    return SourceError(
        f"{_shown(url)} cannot be read: {why}",
        expected="columns of different names, each of one type",
        remedy="name and cast the columns in a query of your own: <address>#SELECT …",
    )


def _engine(url: str) -> Any:
    import sqlalchemy as sa  # noqa: PLC0415 - as above

    try:
        return sa.create_engine(url)
    except (sa.exc.ArgumentError, ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        raise ConfigError(
            f"{_shown(url)} cannot be opened: {error}",
            expected="a SQLAlchemy URL whose driver is installed, e.g. sqlite:///loans.db",
            remedy="correct the address, or pip install the driver",
        ) from error


def _statement(engine: Any, what: str) -> Any:
    import sqlalchemy as sa  # noqa: PLC0415 - as above

    if what.lstrip().lower().startswith(_QUERY_WORDS):
        return sa.text(_PARAMETER.sub(r"\\:", what))
    schema, _, name = what.rpartition(".")
    table = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=engine)
    return sa.select(table).order_by(*table.primary_key.columns)


def _shown(url: str) -> str:
    """The address without its password."""
    import sqlalchemy as sa  # noqa: PLC0415 - as above

    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "the address"
