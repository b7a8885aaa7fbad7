"""`modelway usecase`: what is installed, a new one from your table, and whether one holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelway.cli.output import emit
from modelway.errors import ConfigError, VerdictError

if TYPE_CHECKING:
    from modelway.contract import Verdict
    from modelway.data.profile import Roles

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write a new use case, or check one.")

_JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command("list")
def list_(json_: bool = _JSON) -> None:
    """List the installed use cases."""
    from modelway.usecase import load_use_case, use_case_names  # noqa: PLC0415 - polars, 100 ms

    rows = [
        {"name": found.name, "what": found.description, "features": len(found.features.names)}
        for found in map(load_use_case, use_case_names())
    ]
    emit(rows, as_json=json_, title="Use cases")


@app.command()
def new(
    name: str = typer.Argument(help="Lower-case letters, digits and _."),
    csv: Path | None = typer.Option(
        None, help="Your table: CSV or Parquet. Without one, a made-up example is written."
    ),
    key: str | None = typer.Option(None, help="Column that names the row's subject, different in every row."),
    time: str | None = typer.Option(None, help="Column with the moment at which the row became known."),
    label: str | None = typer.Option(None, help="Column to predict."),
    positive: str | None = typer.Option(None, help="The label's value that counts as 1."),
    label_known: str | None = typer.Option(
        None, help="Column with the moment at which the label became known."
    ),
    time_format: str | None = typer.Option(None, help="How times are written, e.g. '%d/%m/%Y'."),
    folder: Path | None = typer.Option(None, help="Where the project goes; default: ./NAME."),
) -> None:
    """Write an installable use case for your own table, and say how to go on."""
    from modelway.data.profile import look  # noqa: PLC0415 - polars, 100 ms
    from modelway.data.scaffold import (  # noqa: PLC0415 - as above
        Project,
        install_command,
        require_free,
        require_name,
        scaffold,
    )

    require_name(name)
    target = (folder or Path(name)).resolve()
    require_free(target)
    wanted = (key, time, label, positive, label_known, time_format)
    source, roles = (csv, _roles(*wanted)) if csv else _example(target)
    profile = look(source, roles)
    scaffold(Project(name, target, source.resolve(), profile, made_up=csv is None))
    print(f"wrote {target}: {profile.rows:,} rows, {len(profile.others)} columns looked at\n\nnext:")
    print(f"  {install_command(target)}\n  modelway usecase check {name}\n  modelway train {name}")


@app.command()
def check(
    name: str = typer.Argument(help="Installed use case."),
    source: str | None = typer.Option(None, help="Where to read; default: the use case's own source."),
    data_only: bool = typer.Option(False, "--data-only", help="Leave out: train, parity, bundle, serve."),
    json_: bool = _JSON,
) -> None:
    """Try a use case: its data, then a small model all the way to an answer. Exit code 1 if it fails."""
    verdict = _verdict(name, source, data_only=data_only)
    if json_:
        print(json.dumps(verdict.model_dump(mode="json"), indent=2))
    else:
        rows = [{"check": r.metric, "outcome": r.outcome.value, "found": r.message} for r in verdict.reasons]
        emit(rows, as_json=False, title=f"{name}: {verdict.outcome.value}")
        if left_out := verdict.evidence["not_tried"]:
            print(f"not tried: {', '.join(left_out)}")
    if not verdict.passed:
        raise VerdictError(
            verdict.summary(), expected="every check to pass", remedy="mend the use case, or its contract"
        )


def _verdict(name: str, source: str | None, *, data_only: bool) -> "Verdict":
    """On the data first: a model of data that does not hold would say nothing."""
    from modelway.data.conformance import check_use_case  # noqa: PLC0415 - polars and pandera, 2 s
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above

    use_case = load_use_case(name)
    verdict = check_use_case(use_case, source)
    if data_only or not verdict.passed:
        return verdict
    from stacks.roundtrip import try_round_trip  # noqa: PLC0415 - scikit-learn, torch, MLflow: seconds

    return verdict & try_round_trip(use_case, source)


def _roles(
    key: str | None,
    time: str | None,
    label: str | None,
    positive: str | None,
    label_known: str | None,
    time_format: str | None,
) -> "Roles":
    from modelway.data.profile import Roles  # noqa: PLC0415 - polars, 100 ms

    return Roles(
        key=_needed("key", key),
        time=_needed("time", time),
        label=_needed("label", label),
        positive=positive,
        label_known=label_known,
        time_format=time_format,
    )


def _example(target: Path) -> "tuple[Path, Roles]":
    from modelway.data.example import EXAMPLE_ROLES, write_example  # noqa: PLC0415 - polars, 100 ms

    return write_example(target), EXAMPLE_ROLES


def _needed(option: str, value: str | None) -> str:
    if not value:
        raise ConfigError(
            f"--csv without --{option}",
            expected="the columns that are the key, the time and the label",
            remedy=f"add --{option} COLUMN, as the file's header writes it",
        )
    return value
