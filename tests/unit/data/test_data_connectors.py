import io
import sqlite3
from pathlib import Path
from uuid import UUID

import deltalake
import fsspec
import polars as pl
import pytest

from modelway.data.addresses import described
from modelway.data.database import _frame
from modelway.data.reading import read_table
from modelway.errors import ConfigError, ContractError, SourceError

EMPTY = "SELECT * FROM loans WHERE id > 9"
TWICE = "#SELECT id, id FROM loans"
ROWS = pl.DataFrame({"id": [1, 2, 3], "amount": [5.0, None, 7.5], "state": ["CA", "NY", None]})


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    return system


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "loans.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE loans (id INTEGER PRIMARY KEY, amount REAL, state TEXT)")
        db.executemany(
            "INSERT INTO loans VALUES (?, ?, ?)", [(3, 7.5, None), (1, 5.0, "CA"), (2, None, "NY")]
        )
    return f"sqlite:///{path}"


@pytest.fixture
def lake(tmp_path) -> str:
    place = str(tmp_path / "lake")
    deltalake.write_deltalake(place, ROWS.head(2).to_arrow())
    deltalake.write_deltalake(place, ROWS.tail(1).to_arrow(), mode="append")
    return place


def read(source: str, *columns: str) -> pl.DataFrame:
    return pl.concat(read_table(source, columns))


def test_a_file_in_an_object_store_reads_like_one_here(memory) -> None:
    memory.pipe("/bucket/loans.csv", ROWS.write_csv().encode())
    memory.pipe("/bucket/parts/b.parquet", _parquet(ROWS.tail(1)))
    memory.pipe("/bucket/parts/a.parquet", _parquet(ROWS.head(2)))

    assert read("memory://bucket/loans.csv")["amount"].to_list() == ["5.0", None, "7.5"]
    assert read("memory://bucket/parts").equals(ROWS)
    assert read("memory://bucket/parts", "state")["state"].to_list() == ["CA", "NY", None]


def test_a_table_of_a_database_comes_in_the_order_of_its_key(database) -> None:
    assert read(f"{database}#loans").equals(ROWS)


def test_a_query_keeps_its_own_order(database) -> None:
    query = "SELECT id, amount FROM loans WHERE amount > 1 ORDER BY amount DESC"

    found = read(f"{database}#{query}", "id")

    assert found["id"].to_list() == [3, 1]


def test_a_delta_table_is_read_at_one_version(lake) -> None:
    assert read(f"delta://{lake}").sort("id").equals(ROWS)
    assert read(f"delta://{lake}?version=0").equals(ROWS.head(2))


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("memory://bucket/none.csv", SourceError, "none.csv"),
        ("memory://bucket/none.txt", SourceError, "is no table"),
        ("gopher://a/b.csv", SourceError, "gopher"),
        ("sqlite:////nowhere/x.db#loans", SourceError, "cannot be read"),
        ("oracle+none://a/b#loans", ConfigError, "driver"),
        ("delta:///nowhere/lake", SourceError, "nowhere/lake"),
        ("delta:///nowhere/lake?version=x", ConfigError, "version 'x'"),
        ("s3://${NO_SUCH_BUCKET}/a.csv", SourceError, "NO_SUCH_BUCKET"),
    ],
)
def test_what_cannot_be_read_is_said(memory, source, error, text) -> None:
    with pytest.raises(error, match=text):
        read(source)


@pytest.mark.parametrize("text", [":x", '{"k":1}', "12:30 :a :b", "50% :x", "a::b"])
def test_a_colon_in_a_text_of_a_query_is_no_parameter(database, text) -> None:
    found = read(f"{database}#SELECT '{text}' AS said, CAST(7 AS TEXT) AS n")

    assert found.rows() == [(text, "7")]


def test_identifiers_that_a_driver_gives_as_objects_come_as_their_texts() -> None:
    """As psycopg gives PostgreSQL's uuid."""
    one = UUID(int=1)

    found = _frame([(one, 1), (None, 2)], ["id", "n"], "postgresql://h/d")

    assert found.rows() == [(str(one), 1), (None, 2)]
    assert found.schema == {"id": pl.String, "n": pl.Int64}
    with pytest.raises(SourceError, match="column id holds object"):
        _frame([(object(), 1)], ["id", "n"], "postgresql://h/d")


def test_columns_that_are_missing_are_named_by_every_connector(memory, database, lake) -> None:
    memory.pipe("/bucket/loans.csv", ROWS.write_csv().encode())
    for source in ("memory://bucket/loans.csv", f"{database}#loans", f"delta://{lake}"):
        with pytest.raises(ContractError, match="lacks the columns term"):
            read(source, "id", "term")


def test_no_such_table_and_no_such_version_are_said(database, lake) -> None:
    with pytest.raises(SourceError, match="debts"):
        read(f"{database}#debts")
    with pytest.raises(SourceError, match="version 9"):
        read(f"delta://{lake}?version=9")


def mixed(database: str, *values: object) -> str:
    """A table whose column `v` holds these values: SQLite asks of no column that it keeps to its type."""
    with sqlite3.connect(database.removeprefix("sqlite:///")) as db:
        db.execute("CREATE TABLE mixed (id INTEGER PRIMARY KEY, v)")
        db.executemany("INSERT INTO mixed (v) VALUES (?)", [(value,) for value in values])
    return f"{database}#mixed"


def test_values_of_several_kinds_in_one_column_are_all_kept(database) -> None:
    assert read(mixed(database, 1, 2.5, None))["v"].to_list() == [1.0, 2.5, None]


def test_numbers_and_words_in_one_column_are_words(database) -> None:
    assert read(mixed(database, 1, "x", None))["v"].to_list() == ["1", "x", None]


def test_values_that_would_be_lost_are_refused(database) -> None:
    with pytest.raises(SourceError, match="column v holds bytes, int, str"):
        read(mixed(database, 1, "x", b"z"))


def test_a_query_that_names_a_column_twice_is_refused(database) -> None:
    with pytest.raises(SourceError, match="'id' has more than one"):
        read(database + TWICE)


def test_a_delta_table_without_its_files_is_a_source_error(lake) -> None:
    next(Path(lake).glob("*.parquet")).unlink()

    with pytest.raises(SourceError, match="lake"):
        read(f"delta://{lake}")


def test_a_table_without_rows_is_no_source(database) -> None:
    with pytest.raises(SourceError, match="no rows"):
        read(f"{database}#{EMPTY}")


def test_a_password_comes_from_the_environment_and_stands_nowhere(monkeypatch, database) -> None:
    monkeypatch.setenv("LOANS_DB", database.removeprefix("sqlite:///"))

    assert read("sqlite:///${LOANS_DB}#loans").equals(ROWS)
    assert described("postgresql://me:s3cret@host/db#loans") == "postgresql://host/db#loans"
    assert described("https://me:s3cret@host/a.csv?token=t0ken") == "https://host/a.csv"


def test_a_failing_database_does_not_tell_its_password() -> None:
    with pytest.raises((SourceError, ConfigError)) as caught:
        read("postgresql+psycopg2://me:s3cret@127.0.0.1:1/db#loans")
    assert "s3cret" not in str(caught.value)


def test_a_manifest_names_the_version_of_a_delta_table_that_was_read(lake) -> None:
    assert described(f"delta://{lake}") == "delta lake version 1"
    assert described(f"delta://{lake}?version=0") == "delta lake version 0"


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
