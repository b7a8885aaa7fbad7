"""What `modelway optimize` is told, turned into a verified bundle and encoded rows."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelway.errors import ConfigError, SourceError
from modelway.home import Home

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from modelway.bundle.bundle import Bundle

LIMIT = 1e-4
"""Largest difference of a probability to the bundle's graph, where none is named."""


def bundle_of(model: str | None, folder: Path | None, verify_key: Path | None) -> "Bundle":
    """The bundle that was named, verified.

    Args:
        model: A registered model, where no folder was named.
        folder: A bundle's.
        verify_key: PEM for the folder; this home's unless said.

    Raises:
        ConfigError: Nothing was named.
        NotFoundError: There is no such model.
        BundleRejectedError: It does not verify.
    """
    if folder is not None:
        from modelway.bundle.bundle import Bundle  # noqa: PLC0415 - --help does without
        from modelway.bundle.signing import VERIFY_KEY_FILE  # noqa: PLC0415 - as above

        return Bundle.open(folder, verify_key=verify_key or Home.current().keys / VERIFY_KEY_FILE)
    if not model:
        raise ConfigError(
            "no model named", expected="NAME, NAME@VERSION, or --bundle DIR", remedy="modelway models list"
        )
    return _registered(model)


def _registered(model: str) -> "Bundle":
    from modelway.cli.naming import parsed  # noqa: PLC0415 - --help does without
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds that --bundle need not pay

    return registry().bundle(*parsed(model))


def matrix_of(bundle: "Bundle", rows: Path | None) -> "npt.NDArray[np.float32]":
    """Encoded rows (n, F): the file's, or those of the drift reference, which are stored encoded.

    Raises:
        SourceError: The file cannot be read.
        ContractError: It lacks a column, or one holds what the model does not take.
    """
    import polars as pl  # noqa: PLC0415 - --help does without

    from modelway.training.encoding import encode  # noqa: PLC0415 - as above

    if rows is None:
        return (
            pl.read_parquet(bundle.reference, columns=list(bundle.signature.names))
            .to_numpy()
            .astype("float32", order="C")
        )
    try:
        frame = pl.read_parquet(rows)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"{rows} cannot be read: {str(error).splitlines()[0]}",
            expected="a Parquet file with the model's inputs by name",
            remedy="leave --rows out to take the bundle's own reference rows",
        ) from error
    return encode(frame, bundle.signature)


def int8_hint(model: str | None, limit: float, places: Mapping[str, Path | None]) -> str:
    """The command that signs the int8 graph just compared: same model, rows and limit.

    Args:
        model: As it was named.
        limit: Of the comparison.
        places: Option -> the path given with it.
    """
    given = [part for option, path in places.items() if path is not None for part in (option, str(path))]
    same = [] if limit == LIMIT else ["--limit", f"{limit:g}"]
    command = shlex.join(["modelway", "optimize", "int8", *([model] if model else []), *given, *same])
    more = "" if given else "; with --register it is a version"
    return f"{command}\nsigns a bundle of it{more}"
