"""Load tests against a tiny real server: exit codes, files, a stall, a stop, a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import psutil
import pytest

from loadtests.judge import overworked
from loadtests.options import make_options
from loadtests.outputs import read_report
from loadtests.run import run_load, start_load
from modelway.contract import Outcome, Slo
from modelway.errors import ConfigError, InfrastructureError, NotFoundError, NotReadyError

# Limits far from what the server does: these tests ask for the verdict's logic, not for this machine's speed.
PATIENT = Slo(latency_limit_ms=4000, latency_percentile=95, rate_rps=50)
CONCLUSIVE_RUNS = 5
"""A machine that holds up the generator makes a run inconclusive; then it is done again, so often at most."""


def outcomes(report) -> dict[str, Outcome]:
    return {r.metric: r.outcome for r in report.verdict.reasons}


def command(url: str, rows: Path, out: Path, slo: Slo, *more: str) -> subprocess.CompletedProcess[str]:
    out.mkdir()
    (out / "slo.yaml").write_text(json.dumps(slo.model_dump()))
    arguments = [
        f"--url={url}",
        "--model=credit",
        f"--rows={rows}",
        f"--slo={out / 'slo.yaml'}",
        f"--out={out}",
    ]
    return subprocess.run(
        [sys.executable, "-m", "loadtests", *arguments, "--key=loan_id", "--duration-s=2", *more],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def conclusive(url: str, rows: Path, folder: Path, slo: Slo) -> tuple[subprocess.CompletedProcess[str], Path]:
    for number in range(CONCLUSIVE_RUNS):
        out = folder / f"out-{number}"
        done = command(url, rows, out, slo)
        if done.returncode != 3:
            break
    return done, out


def test_a_fast_server_passes_and_leaves_every_file(serve, rows: Path, tmp_path: Path) -> None:
    done, out = conclusive(serve(), rows, tmp_path, PATIENT)
    report = read_report(out)
    requests = pl.read_csv(out / "requests.csv")
    page = (out / "report.html").read_text()

    assert done.returncode == 0, done.stdout + done.stderr
    assert report.verdict.passed
    assert (report.results.planned, report.results.ok, requests.height) == (100, 100, 100)
    assert {r.revision for r in report.results.revisions} == {"r1", "r2"}
    assert requests["latency_ms"].min() >= requests["service_ms"].min() > 0
    assert ET.parse(out / "junit.xml").getroot().attrib["failures"] == "0"  # noqa: S314 - our own file
    assert "Load test of credit" in page
    assert "http://www" not in page
    assert "<script" not in page


def test_a_slow_server_breaches_with_exit_code_one(serve, rows: Path, tmp_path: Path) -> None:
    done, out = conclusive(
        serve("--delay-ms=1000"),
        rows,
        tmp_path,
        Slo(latency_limit_ms=500, latency_percentile=90, rate_rps=50),
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(read_report(out))["latency p90"] is Outcome.FAIL
    assert 'failures="1"' in (out / "junit.xml").read_text()


def test_a_failing_server_breaches_with_exit_code_one(serve, rows: Path, tmp_path: Path) -> None:
    done = command(serve("--status=503"), rows, tmp_path / "out", PATIENT)
    report = read_report(tmp_path / "out")

    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(report)["error rate"] is Outcome.FAIL
    assert report.results.first_error.startswith("503: ")


def test_too_few_requests_are_inconclusive_with_exit_code_three(serve, rows: Path, tmp_path: Path) -> None:
    done = command(serve(), rows, tmp_path / "out", PATIENT, "--rate-rps=20")

    assert done.returncode == 3, done.stdout + done.stderr
    assert read_report(tmp_path / "out").verdict.outcome is Outcome.INCONCLUSIVE


def test_requests_refused_as_wrong_are_inconclusive_not_a_breach(serve, rows: Path, tmp_path: Path) -> None:
    report = run_load(
        url=serve("--status=422"), model="credit", rows=rows, out=tmp_path / "o", slo=PATIENT, duration_s=2
    )

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert report.results.rejected == 100


def test_a_server_that_hangs_is_a_breach_and_the_unsent_requests_count(
    serve, rows: Path, tmp_path: Path
) -> None:
    report = run_load(
        url=serve("--hang"),
        model="credit",
        rows=rows,
        out=tmp_path / "o",
        slo=Slo(latency_limit_ms=100, rate_rps=200),
        duration_s=2,
        timeout_s=1,
    )

    assert report.verdict.outcome is Outcome.FAIL
    assert report.results.failed == 400
    assert report.results.never_sent > 0


def test_one_stall_shows_in_every_request_it_delayed(serve, rows: Path, tmp_path: Path) -> None:
    # The machine may stand still as well as the server: what is asserted holds then too. That such a stall
    # alone is a FAIL, and hides from a clock started at the sending, is shown in test_loadtests_stall.py.
    slo = Slo(latency_limit_ms=100, rate_rps=200)
    report = run_load(
        url=serve("--stall-at=200", "--stall-s=1.0"),
        model="credit",
        rows=rows,
        out=tmp_path / "o",
        slo=slo,
        users=20,
        duration_s=4,
        arrivals="even",
    )
    requests = pl.read_csv(tmp_path / "o" / "requests.csv")
    found = outcomes(report)["latency p99"]

    # A hundred were due in the first half of the stall. Nothing was answered before it was over.
    assert requests["service_ms"].max() > 990
    assert requests.filter(pl.col("latency_ms") > 500).height >= 80
    assert report.results.latency_ms.at["90"] > 300
    assert report.results.slow >= 150
    assert found is Outcome.FAIL or (found is Outcome.INCONCLUSIVE and _by_the_generator(report, slo))


def _by_the_generator(report, slo: Slo) -> bool:
    return overworked(report.results, slo) or report.results.slow_by_server < report.results.slow


def test_every_row_is_sent_once_with_key_and_time(serve, rows: Path, tmp_path: Path) -> None:
    log = tmp_path / "bodies.log"
    report = run_load(
        url=serve(f"--log={log}"),
        model="credit",
        rows=rows,
        out=tmp_path / "o",
        slo=PATIENT,
        key="loan_id",
        event_time="event_time",
        rows_per_request=7,
        once=True,
    )
    bodies = [json.loads(line) for line in log.read_text().splitlines()]
    sent = [value for body in bodies for t in body["inputs"] if t["name"] == "loan_id" for value in t["data"]]

    assert report.results.ok == 8
    assert sorted(sent, key=int) == [str(k) for k in range(50)]
    assert {t["name"] for t in bodies[0]["inputs"]} == {"amount", "state", "loan_id", "event_time"}


def test_a_load_in_the_background_is_stopped_and_reports_what_it_offered(
    serve, rows: Path, tmp_path: Path
) -> None:
    options = make_options(
        url=serve(f"--log={tmp_path / 'log'}"),
        model="credit",
        rows=rows,
        out=tmp_path / "o",
        slo=PATIENT,
        duration_s=300,
    )
    with start_load(options) as load:
        _until(lambda: _lines(tmp_path / "log") > 50)
        assert load.running
        report = load.stop()

    assert not load.running
    assert 0.3 < report.results.duration_s < 300
    assert report.results.planned == report.results.ok > 50


def test_a_load_stopped_before_it_began_says_nothing(serve, rows: Path, tmp_path: Path) -> None:
    options = make_options(
        url=serve(), model="credit", rows=rows, out=tmp_path / "o", slo=PATIENT, duration_s=300
    )

    with start_load(options) as load:
        report = load.stop()

    assert report.results.planned == 0
    assert report.verdict.outcome is Outcome.INCONCLUSIVE


def test_leaving_the_block_leaves_nothing_running(serve, rows: Path, tmp_path: Path) -> None:
    options = make_options(
        url=serve(), model="credit", rows=rows, out=tmp_path / "o", slo=PATIENT, duration_s=300
    )

    with pytest.raises(NotReadyError), start_load(options) as load:
        load.wait(timeout_s=0.2)

    assert not psutil.pid_exists(load._process.pid)


def test_a_load_test_ends_with_the_process_that_started_it(serve, rows: Path, tmp_path: Path) -> None:
    options = make_options(
        url=serve(f"--log={tmp_path / 'log'}"),
        model="credit",
        rows=rows,
        out=tmp_path,
        slo=PATIENT,
        duration_s=300,
    )
    script = (
        "import time\n"
        "from loadtests.options import make_options\n"
        "from loadtests.run import start_load\n"
        f"given = {options.model_dump(mode='json')!r}\n"
        "load = start_load(make_options(**given))\n"
        "print(load._process.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        _until((tmp_path / "log").exists)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(60)

        _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        if child.is_running():
            child.kill()


def test_a_service_that_is_not_there_is_no_slow_service(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="nothing answers at"):
        run_load(url="http://127.0.0.1:9", model="credit", rows=rows, out=tmp_path / "o", slo=PATIENT)
    with pytest.raises(NotFoundError):
        read_report(tmp_path / "o")


def test_rows_that_cannot_be_read_are_named(serve, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read rows"):
        run_load(url=serve(), model="credit", rows=tmp_path / "no", out=tmp_path / "o", slo=PATIENT)


def test_plain_locust_gives_the_same_verdict(serve, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(json.dumps(PATIENT.model_dump()))
    locust = Path(sys.executable).with_name("locust")
    arguments = [
        *("--headless", "--host", serve("--status=500"), "-u", "200", "-r", "200"),
        *("--rows", str(rows), "--slo", str(tmp_path / "slo.yaml"), "--model", "credit"),
    ]
    done = subprocess.run(
        [str(locust), "-f", "loadtests/locustfile.py", *arguments, "--duration-s", "2"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "MODELWAY_OUT": str(tmp_path / "out")},
    )

    assert done.returncode == 1, done.stderr[-2000:]
    assert outcomes(read_report(tmp_path / "out"))["error rate"] is Outcome.FAIL


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
