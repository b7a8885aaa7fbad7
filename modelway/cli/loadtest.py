"""`modelway loadtest`: offer load to the gateway and hold it against the SLO."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.output import emit
from modelway.contract import Outcome, Slo

if TYPE_CHECKING:
    from loadtests.outputs import LoadReport
    from modelway.usecase import UseCase

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Offer load to the gateway and hold it against the SLO."
)

JSON = typer.Option(False, "--json", help="Print JSON.")
EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}
MOST_ROWS = 2000


@app.command()
def run(
    use_case: str = typer.Argument("credit", help="Whose service, rows and SLO."),
    *,
    url: str = typer.Option(None, help="Gateway or server; the active stack's gateway unless said."),
    profile: str = typer.Option("steady", help="smoke, steady, spike, soak or stress."),
    rate_rps: float = typer.Option(None, help="Offered requests per second; the SLO's unless said."),
    duration_s: float = typer.Option(None, help="Seconds; the profile's unless said."),
    rows: Path = typer.Option(None, help="Parquet of inputs; the newest snapshot's newest rows unless said."),
    slo: Path = typer.Option(None, help="YAML of another promise than the use case's."),
    users: int = typer.Option(None, help="Connections; enough for slow answers unless said."),
    out: Path = typer.Option(None, help="Folder for verdict.json, requests.csv, report.html, junit.xml."),
    json_: bool = JSON,
) -> None:
    """Run one load test. Exit code 0: the promise held, 1: it was broken, 3: nothing can be said."""
    from stacks.environment import activate_home  # noqa: PLC0415 - --help does without

    activate_home()
    from loadtests.options import read_slo  # noqa: PLC0415 - as above
    from loadtests.run import run_load  # noqa: PLC0415 - as above
    from modelway.usecase import load_use_case  # noqa: PLC0415 - as above
    from stacks.active import reports_folder  # noqa: PLC0415 - as above

    case = load_use_case(use_case)
    folder = out or reports_folder() / "loadtest" / case.name
    report = run_load(
        url=url or _gateway_url(),
        model=case.name,
        rows=rows or newest_rows(case, folder / "rows.parquet"),
        out=folder,
        slo=read_slo(slo) if slo else case.slo,
        profile=profile,
        rate_rps=rate_rps,
        duration_s=duration_s,
        users=users,
        # With key and time, the prediction log tells these rows from new traffic: same loan, same moment.
        key=None if rows else case.contract.key,
        event_time=None if rows else "event_time",
    )
    _print(report, as_json=json_)
    raise typer.Exit(EXIT_CODES[report.verdict.outcome])


@app.command()
def show(
    folder: Path = typer.Argument(..., help="Where a load test left its files."), *, json_: bool = JSON
) -> None:
    """Show a finished load test."""
    from loadtests.outputs import read_report  # noqa: PLC0415 - --help does without

    _print(read_report(folder), as_json=json_)


@app.command()
def profiles(json_: bool = JSON) -> None:
    """List the shapes of load."""
    from loadtests.profiles import PROFILES  # noqa: PLC0415 - --help does without

    rows = [
        {"profile": p.name, "duration_s": p.duration_s, "phases": len(p.phases), "description": p.description}
        for p in PROFILES.values()
    ]
    emit(rows, as_json=json_, title="Profiles")


def _gateway_url() -> str:
    from stacks.active import serving_target  # noqa: PLC0415 - ZenML, after the home is active

    return serving_target().gateway_url


def newest_rows(case: "UseCase", path: Path) -> Path:
    """Write the newest rows of the newest snapshot, described as the model sees them.

    Raises:
        NotFoundError: There is no snapshot of the use case.
    """
    import polars as pl  # noqa: PLC0415 - --help does without

    from modelway.features.training_set import feature_rows  # noqa: PLC0415 - as above
    from stacks.active import snapshot_store  # noqa: PLC0415 - as above

    store = snapshot_store()
    history = store.scan(store.latest(case.name).id)
    newest: pl.LazyFrame = history.sort("event_time").tail(MOST_ROWS)
    path.parent.mkdir(parents=True, exist_ok=True)
    feature_rows(case, history, newest).write_parquet(path)
    return path


def _print(report: "LoadReport", *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    title = f"{report.model} at {report.results.asked_rps:g} requests/s: {report.verdict.outcome}"
    emit([_line(reason) for reason in report.verdict.reasons], as_json=False, title=title)
    emit([_latency_line(report.slo, report)], as_json=False, title="Corrected latency, ms")
    print(f"page: {report.page}")


def _line(reason: Any) -> dict[str, Any]:
    return {"metric": reason.metric, "outcome": reason.outcome.value, "what was seen": reason.message}


def _latency_line(slo: Slo, report: "LoadReport") -> dict[str, Any]:
    at = report.results.latency_ms.at
    names = {"p50": "50", "p90": "90", "p95": "95", "p99": "99", "max": "100"}
    shown = {name: f"{at[key]:.2f}" if key in at else None for name, key in names.items()}
    return shown | {f"limit at p{slo.latency_percentile:g}": f"{slo.latency_limit_ms:g}"}
