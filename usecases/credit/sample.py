"""How the vendored sample was made: `python -m usecases.credit.sample FULL.csv SAMPLE.csv.zst`."""

import hashlib
import io
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa

from modelway.data.reading import read_table
from usecases.credit.cleaning import RAW_COLUMNS

SAMPLE_SHARE = 8
"""One loan in eight."""
SAMPLE_TEXT_SHA256 = "73b95de1ac397ecc4afa2aebb34979e3f6713cd3fd811671d0f9de563d7346c2"
"""Of the text inside: how zstd packs it may differ between its versions."""


def in_sample(loan_id: str) -> bool:
    """Whether a loan is in the sample: by the hash of its number, so the choice depends on nothing else."""
    return int(hashlib.sha256(loan_id.encode()).hexdigest(), 16) % SAMPLE_SHARE == 0


def sample_text(full: Path) -> bytes:
    """The sample as CSV: the columns we read, cells as dirty as they are, no names of people or banks."""
    chunks = [
        chunk.filter(pl.Series([in_sample(loan_id) for loan_id in chunk["LoanNr_ChkDgt"]], dtype=pl.Boolean))
        for chunk in read_table(str(full), RAW_COLUMNS)
    ]
    buffer = io.BytesIO()
    pl.concat(chunks).write_csv(buffer)
    return buffer.getvalue()


def write_sample(full: Path, target: Path) -> None:
    """Make the vendored file from the full one."""
    target.write_bytes(pa.Codec("zstd", compression_level=19).compress(sample_text(full), asbytes=True))


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]), Path(sys.argv[2]))
