"""Pages say what was found, carry everything with them, and escape what they did not write."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest

from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import NotFoundError, StorageError
from modelway.monitoring.charts import line_chart, number, sparkline, verdict_block
from modelway.monitoring.evidently import UNKNOWN, decoded
from modelway.monitoring.monitor import MonitoringReport, Subject, monitor
from modelway.monitoring.policy import DriftPolicy, MonitoringPolicy
from modelway.monitoring.report import (
    link_monitoring,
    links_beside,
    read_monitoring,
    render_monitoring,
    write_monitoring,
)

AS_OF = datetime(2005, 5, 1, tzinfo=UTC)


@pytest.fixture
def look(reference, signature, make_log, write_log) -> Callable[..., MonitoringReport]:
    def take(shift: float = 0.0) -> MonitoringReport:
        draw = np.random.default_rng(1)
        log = make_log(draw, 1200, days=120, shift=shift)
        labels = pl.DataFrame(
            {
                "loan_id": log["_entity_id"],
                "label": (draw.random(log.height) < log["_probability"].to_numpy()).astype(np.int8),
                "label_matured_at": log["_event_time"] + timedelta(days=60),
            }
        )
        subject = Subject(
            signature=signature, bundle="b1", as_of=AS_OF - timedelta(days=120), metrics={"roc_auc": 0.75}
        )
        policy = MonitoringPolicy(windows=4, performance_windows=4, drift=DriftPolicy(min_rows=100))
        return monitor(write_log(log), reference, labels, subject=subject, as_of=AS_OF, policy=policy)

    return take


def test_the_page_names_what_drifted_and_what_it_asks_for(look) -> None:
    page = render_monitoring(look(shift=0.8))

    assert "A new model, because of drift." in page
    assert "amount: drifted in 3 of the last 3 windows" in page
    assert "assuming the relation has not changed" in page
    for name in ("amount", "employees", "employees is missing", "state"):
        assert f"<td >{name}</td>" in page


def test_a_quiet_page_does_not_say_all_is_well_while_a_signal_is_missing(look) -> None:
    page = render_monitoring(look())

    assert "not every signal could be seen" in page


def test_the_page_is_one_file_and_fetches_nothing(look) -> None:
    page = render_monitoring(look())

    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert page.count("<polyline") > 8


def test_a_look_is_written_for_people_and_machines_and_read_back(look, tmp_path: Path) -> None:
    report = look()
    path = write_monitoring(report, tmp_path / "deep" / "monitoring.html")

    assert path.read_text().startswith("<!doctype html>")
    assert read_monitoring(path) == report
    assert sorted(p.name for p in path.parent.iterdir()) == ["monitoring.html", "monitoring.json"]


def test_the_page_links_to_what_else_was_written_about_its_day(look, tmp_path: Path) -> None:
    page = tmp_path / f"monitoring-{AS_OF:%Y-%m-%d}.html"
    write_monitoring(look(), page)
    assert "href" not in page.read_text("utf-8"), "a link to nothing"
    skew = page.with_name(f"skew-{AS_OF:%Y-%m-%d}.html")
    skew.write_text("served features")
    page.with_name("skew-2004-01-01.html").write_text("another day's")

    link_monitoring(page)

    assert f'<a href="{skew.name}">' in page.read_text("utf-8")
    assert page.read_text("utf-8").count("href") == 1
    assert f'<a href="{page.name}">' in links_beside(skew)


def test_there_is_nothing_to_link_from_where_nobody_looked(tmp_path: Path) -> None:
    link_monitoring(tmp_path / "monitoring-2005-05-01.html")

    assert not list(tmp_path.iterdir())


def test_a_look_nobody_took_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no monitoring report"):
        read_monitoring(tmp_path / "monitoring.html")


def test_a_page_that_cannot_be_written_is_a_clear_error(look, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot write"):
        write_monitoring(look(), tmp_path / "file" / "page.html")


def test_foreign_text_is_escaped() -> None:
    evil = Reason(metric="<b>", outcome=Outcome.FAIL, message="<script>alert(1)</script>")
    block = verdict_block(Verdict.of([evil]))

    assert "<script>" not in block
    assert "&lt;script&gt;" in block


def test_a_line_breaks_where_nothing_was_measured() -> None:
    svg = ET.fromstring(sparkline([0.1, 0.2, None, 0.3], limit=0.1))  # noqa: S314 - our own drawing
    lines = [e.attrib["points"].split() for e in svg.iter("polyline")]

    assert [len(points) for points in lines] == [2, 2]


def test_the_limit_and_the_values_share_one_scale() -> None:
    svg = ET.fromstring(sparkline([0.1, 0.1], limit=0.1))  # noqa: S314 - our own drawing
    limit = next(svg.iter("line")).attrib["y1"]
    heights = {point.split(",")[1] for e in svg.iter("polyline") for point in e.attrib["points"].split()}

    assert heights == {limit}


def test_nothing_to_draw_is_said() -> None:
    assert "Nothing to draw yet" in line_chart(([None, None],), ends=("a", "b"))


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.123456, "0.1235"), (1234.5, "1,234"), (0.0, "0"), (2, "2")]
)
def test_numbers_are_written_to_be_read(value: float | None, text: str) -> None:
    assert number(value) == text


def test_category_codes_are_shown_as_their_values(signature) -> None:
    frame = pl.DataFrame(
        {
            "amount": [1.0, float("nan")],
            "employees": [1.0, 2.0],
            "state": [2.0, float("nan")],
            "_probability": [0.1, 0.2],
        }
    )

    found = decoded(frame, signature.inputs, "_probability")

    assert found["state"].to_list() == ["TX", UNKNOWN]
    assert found["amount"].to_list() == [1.0, None]
    assert found.columns[-1] == "probability"
