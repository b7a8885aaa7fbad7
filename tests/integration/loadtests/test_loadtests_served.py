"""Load tests through the real gateway to the real runtime: profiles, a stall, two revisions, the commands."""

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import psutil
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from served_bundles import make_bundle, revision

from loadtests.bodies import make_bodies
from loadtests.campaign import soak
from loadtests.judge import LEAST_OFFERED, overworked
from loadtests.options import LoadOptions, make_options, read_slo
from loadtests.outputs import LoadReport
from loadtests.reference_rows import write_reference_rows
from loadtests.run import start_load
from loadtests.served import deployed, gateway_for, server_pids, side_by_side
from modelway.bundle.bundle import Bundle
from modelway.cli import loadtest
from modelway.contract import Outcome, Slo
from modelway.errors import NotRunningError
from modelway.stats.percentile import percentile
from serving.rollout.local import LocalTarget

# Far from what the server does: these tests ask for the verdict's logic, not for this machine's speed. A
# process that stands still for two seconds breaks no promise; the generator may make a run inconclusive.
PATIENT = Slo(latency_limit_ms=3000, latency_percentile=95, rate_rps=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return make_bundle(folder, PATIENT)


@pytest.fixture(scope="module")
def gateway(bundle: Bundle, folder: Path) -> Iterator[LocalTarget]:
    with gateway_for(revision(bundle, folder)) as target:
        yield target


@pytest.fixture
def options(gateway: LocalTarget, bundle: Bundle, tmp_path: Path) -> Callable[..., LoadOptions]:
    rows = write_reference_rows(bundle, tmp_path / "rows.parquet")
    given = {"url": gateway.gateway_url, "model": "risk", "rows": rows, "out": tmp_path / "out"}
    given |= {"slo": PATIENT, "watch_pids": server_pids(gateway), "users": 500}
    return lambda **changes: make_options(**(given | changes))


def run(options: LoadOptions) -> LoadReport:
    with start_load(options) as load:
        return load.wait()


def outcomes(report: LoadReport) -> dict[str, Outcome]:
    return {reason.metric: reason.outcome for reason in report.verdict.reasons}


def test_reference_rows_are_what_a_client_would_ask(bundle: Bundle, tmp_path: Path) -> None:
    encoded = pl.read_parquet(bundle.reference)
    rows = pl.read_parquet(write_reference_rows(bundle, tmp_path / "rows.parquet"))

    assert rows.columns == ["amount", "state"]
    assert set(rows["state"].unique()) == {"CA", "NY", None}
    assert (rows["state"] == "NY").sum() == (encoded["state"] == 1.0).sum()
    assert rows["state"].null_count() == encoded["state"].is_nan().sum()


@pytest.mark.parametrize(
    ("profile", "duration_s", "more"),
    [
        pytest.param("smoke", 2, (), id="smoke"),
        pytest.param("steady", 2, (), id="steady"),
        pytest.param("spike", 10, ("recovery",), id="spike"),
        pytest.param("soak", 6, ("latency over time", "errors over time", "memory over time"), id="soak"),
    ],
)
def test_a_good_service_is_never_failed(
    options: Callable[..., LoadOptions], profile: str, duration_s: float, more: tuple[str, ...]
) -> None:
    report = run(options(profile=profile, duration_s=duration_s))
    found = outcomes(report)

    assert list(found) == ["latency p95", "error rate", "rejected requests", "offered rate", *more]
    assert Outcome.FAIL not in found.values(), report.verdict.summary()
    assert found["error rate"] is Outcome.PASS
    assert report.results.failed == report.results.rejected == 0
    assert report.results.memory.first_mb > 10
    assert report.results.generator_lag_ms.samples > 0
    assert report.results.generator_limit_rps > 100


def test_stress_goes_up_step_by_step_and_names_the_last_that_was_kept(
    options: Callable[..., LoadOptions],
) -> None:
    report = run(options(profile="stress", duration_s=12))
    found = report.saturation
    passed = [step.rate_rps for step in found.steps if step.outcome is Outcome.PASS]

    assert [phase.rate_rps for phase in report.results.phases] == pytest.approx(
        [40, 50, 64, 80, 100, 128, 160]
    )
    assert [step.outcome for step in found.steps[:-1]] == [Outcome.PASS] * (len(found.steps) - 1)
    assert found.kept_rps == (passed[-1] if passed else None)
    assert found.limited_by != "server"
    assert escape(found.text) in report.page.read_text()


def test_a_generator_that_is_too_slow_says_so_and_nothing_of_the_server(
    options: Callable[..., LoadOptions],
) -> None:
    strict = Slo(latency_limit_ms=10, rate_rps=20_000)
    report = run(options(slo=strict, duration_s=2, timeout_s=4, users=None))
    offered = next(reason for reason in report.verdict.reasons if reason.metric == "offered rate")

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert "the generator is too slow for this rate" in offered.message
    assert offered.found < 0.95


def ask_in_a_closed_loop(url: str, body: bytes, *, pause_s: float, until: float) -> list[float]:
    """What most load generators do: ask, wait for the answer, pause, ask again. Milliseconds."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    took = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        connection.request("POST", "/v2/models/risk/infer", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(pause_s)
    connection.close()
    return took


def answered(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as metrics:
        found = re.search(
            r'^modelway_requests_total\{.*status="200"\} (\d+)$', metrics.read().decode(), re.MULTILINE
        )
    return int(found[1]) if found else 0


def until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_server_that_stalls_for_a_second_shows_in_the_corrected_p99_and_not_in_a_closed_loop(
    options: Callable[..., LoadOptions], gateway: LocalTarget
) -> None:
    slo = Slo(latency_limit_ms=30, rate_rps=100)
    told = options(slo=slo, users=4, duration_s=8, arrivals="even")
    replica = next(iter(gateway.status().revisions.values())).replicas[0]
    body, closed = make_bodies(told)[0], []
    with start_load(told) as load:
        before = answered(replica.port)
        until(lambda: answered(replica.port) > before + 100)
        end = time.perf_counter() + 6
        threads = [
            threading.Thread(
                target=lambda: closed.extend(ask_in_a_closed_loop(told.url, body, pause_s=0.015, until=end))
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        time.sleep(1)
        os.kill(replica.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(replica.pid, signal.SIGCONT)
        for thread in threads:
            thread.join()
        report = load.wait()

    # A hundred requests were due in that second; two clients and four connections were stuck in it. What
    # sets the three clocks apart is the p90: a machine that stands still as well moves their p99 alike.
    corrected, raw = report.results.latency_ms, report.results.service_ms
    assert corrected.at["99"] > 700
    assert corrected.between["99"][0] > 500
    assert max(closed) > 700
    assert corrected.at["90"] > 150
    assert percentile(np.array(closed), 90) < corrected.at["90"]
    assert raw.at["90"] < corrected.at["90"]
    assert report.results.slow_by_server >= 80
    failed = outcomes(report)["latency p99"] is Outcome.FAIL
    assert failed or overworked(report.results, slo)
    assert not report.verdict.passed


def test_two_alike_are_not_told_apart_and_each_row_went_to_both(
    options: Callable[..., LoadOptions], gateway: LocalTarget, bundle: Bundle, folder: Path
) -> None:
    loose = Slo(latency_limit_ms=3000, latency_percentile=90, max_error_rate=0.1, rate_rps=100)
    arms = [revision(bundle, folder), revision(make_bundle(folder, PATIENT, seed=2), folder)]
    with side_by_side(gateway, arms):
        ids = (arms[0].id, arms[1].id)
        report = run(options(slo=loose, revisions=ids, duration_s=6, watch_pids=server_pids(gateway, ids)))
    sent = pl.read_csv(report.page.parent / "requests.csv")

    found = outcomes(report)
    assert found["slow answers"] is found["failed answers"] is Outcome.PASS, report.verdict.summary()
    assert Outcome.FAIL not in found.values()
    assert {r.revision: r.requests for r in report.results.revisions} == dict.fromkeys(ids, 300)
    assert report.results.comparison.slow.counts.pairs == 300
    assert sent["asked"].to_list()[:100] != ["A", "B"] * 50
    assert (sent["revision"] == pl.Series([{"A": ids[0], "B": ids[1]}[arm] for arm in sent["asked"]])).all()
    assert "A and B" in report.page.read_text()
    until(lambda: deployed(gateway, arms[1].id) is None)
    assert deployed(gateway, arms[0].id) == arms[0]


def test_a_slower_revision_is_found_out(
    options: Callable[..., LoadOptions], gateway: LocalTarget, bundle: Bundle, folder: Path
) -> None:
    promise = Slo(latency_limit_ms=30, latency_percentile=90, max_error_rate=0.1, rate_rps=8)
    arms = [revision(bundle, folder), revision(make_bundle(folder, PATIENT, size=1400), folder)]
    with side_by_side(gateway, arms):
        report = run(options(slo=promise, revisions=(arms[0].id, arms[1].id), duration_s=8))
    suite = ET.parse(report.page.parent / "junit.xml").getroot()  # noqa: S314 - our own file

    assert outcomes(report)["slow answers"] is Outcome.FAIL
    assert report.results.comparison.slow.low > 0
    assert suite.attrib["failures"] == "1"


def test_a_soak_holds_a_share_of_the_rate_at_which_the_server_bends(folder: Path, tmp_path: Path) -> None:
    # A limit so wide that only a queue reaches it: at the server or, on a busy machine, at the generator.
    promise = Slo(latency_limit_ms=600, latency_percentile=50, max_error_rate=0.1, rate_rps=4)
    slow = make_bundle(folder, promise, size=1500)
    with gateway_for(revision(slow, folder)) as target:
        told = make_options(
            url=target.gateway_url,
            model="risk",
            rows=write_reference_rows(slow, tmp_path / "rows.parquet"),
            out=tmp_path / "out",
            slo=promise,
            duration_s=14,
            watch_pids=server_pids(target),
        )
        campaign = soak(told, share=0.5, duration_s=5, told=lambda _text: None)
    held, found = campaign.reports[-1], campaign.saturation
    if found.kept_rps is None:  # the machine held up even the first step: nothing to hold, and it says so
        assert not campaign.verdict.passed
        assert held.profile == "stress"
        return
    bent = next(
        phase.results
        for phase in campaign.reports[-2].results.phases
        if phase.rate_rps == pytest.approx(found.next_rps)
    )

    if found.limited_by != "server":  # said of the generator alone, and only where its numbers show it
        assert found.limited_by == "generator"
        late = bent.judged_offered_share < LEAST_OFFERED or bent.slow > bent.slow_by_server
        assert late or overworked(bent, promise)
    verdict = {reason.metric: reason.outcome for reason in campaign.verdict.reasons}
    assert (verdict["saturation"] is Outcome.PASS) is (found.limited_by == "server")
    assert held.profile == "soak"
    assert held.results.planned == pytest.approx(found.kept_rps * 0.5 * 5, abs=1)
    assert held.results.failed == 0
    assert held.results.memory.first_mb > 10
    assert held.results.memory.last_mb > 10
    written = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert written["saturation"]["limited_by"] == found.limited_by
    suites = ET.parse(tmp_path / "out" / "junit.xml").getroot()  # noqa: S314 - our own file
    assert len(suites) == len(campaign.reports)


def test_ci_starts_a_gateway_tests_a_bundle_and_leaves_nothing_running(
    bundle: Bundle, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELWAY_HOME", str(folder))  # its keys signed the bundle
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    out = tmp_path / "gate"
    told = ["ci", "--bundle", str(bundle.path), "--out", str(out), "--duration-s", "2"]
    done = CliRunner().invoke(loadtest.app, told)

    assert done.exit_code == 0, done.output
    assert {p.name for p in out.iterdir()} == {"rows.parquet", "smoke", "steady", "junit.xml", "verdict.json"}
    assert "smoke: latency p95" in done.output
    until(lambda: not _running_beside(before))


def _running_beside(before: set[int]) -> set[int]:
    now = psutil.Process().children(recursive=True)
    return {p.pid for p in now if p.status() != psutil.STATUS_ZOMBIE} - before


def test_ci_stops_at_the_first_broken_promise_with_exit_code_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELWAY_HOME", str(folder))
    failing = make_bundle(folder, PATIENT, fails=True)
    told = ["ci", "--bundle", str(failing.path), "--out", str(tmp_path / "gate"), "--duration-s", "2"]
    done = CliRunner().invoke(loadtest.app, [*told, "--json"])

    assert done.exit_code == 1, done.output
    assert [report["profile"] for report in json.loads(done.stdout)["reports"]] == ["smoke"]


def test_another_promise_may_be_named(
    bundle: Bundle, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELWAY_HOME", str(folder))
    (tmp_path / "slo.yaml").write_text("latency_limit_ms: 900\nrate_rps: 20\n")
    told = ["ci", "--bundle", str(bundle.path), "--out", str(tmp_path / "gate"), "--duration-s", "1"]
    done = CliRunner().invoke(loadtest.app, [*told, "--slo", str(tmp_path / "slo.yaml"), "--json"])

    assert done.exit_code == 3, done.output  # twenty requests say nothing about a p99
    assert json.loads(done.stdout)["reports"][0]["slo"]["latency_limit_ms"] == 900


def test_the_promise_of_a_bundle_is_read_from_its_folder(bundle: Bundle) -> None:
    assert read_slo(bundle.path) == PATIENT


def test_no_gateway_says_how_to_start_one(tmp_path: Path) -> None:
    with (
        pytest.raises(NotRunningError, match="modelway serve NAME --detach"),
        side_by_side(LocalTarget(tmp_path / "none"), []),
    ):
        pass
