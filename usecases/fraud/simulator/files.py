"""A run as two files. The truth is written in a form that no connector of the platform reads."""

from pathlib import Path

from modelway.data.storage import storage_errors
from modelway.errors import InputError
from usecases.fraud.simulator.run import Simulated

TIME_FORMAT = "%Y-%m-%d %H:%M:%S%.6f"
"""How times stand in a CSV file, UTC."""


def write_run(run: Simulated, target: Path) -> Path:
    """Write the transactions to `target`, the truth beside it as an Arrow file.

    Returns:
        Where the truth lies: `NAME.truth.arrow`.

    Raises:
        InputError: `target` ends in neither .parquet nor .csv.
        StorageError: The folder cannot be written.
    """
    if target.suffix not in {".parquet", ".csv"}:
        raise InputError(
            f"{target.name} ends in {target.suffix or 'nothing'}",
            expected="a name ending in .parquet or .csv",
        )
    truth = target.with_suffix(".truth.arrow")
    with storage_errors(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        run.truth.write_ipc(truth)
        if target.suffix == ".csv":
            run.transactions.write_csv(target, datetime_format=TIME_FORMAT)
        else:
            run.transactions.write_parquet(target)
    return truth
