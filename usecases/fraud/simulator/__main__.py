"""Write a scenario to files: `python -m usecases.fraud.simulator --out FILE [ADDRESS]`."""

import argparse
import logging
from pathlib import Path

from usecases.fraud.simulator.files import write_run
from usecases.fraud.simulator.run import simulate
from usecases.fraud.simulator.scenario import SCHEME, scenario_of


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, run the scenario, write both files.

    Raises:
        SourceError: The address names no scenario.
        StorageError: A file cannot be written.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m usecases.fraud.simulator", description=__doc__)
    parser.add_argument(
        "address", nargs="?", default=SCHEME, help=f"{SCHEME}?seed=7&days=120&drift=concept@80"
    )
    parser.add_argument("--out", type=Path, required=True, help="a .parquet or .csv file")
    given = parser.parse_args(arguments)
    truth = write_run(simulate(scenario_of(given.address)), given.out)
    logging.getLogger(__name__).info("made-up transactions: %s; the truth about them: %s", given.out, truth)


if __name__ == "__main__":
    main()
