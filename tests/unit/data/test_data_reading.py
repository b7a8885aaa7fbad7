import gzip

import polars as pl
import pyarrow as pa
import pytest

from modelway.data import reading
from modelway.data.reading import read_table
from modelway.errors import ContractError, SourceError

TEXT = b"id,amount\n1,$5.00 \n2,\n"


def _write(folder, name: str, text: bytes = TEXT) -> str:
    if name.endswith(".gz"):
        text = gzip.compress(text)
    if name.endswith(".zst"):
        text = pa.Codec("zstd").compress(text, asbytes=True)
    (folder / name).write_bytes(text)
    return str(folder / name)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_csv_cells_stay_the_text_they_are(tmp_path, name) -> None:
    rows = pl.concat(read_table(_write(tmp_path, name)))

    assert rows.to_dicts() == [{"id": "1", "amount": "$5.00 "}, {"id": "2", "amount": None}]


def test_a_folder_is_read_in_name_order_and_other_files_are_left(tmp_path) -> None:
    _write(tmp_path, "b.csv", b"id,amount\n3,x\n")
    _write(tmp_path, "a.csv")
    (tmp_path / "notes.txt").write_text("no table")

    assert pl.concat(read_table(str(tmp_path)))["id"].to_list() == ["1", "2", "3"]


def test_parquet_keeps_its_types_and_only_asked_columns_are_read(tmp_path) -> None:
    pl.DataFrame({"id": [1], "amount": [5.0]}).write_parquet(tmp_path / "a.parquet")

    (frame,) = read_table(str(tmp_path / "a.parquet"), ["amount"])

    assert frame.to_dicts() == [{"amount": 5.0}]


def test_chunks_are_no_larger_than_agreed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reading, "CHUNK_ROWS", 100)
    source = _write(tmp_path, "a.csv", b"id\n" + b"\n".join(b"%d" % n for n in range(250)))

    chunks = list(read_table(source))

    assert sum(chunk.height for chunk in chunks) == 250
    assert pl.concat(chunks)["id"].to_list() == [str(n) for n in range(250)]


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        pytest.param("a.csv", b"", SourceError, id="empty-file"),
        pytest.param("a.csv", b"id,amount\n", SourceError, id="header-only"),
        pytest.param("a.csv", b"id,amount\n1,2,3\n", SourceError, id="ragged"),
        pytest.param("a.csv", b"id,amount\n\xff\xfe,1\n", SourceError, id="not-utf8"),
        pytest.param("a.parquet", b"PAR1 no it is not", SourceError, id="not-parquet"),
        pytest.param("a.xlsx", b"PK", SourceError, id="of-an-unknown-kind"),
        pytest.param("a.csv", b"id,price\n1,2\n", ContractError, id="wrong-schema"),
    ],
)
def test_a_bad_file_is_refused_with_a_way_out(tmp_path, name, text, error) -> None:
    with pytest.raises(error) as caught:
        list(read_table(_write(tmp_path, name, text), ["id", "amount"]))

    assert caught.value.expected
    assert caught.value.exit_code == 2


def test_a_missing_file_is_refused(tmp_path) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        list(read_table(str(tmp_path / "none.csv")))


def test_an_empty_folder_is_refused(tmp_path) -> None:
    with pytest.raises(SourceError, match="is no table"):
        list(read_table(str(tmp_path)))
