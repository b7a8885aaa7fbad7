"""The demo as a newcomer meets it: its story, the gateway it leaves, its pages in a browser, its end."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import polars as pl
import pytest
from demo_home import GONE_LIMIT_S, STARTED_LIMIT_S, DemoHome, until

from loadtests.bodies import make_bodies
from loadtests.options import LoadOptions
from modelway.usecase import load_use_case

pytestmark = pytest.mark.timeout(600)

STATIONS = (
    "stack",
    "data",
    "train a champion",
    "first release",
    "load test",
    "live traffic",
    "monitoring",
    "continuous training",
    "canary",
    "a bad revision",
    "batch",
)
FLOWS = {"training", "rollout", "load-test", "continuous-training", "batch-inference"}
LOG_LIMIT_S = 90.0


def curl(*arguments: str) -> bytes:
    return subprocess.run(
        ["curl", "-sS", "--fail", *arguments], capture_output=True, timeout=90, check=True
    ).stdout


def cells(text: str) -> dict[str, list[str]]:
    """Rows of the last table by their first cell, folded cells put together."""
    table = text[text.rindex("One turn of the loop") :]
    blocks = [block.splitlines() for block in re.split(r"^[├└┡┏].*$", table, flags=re.MULTILINE)]
    lines = [[line.strip("│").split("│") for line in block if line.startswith("│")] for block in blocks]
    rows = [
        [" ".join(part.strip() for part in parts).strip() for parts in zip(*row, strict=True)]
        for row in lines
    ]
    return {row[0]: row for row in rows if row}


def test_the_table_has_a_row_of_every_station_with_its_figure(demo: DemoHome):
    rows = cells(demo.said)

    assert set(rows) == set(STATIONS)
    for station, (_, happened, figure, look, *_rest) in rows.items():
        assert happened, station
        assert figure, station
        assert look, station
    assert "gates: pass" in rows["train a champion"][1]
    assert "drift" in rows["monitoring"][1]
    assert "over the champion" in rows["continuous training"][2]
    assert "then promoted" in rows["canary"][1]
    assert "rolled back" in rows["a bad revision"][1]
    assert "first bad answer to restored" in rows["a bad revision"][2]


def test_the_files_that_the_table_names_are_there(demo: DemoHome):
    rows = cells(demo.said)
    named = [Path(row[3].replace(" ", "")) for row in rows.values() if row[3].startswith("/")]

    assert len(named) >= 5
    assert [path for path in named if not path.exists()] == []


def test_the_books_say_what_the_story_told(demo: DemoHome):
    versions = json.loads(demo.modelway("models", "list", "--json").stdout)

    stages = {str(row["version"]): row["stage"] for row in versions}
    assert sorted(stages.values()) == ["Archived", "Archived", "Production"]
    assert stages["credit@2"] == "Production" if "credit@2" in stages else stages["2"] == "Production"


@pytest.fixture
def one_application(demo: DemoHome, tmp_path: Path) -> bytes:
    """A real application, as the body of a request."""
    use_case = load_use_case("credit")
    [batch] = (demo.root / "stacks" / "local").glob("**/rows/applications.parquet")
    pl.read_parquet(batch).head(1).write_parquet(tmp_path / "one.parquet")
    options = LoadOptions(
        url=demo.address("first release"),
        model="credit",
        rows=tmp_path / "one.parquet",
        out=tmp_path,
        slo=use_case.slo,
        key=use_case.contract.key,
        event_time="event_time",
        once=True,
    )
    [body] = make_bodies(options)
    return body


def test_the_gateway_answers_curl_and_logs_the_prediction(demo: DemoHome, one_application: bytes):
    gateway = demo.address("first release")
    body = json.dumps({"id": "from-curl", **json.loads(one_application)})

    metadata = json.loads(curl(f"{gateway}/v2/models/credit"))
    answer = json.loads(curl("-d", body, f"{gateway}/v2/models/credit/infer"))

    outputs = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
    assert metadata["name"] == "credit"
    assert answer["id"] == "from-curl"
    assert 0 < outputs["probability"][0] < 1
    assert outputs["decision"][0] in {0, 1}
    until(lambda: _logged(demo, "from-curl"), LOG_LIMIT_S)
    [logged] = _logged(demo, "from-curl")
    assert logged["_probability"] == pytest.approx(outputs["probability"][0], abs=1e-6)


def _logged(demo: DemoHome, request_id: str) -> list[dict[str, object]]:
    files = list((demo.root / "stacks" / "local" / "serving" / "predictions").glob("*.parquet"))
    columns = ["_request_id", "_probability"]
    rows = pl.concat([pl.read_parquet(file, columns=columns) for file in files])
    return rows.filter(pl.col("_request_id") == request_id).to_dicts()


def test_prefect_knows_a_flow_run_for_every_flow_of_the_story(demo: DemoHome):
    runs = demo.flow_runs()

    assert {flow_name(demo, run) for run in runs} == FLOWS
    assert sorted({run["state_name"] for run in runs}) == ["Completed", "Failed"]
    failed = [run for run in runs if run["state_name"] == "Failed"]
    assert [flow_name(demo, run) for run in failed] == ["rollout"], "the bad revision's, and no other"


def flow_name(demo: DemoHome, run: dict[str, object]) -> str:
    return str(json.loads(curl(f"{demo.address('Prefect: ')}/api/flows/{run['flow_id']}"))["name"])


def shown(url: str, profile: Path) -> str:
    """The page's elements after its scripts have run, as headless Chromium has them."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    time_and_place = ["--virtual-time-budget=20000", f"--user-data-dir={profile}"]
    return subprocess.run(
        ["chromium", *options, *quiet, *time_and_place, "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def words(page: str) -> str:
    """What a reader sees of a page, without its tags."""
    plain = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", plain)


@pytest.mark.apt("chromium")
def test_prefects_pages_show_the_flow_and_its_steps(demo: DemoHome, tmp_path: Path):
    pages, first = f"{demo.address('Prefect: ')}/runs", demo.flow_runs()[0]
    tasks = {task["name"]: task["id"] for task in demo.task_runs(first["id"])}

    of_flow = words(shown(f"{pages}/flow-run/{first['id']}", tmp_path / "first"))
    of_step = words(shown(f"{pages}/task-run/{tasks['train_candidates']}", tmp_path / "second"))

    assert first["name"] in of_flow
    assert "Flow training" in of_flow
    assert f"{len(tasks)} Task runs" in of_flow
    assert f"{first['name']} train_candidates Completed" in of_step


@pytest.mark.apt("chromium")
def test_mlflows_page_shows_the_model(demo: DemoHome, tmp_path: Path):
    page = shown(f"{demo.address('MLflow')}/#/models/credit", tmp_path / "profile")

    assert "credit" in page
    assert "champion" in page


@pytest.mark.apt("chromium")
def test_the_reports_open_in_a_browser(demo: DemoHome, tmp_path: Path):
    address, reports = demo.address("Reports"), demo.root / "reports"
    pages = sorted(reports.glob("**/*.html"))

    assert pages
    for number, path in enumerate(pages):
        if "evidently" not in path.name:
            page = shown(f"{address}/{path.relative_to(reports)}", tmp_path / f"profile{number}")
            assert "credit" in page, path


def test_stopping_leaves_nothing_running(demo: DemoHome):
    """The last test of the file: the ones before need the gateway and the pages."""
    assert demo.processes(), "--keep left something up"

    assert demo.modelway("serve", "--stop").returncode == 0
    assert demo.modelway("ui", "--stop").returncode == 0

    assert demo.left_over() == []


def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path: Path):
    home = DemoHome(tmp_path / "home")
    process = home.start("--small")
    try:
        until(lambda: "first release" in home.said or process.poll() is not None, STARTED_LIMIT_S)
        assert process.poll() is None, home.said
        assert len(home.processes()) > 3, "gateway, Envoy, predictor and Prefect's server are up"

        os.killpg(process.pid, signal.SIGINT)  # what a terminal does: to the whole foreground group

        assert process.wait(GONE_LIMIT_S * 2) != 0
        assert home.left_over() == []
    finally:
        home.kill_everything()
        process.wait(GONE_LIMIT_S)
