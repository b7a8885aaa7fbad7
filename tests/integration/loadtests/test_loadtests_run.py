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

from loadtests.options import make_options
from loadtests.outputs import read_report
from loadtests.run import run_load, start_load
from modelway.contract import Outcome, Slo
from modelway.errors import ConfigError, InfrastructureError, NotFoundError, NotReadyError

# Limits far from what the server does: these tests ask for the verdict's logic, not for this machine's speed.
PATIENT = Slo(latency_limit_ms=2000, rate_rps=200)


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
        timeout=90,
        check=False,
    )


def test_a_fast_server_passes_and_leaves_every_file(serve, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command(serve(), rows, out, PATIENT)
    report = read_report(out)
    requests = pl.read_csv(out / "requests.csv")
    page = (out / "report.html").read_text()

    assert done.returncode == 0, done.stdout + done.stderr
    assert report.verdict.passed
    assert (report.results.planned, report.results.ok, requests.height) == (400, 400, 400)
    assert {r.revision for r in report.results.revisions} == {"r1", "r2"}
    assert requests["latency_ms"].min() >= requests["service_ms"].min() > 0
    assert ET.parse(out / "junit.xml").getroot().attrib["failures"] == "0"  # noqa: S314 - our own file
    assert "Load test of credit" in page
    assert "http://www" not in page
    assert "<script" not in page


def test_a_slow_server_breaches_with_exit_code_one(serve, rows: Path, tmp_path: Path) -> None:
    done = command(serve("--delay-ms=300"), rows, tmp_path / "out", Slo(latency_limit_ms=100, rate_rps=150))

    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(read_report(tmp_path / "out"))["latency p99"] is Outcome.FAIL
    assert 'failures="1"' in (tmp_path / "out" / "junit.xml").read_text()


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
    assert report.results.rejected == 400


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
    # Four connections; the server stalls 1 s once. Four requests notice it, some 190 more were due.
    report = run_load(
        url=serve("--stall-at=200", "--stall-s=1.0"),
        model="credit",
        rows=rows,
        out=tmp_path / "o",
        slo=Slo(latency_limit_ms=20, rate_rps=200),
        users=4,
        duration_s=4,
        arrivals="even",
    )
    requests = pl.read_csv(tmp_path / "o" / "requests.csv")

    assert requests.filter(pl.col("service_ms") > 500).height <= 8
    assert requests.filter(pl.col("latency_ms") > 500).height >= 90
    assert report.results.latency_ms.at["90"] > 300
    assert report.results.latency_ms.at["95"] > 5 * report.results.service_ms.at["95"]
    assert report.verdict.outcome is Outcome.FAIL


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
        rate_rps=300,
    )
    with start_load(options) as load:
        _until((tmp_path / "log").exists)
        time.sleep(1.5)
        assert load.running
        report = load.stop()

    assert not load.running
    assert 0.5 < report.results.duration_s < 60
    assert report.results.planned == report.results.ok > 100


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
        parent.wait(10)

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
        *("--headless", "--host", serve("--status=500"), "-u", "400", "-r", "400"),
        *("--rows", str(rows), "--slo", str(tmp_path / "slo.yaml"), "--model", "credit"),
    ]
    done = subprocess.run(
        [str(locust), "-f", "loadtests/locustfile.py", *arguments, "--duration-s", "2"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "MODELWAY_OUT": str(tmp_path / "out")},
    )

    assert done.returncode == 1, done.stderr[-2000:]
    assert outcomes(read_report(tmp_path / "out"))["error rate"] is Outcome.FAIL


def _until(condition: Callable[[], bool], limit_s: float = 45.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
