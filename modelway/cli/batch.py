"""`modelway batch`: score a folder of Parquet files, exactly once."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit
from modelway.errors import ConfigError

if TYPE_CHECKING:
    from modelway.batch.score import BatchReport
    from modelway.bundle.bundle import Bundle

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Score a folder of Parquet files, exactly once."
)


@app.callback()
def batch() -> None:
    """Keep `score` a command of its own: more will stand beside it."""


@app.command()
def score(
    *,
    source: Path = typer.Option(..., help="Folder of Parquet files: the key and the model's inputs by name."),
    target: Path = typer.Option(..., help="Folder for the answers, apart from the source."),
    model: str = typer.Option(None, help="NAME, NAME@VERSION or NAME@ALIAS; by itself the champion."),
    bundle: Path = typer.Option(None, help="Score with this bundle folder instead of a registered model."),
    verify_key: Path = typer.Option(None, help="PEM that verifies --bundle; default: this checkout's."),
    batch_rows: int = typer.Option(65_536, min=1, help="Rows that are in memory at once."),
    json_: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Score what is not scored yet. Killed on the way, run it again: no row is lost or doubled."""
    chosen = _bundle(model, bundle, verify_key)
    report = _scored(chosen, source, target, batch_rows, quiet=json_)
    line = report.model_dump(mode="json")
    line.update(seconds=round(report.seconds, 2), rows_per_s=round(report.rows_per_s))
    emit([line], as_json=json_, title=f"Scored with {chosen.signature.model_name} {chosen.digest[:12]}")


def _scored(bundle: "Bundle", source: Path, target: Path, batch_rows: int, *, quiet: bool) -> "BatchReport":
    from rich.progress import MofNCompleteColumn, Progress  # noqa: PLC0415 - 60 ms

    from modelway.batch.score import score_folder  # noqa: PLC0415 - ONNX Runtime, 200 ms

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, transient=True, disable=quiet) as progress:
        task = progress.add_task("rows", total=None)

        def on_rows(rows: int) -> None:
            progress.advance(task, rows)

        return score_folder(bundle, source, target, batch_rows=batch_rows, on_rows=on_rows)


def _bundle(model: str | None, folder: Path | None, verify_key: Path | None) -> "Bundle":
    """The bundle that the options name, verified.

    Raises:
        ConfigError: Not exactly one of them was given.
    """
    if (model is None) == (folder is None):
        raise ConfigError(
            "neither a model nor a bundle was named" if model is None else "a model and a bundle were named",
            expected="--model NAME[@VERSION|@ALIAS] or --bundle DIR",
            remedy="`modelway models list` shows what is registered",
        )
    return _opened(folder, verify_key) if folder is not None else _registered(str(model))


def _opened(folder: Path, verify_key: Path | None) -> "Bundle":
    from modelway.bundle.bundle import Bundle  # noqa: PLC0415 - --help does without
    from modelway.bundle.signing import VERIFY_KEY_FILE  # noqa: PLC0415 - as above
    from modelway.home import Home  # noqa: PLC0415 - as above

    return Bundle.open(folder, verify_key=verify_key or Home.current().keys / VERIFY_KEY_FILE)


def _registered(model: str) -> "Bundle":
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds

    name, _, reference = model.partition("@")
    return registry().bundle(name, reference or registry().serving_alias(name))
