"""`modelway loadtest` and `modelway monitor`, as far as they need no stack."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from loadtests.options import make_options
from loadtests.outcomes import Requests
from loadtests.outputs import junit, read_report, write_outputs
from loadtests.profiles import PROFILES
from loadtests.results import summarise
from loadtests.verdict import judge_load
from modelway.cli import loadtest, monitor
from modelway.contract import Outcome, Slo
from modelway.errors import InputError, NotFoundError, StorageError

SLO = Slo(latency_limit_ms=25, rate_rps=100)


def _requests(count: int, status: int, error: str = "") -> Requests:
    due = np.arange(count) / 100.0
    return Requests(
        due_s=due,
        ready_s=due,
        sent_s=due,
        ended_s=due + 0.004,
        status=np.full(count, status),
        judged=np.ones(count, dtype=np.bool_),
        revision=("r1",) * count,
        error=(error,) * count,
    )


def _write(out: Path, requests: Requests):
    options = make_options(url="http://h:1", model="credit", rows="r.parquet", out=out, slo=SLO)
    results = summarise(requests, SLO, asked_rps=100, duration_s=4.0, cpu_share=0.1)
    return write_outputs(options, requests, results, judge_load(results, SLO))


def test_the_verdict_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    report = _write(tmp_path, _requests(400, 200))

    assert report.verdict.passed
    assert read_report(tmp_path) == report
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "junit.xml",
        "report.html",
        "requests.csv",
        "verdict.json",
    ]


def test_an_error_text_of_any_bytes_leaves_valid_pages(tmp_path: Path) -> None:
    report = _write(tmp_path, _requests(400, 500, "500: \x00\x1b<script>alert(1)</script>"))
    page = report.page.read_text()

    assert report.verdict.outcome is Outcome.FAIL
    assert b"\x00" not in junit(report)
    assert "<script>" not in page


def test_a_run_without_any_request_leaves_a_page_too(tmp_path: Path) -> None:
    assert _write(tmp_path, _requests(0, 200)).verdict.outcome is Outcome.INCONCLUSIVE


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot write"):
        _write(tmp_path / "file", _requests(1, 200))


def test_profiles_are_listed() -> None:
    done = CliRunner().invoke(loadtest.app, ["profiles", "--json"])

    assert [row["profile"] for row in json.loads(done.stdout)] == list(PROFILES)


def test_a_finished_load_test_is_shown(tmp_path: Path) -> None:
    _write(tmp_path, _requests(400, 200))

    table = CliRunner().invoke(loadtest.app, ["show", str(tmp_path)])
    document = CliRunner().invoke(loadtest.app, ["show", str(tmp_path), "--json"])

    assert "latency p99" in table.stdout
    assert json.loads(document.stdout)["verdict"]["outcome"] == "pass"


def test_a_load_test_that_never_finished_is_not_found(tmp_path: Path) -> None:
    done = CliRunner().invoke(loadtest.app, ["show", str(tmp_path)])

    assert isinstance(done.exception, NotFoundError)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2007-01-01", datetime(2007, 1, 1, tzinfo=UTC)),
        ("2007-01-01T02:00:00+02:00", datetime(2007, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_date_is_read_in_utc(text: str, moment: datetime) -> None:
    assert monitor._moment(text) == moment


def test_what_is_no_date_is_refused() -> None:
    with pytest.raises(InputError, match="no date"):
        monitor._moment("yesterday")
