"""`modelway usecase`: what is installed, a new one from your table, and whether one holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from modelway.cli.output import emit
from modelway.errors import ConfigError, VerdictError

if TYPE_CHECKING:
    from modelway.contract import Verdict
    from modelway.data.profile import Profile, Roles

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write a new use case, or check one.")

_KINDS = {
    "float": "numbers",
    "int": "whole",
    "bool": "yes/no",
    "string": "category",
    "timestamp": "times",
    "text": "not used",
}
"""Kind of a column -> what to call it."""
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
    key: list[str] | None = typer.Option(
        None, help="Column that names the row's subject, different in every row; several together may."
    ),
    number_rows: bool = typer.Option(False, "--number-rows", help="No column is a key: number the rows."),
    time: str | None = typer.Option(None, help="Column with the moment at which the row became known."),
    no_time: bool = typer.Option(False, "--no-time", help="No column says when: hold rows out at random."),
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
        as_of,
        install_command,
        require_free,
        require_name,
        scaffold,
    )

    require_name(name)
    target = (folder or Path(name)).resolve()
    require_free(target)
    given = _Given(tuple(key or ()), number_rows, time, no_time, label, positive, label_known, time_format)
    source, roles = (csv, given.roles()) if csv else _example(target, given)
    profile = look(source, roles)
    scaffold(Project(name, target, source.resolve(), profile, made_up=csv is None))
    _tell(profile, target)
    print(f"\nnext:\n  {install_command(target)}\n  modelway usecase check {name}")
    print(f"  modelway train {name} --as-of {as_of(profile)}")


def _tell(profile: "Profile", target: Path) -> None:
    """Say what was made of the table, so that a wrong guess is seen before training."""
    print(f"wrote {target}")
    hits = f"{profile.positives:,} have {profile.label.source} = {profile.positive}"
    print(f"  rows      {profile.rows:,}, of which {hits}")
    if profile.label_missing:
        print(f"  no label  where it is {' or '.join(map(repr, profile.label_missing))}")
    for each in profile.set_aside:
        print(f"  set aside {each}")
    form = profile.form
    print(f"  written   {form.encoding}, columns parted by {form.separator!r}, decimal {form.decimal!r}")
    print(f"  times     {'dealt out: the table has none' if form.dealt else profile.time_format}")
    for kind, what in _KINDS.items():
        if names := [column.source for column in profile.others if column.kind == kind]:
            print(f"  {what:9} {', '.join(names)}")


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


class _Given(NamedTuple):
    """What was said about the columns of a table."""

    key: tuple[str, ...]
    number_rows: bool
    time: str | None
    no_time: bool
    label: str | None
    positive: str | None
    label_known: str | None
    time_format: str | None

    def roles(self) -> "Roles":
        """Which column plays which part.

        Raises:
            ConfigError: One was not named, or named and denied.
        """
        from modelway.data.profile import Roles  # noqa: PLC0415 - polars, 100 ms

        _one_of("key", "number-rows", self.key, denied=self.number_rows)
        _one_of("time", "no-time", self.time, denied=self.no_time)
        return Roles(
            key=self.key,
            time=self.time,
            label=_needed("label", self.label),
            positive=self.positive,
            label_known=self.label_known,
            time_format=self.time_format,
        )


def _one_of(option: str, instead: str, value: object, *, denied: bool) -> None:
    if denied and value:
        raise ConfigError(f"--{option} and --{instead}", expected="one of the two", remedy="leave one out")
    if not denied and not value:
        raise ConfigError(
            f"--csv without --{option}",
            expected="the columns that are the key, the time and the label",
            remedy=f"add --{option} COLUMN, as the file's header writes it; --{instead} if there is none",
        )


def _example(target: Path, given: _Given) -> "tuple[Path, Roles]":
    from modelway.data.example import EXAMPLE_ROLES, write_example  # noqa: PLC0415 - polars, 100 ms

    said = [f"--{name.replace('_', '-')}" for name, value in given._asdict().items() if value]
    if said:
        raise ConfigError(
            f"{', '.join(said)} without --csv",
            expected="the table that these columns belong to",
            remedy="add --csv FILE, or leave them out to have a made-up example written",
        )
    return write_example(target), EXAMPLE_ROLES


def _needed(option: str, value: str | None) -> str:
    if not value:
        raise ConfigError(
            f"--csv without --{option}",
            expected="the columns that are the key, the time and the label",
            remedy=f"add --{option} COLUMN, as the file's header writes it",
        )
    return value
