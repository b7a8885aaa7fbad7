"""Rows to send out of a bundle alone: what the model saw in training, as a client would ask it."""

from pathlib import Path

import polars as pl

from modelway.bundle.bundle import REFERENCE_FILE, Bundle
from modelway.bundle.signature import Input
from modelway.errors import SourceError


def write_reference_rows(bundle: Bundle, path: Path) -> Path:
    """Decode a bundle's reference rows: category codes become values, NaN becomes null.

    Args:
        bundle: Verified.
        path: Parquet file to write, one column per model input.

    Raises:
        SourceError: The bundle's reference holds no rows, or not its inputs.
    """
    try:
        reference = pl.read_parquet(bundle.path / REFERENCE_FILE)
        rows = reference.select(_decoded(column) for column in bundle.signature.inputs)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"no rows can be made from {bundle.path / REFERENCE_FILE}: {str(error).splitlines()[0]}",
            expected="one encoded column per model input",
            remedy="name a file with --rows",
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path


def _decoded(column: Input) -> pl.Expr:
    encoded = pl.col(column.name).cast(pl.Float32).fill_nan(None)
    if column.kind == "numeric":
        return encoded
    names = pl.Series(column.vocabulary, dtype=pl.String)
    return encoded.cast(pl.Int64).replace_strict(
        pl.int_range(len(names), eager=True), names, default=None, return_dtype=pl.String
    )
