"""`modelway loadtest`: offer load to the gateway and hold it against the SLO."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.loadtest_options import active_target, arm, bundle_options, service_options
from modelway.cli.output import emit
from modelway.contract import Outcome, Verdict

if TYPE_CHECKING:
    from loadtests.campaign import Campaign
    from loadtests.options import LoadOptions
    from loadtests.outputs import LoadReport

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Offer load to the gateway and hold it against the SLO."
)

JSON = typer.Option(False, "--json", help="Print JSON.")
URL = typer.Option(None, help="Gateway or server; the active stack's gateway unless said.")
RATE = typer.Option(None, help="Offered requests per second; the SLO's unless said.")
ROWS = typer.Option(None, help="Parquet of inputs; the newest snapshot's newest rows unless said.")
SLO = typer.Option(None, help="YAML of another promise, or a bundle's folder; the live bundle's unless said.")
USERS = typer.Option(None, help="Connections; enough for slow answers unless said.")
PER_REQUEST = typer.Option(1, min=1, help="Rows in each request.")
METRICS = typer.Option(None, help="Where a server elsewhere says process_resident_memory_bytes.")
OUT = typer.Option(None, help="Folder for verdict.json, requests.csv, report.html, junit.xml.")
EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}


@app.command()
def run(
    use_case: str = typer.Argument("credit", help="Whose service, rows and SLO."),
    *,
    url: str = URL,
    profile: str = typer.Option("steady", help="smoke, steady, spike, soak or stress."),
    rate_rps: float = RATE,
    duration_s: float = typer.Option(None, help="Seconds; the profile's unless said."),
    rows: Path = ROWS,
    slo: Path = SLO,
    users: int = USERS,
    rows_per_request: int = PER_REQUEST,
    metrics_url: str = METRICS,
    out: Path = OUT,
    json_: bool = JSON,
) -> None:
    """Run one load test. Exit code 0: the promise held, 1: it was broken, 3: nothing can be said."""
    options = service_options(
        use_case,
        rows=rows,
        slo=slo,
        out=out,
        url=url,
        profile=profile,
        rate_rps=rate_rps,
        duration_s=duration_s,
        users=users,
        rows_per_request=rows_per_request,
        metrics_url=metrics_url,
    )
    _end(_run(options), json_)


@app.command()
def compare(
    use_case: str = typer.Argument("credit", help="Whose service, rows and SLO."),
    *,
    a: str = typer.Option(..., help="Revision that runs, or NAME@VERSION: what it is measured against."),
    b: str = typer.Option(..., help="Revision that runs, or NAME@VERSION: the one that might be worse."),
    rate_rps: float = RATE,
    duration_s: float = typer.Option(None, help="Seconds; enough to show no difference unless said."),
    rows: Path = ROWS,
    slo: Path = SLO,
    rows_per_request: int = PER_REQUEST,
    out: Path = OUT,
    json_: bool = JSON,
) -> None:
    """Send every row to two revisions in one run. Exit code 1: B is worse, 3: nothing can be said."""
    from loadtests.served import server_pids, side_by_side  # noqa: PLC0415 - --help does without

    target = active_target()
    arms = [arm(target, name) for name in (a, b)]
    ids = (arms[0].id, arms[1].id)
    given: dict[str, Any] = {"rate_rps": rate_rps, "revisions": ids, "rows_per_request": rows_per_request}
    options = service_options(use_case, target=target, rows=rows, slo=slo, out=out, kind="compare", **given)
    with side_by_side(target, arms):
        lasting = {"duration_s": duration_s or _enough_s(options), "watch_pids": server_pids(target, ids)}
        report = _run(options.model_copy(update=lasting))
    _end(report, json_)


@app.command()
def soak(
    use_case: str = typer.Argument("credit", help="Whose service, rows and SLO."),
    *,
    url: str = URL,
    share: float = typer.Option(0.7, min=0.05, max=1.0, help="Of the saturation rate."),
    duration_s: float = typer.Option(600.0, help="Seconds at that rate."),
    climb_s: float = typer.Option(None, help="Seconds of each climb to saturation; the stress profile's."),
    rate_rps: float = typer.Option(None, help="Where the climb begins; the SLO's unless said."),
    rows: Path = ROWS,
    slo: Path = SLO,
    users: int = USERS,
    rows_per_request: int = PER_REQUEST,
    metrics_url: str = METRICS,
    out: Path = OUT,
    json_: bool = JSON,
) -> None:
    """Find saturation, hold a share of it, and say whether latency, errors or memory grow."""
    from loadtests.campaign import soak as hold  # noqa: PLC0415 - --help does without

    options = service_options(
        use_case,
        rows=rows,
        slo=slo,
        out=out,
        url=url,
        kind="soak",
        rate_rps=rate_rps,
        duration_s=climb_s,
        users=users,
        rows_per_request=rows_per_request,
        metrics_url=metrics_url,
    )
    _end_campaign(hold(options, share=share, duration_s=duration_s, told=_teller(json_)), json_)


@app.command()
def ci(
    model: str = typer.Argument("credit", help="NAME or NAME@VERSION; by itself the champion."),
    *,
    bundle: Path | None = typer.Option(None, help="Test this bundle folder instead of a registered model."),
    profiles: str = typer.Option("smoke,steady", help="Run in this order; the first that fails ends it."),
    duration_s: float = typer.Option(None, help="Seconds of each; the profile's unless said."),
    rows: Path = typer.Option(None, help="Parquet of inputs; the bundle's reference rows unless said."),
    slo: Path = SLO,
    out: Path = typer.Option(Path("loadtest"), help="Folder for junit.xml and a folder per profile."),
    json_: bool = JSON,
) -> None:
    """Start a gateway of its own, test a model through it, stop everything. For pipelines."""
    from loadtests.campaign import gate  # noqa: PLC0415 - --help does without
    from loadtests.served import gateway_for  # noqa: PLC0415 - as above
    from modelway.cli.serve import revision  # noqa: PLC0415 - as above

    chosen = revision(model, bundle)
    with gateway_for(chosen) as target:
        options = bundle_options(chosen, target, rows=rows, slo=slo, out=out, duration_s=duration_s)
        campaign = gate(options, tuple(profiles.split(",")), told=_teller(json_))
    _end_campaign(campaign, json_)


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


def _enough_s(options: "LoadOptions") -> float:
    from loadtests.verdict import seconds_to_compare  # noqa: PLC0415 - --help does without

    return seconds_to_compare(options.slo, options.rate)


def _run(options: "LoadOptions") -> "LoadReport":
    from loadtests.run import start_load  # noqa: PLC0415 - --help does without

    with start_load(options) as load:
        return load.wait()


def _teller(as_json: bool) -> Any:
    return (lambda _text: None) if as_json else print


def _end(report: "LoadReport", as_json: bool) -> None:
    _print(report, as_json=as_json)
    raise typer.Exit(EXIT_CODES[report.verdict.outcome])


def _end_campaign(campaign: "Campaign", as_json: bool) -> None:
    if as_json:
        print(campaign.model_dump_json(indent=2))
    else:
        for report in campaign.reports:
            print(f"page: {report.page}")
        emit(_lines(campaign.verdict), as_json=False, title=campaign.verdict.outcome.value)
    raise typer.Exit(EXIT_CODES[campaign.verdict.outcome])


def _print(report: "LoadReport", *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    title = f"{report.model} at {report.results.asked_rps:g} requests/s: {report.verdict.outcome}"
    emit(_lines(report.verdict), as_json=False, title=title)
    emit(_latency_lines(report), as_json=False, title="Latency, ms")
    print(f"page: {report.page}")


def _lines(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {"metric": reason.metric, "outcome": reason.outcome.value, "what was seen": reason.message}
        for reason in verdict.reasons
    ]


def _latency_lines(report: "LoadReport") -> list[dict[str, Any]]:
    results, slo = report.results, report.slo
    names = {"p50": "50", "p90": "90", "p95": "95", "p99": "99", "max": "100"}
    limit = {f"limit at p{slo.latency_percentile:g}": f"{slo.latency_limit_ms:g}"}
    return [
        {"": what}
        | {name: f"{each.at[key]:.2f}" if key in each.at else None for name, key in names.items()}
        | limit
        for what, each in (("corrected", results.latency_ms), ("from when it was sent", results.service_ms))
    ]
