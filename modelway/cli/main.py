"""`modelway`: one command, one verb per station. A station's module is imported when it is called."""

import errno
import sys
from functools import partial
from importlib import import_module
from typing import Any

import click

from modelway import __version__
from modelway.cli.output import complain
from modelway.errors import ModelwayError, StorageError

STATIONS = {
    "demo": "Drive the whole loop on real loans and print what happened.",
    "data": "Ingest, list, show, verify and compare data snapshots.",
    "features": "Build training sets, materialise online features, check skew.",
    "train": "Train, evaluate and register a challenger.",
    "reproduce": "Make a registered model again from its lineage, and compare.",
    "evaluate": "Show the evaluation of a registered model.",
    "models": "List, promote, roll back and verify registered models.",
    "audit": "Verify or list the log of who decided what, when and why.",
    "optimize": "Inspect a model's graph, and prove that it answers sanely.",
    "serve": "Serve a model behind the local gateway.",
    "rollout": "Start, compare, practise, watch or abort a rollout.",
    "loadtest": "Offer load to the gateway and hold it against the SLO.",
    "monitor": "Drift, matured performance and what they ask for.",
    "retrain": "Run continuous training: look, decide, train, roll out.",
    "batch": "Score a folder of Parquet files, exactly once.",
    "stack": "Apply stacks and see what they need.",
    "usecase": "Write a new use case, or check one.",
    "ui": "Start the pages: Prefect, MLflow and our reports.",
    "doctor": "Say what this machine lacks and how to get it.",
    "env": "Print the exports that make other tools use this checkout's stores.",
}

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Ours map these where they write; MLflow, ZenML and others do not."""


class Stations(click.Group):
    """Commands that are imported only when one of them is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Every station, in the order in which data flows."""
        return list(STATIONS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """A command that hands all its words to the station."""
        if name not in STATIONS:
            return None
        words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
        return click.Command(
            name,
            params=[words],
            callback=partial(_enter, name),
            add_help_option=False,
            context_settings={"ignore_unknown_options": True},
        )

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the stations without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(STATIONS.items()))


def _enter(name: str, words: tuple[str, ...]) -> None:
    """Import a station and run it. Typer has a click of its own, so it must see to usage errors itself."""
    from typer.main import get_command  # noqa: PLC0415 - --help does without

    station = get_command(import_module(f"modelway.cli.{name}").app)
    station.main(args=list(words), prog_name=f"modelway {name}")


@click.command(cls=Stations, help="A tabular model the whole way round.")
@click.version_option(__version__, prog_name="modelway")
def command() -> None:
    """Carry the stations."""


def main(argv: list[str] | None = None) -> Any:
    """Run the command line. Exit codes: 0 ok, 1 failed verdict, 2 usage, 3 infrastructure."""
    try:
        return command.main(args=argv, prog_name="modelway")
    except ModelwayError as error:
        _give_up(error)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        _give_up(
            StorageError(
                f"{error.filename or 'a file of another library'}: {error.strerror}",
                expected="free space",
                remedy="free disk space, or choose another artifact store",
            )
        )


def _give_up(error: ModelwayError) -> None:
    complain(error)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
