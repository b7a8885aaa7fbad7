"""One look, whole: log, reference and labels in, report and decision out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelway.contract import Outcome
from modelway.monitoring.monitor import MonitoringReport, Subject, monitor
from modelway.monitoring.policy import DriftPolicy, MonitoringPolicy
from modelway.monitoring.report import render_monitoring
from modelway.monitoring.triggers import Cause

POLICY = MonitoringPolicy(windows=4, performance_windows=4, drift=DriftPolicy(min_rows=100))


@pytest.fixture
def subject(signature) -> Subject:
    return Subject(
        signature=signature,
        bundle="b1",
        as_of=datetime(2005, 1, 1, tzinfo=UTC),
        training_rows=5000,
        metrics={"roc_auc": 0.85},
    )


@pytest.fixture
def labels() -> pl.DataFrame:
    return pl.DataFrame(
        schema={"loan_id": pl.String, "label": pl.Int8, "label_matured_at": pl.Datetime("us", "UTC")}
    )


def _look(folder: Path, reference: pl.DataFrame, labels: pl.DataFrame, subject: Subject) -> MonitoringReport:
    return monitor(
        folder, reference, labels, subject=subject, as_of=subject.as_of + timedelta(days=120), policy=POLICY
    )


def test_a_quiet_service_reads_as_unlabelled_not_as_well(
    reference, labels, subject, make_log, write_log
) -> None:
    folder = write_log(make_log(np.random.default_rng(1), 1600, days=120))

    report = _look(folder, reference, labels, subject)

    assert report.predictions == 1600
    assert report.drift.verdict.outcome is Outcome.PASS
    assert report.performance.verdict.outcome is Outcome.INCONCLUSIVE
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert not report.decision.retrain


def test_drift_asks_for_a_new_model_and_names_the_column(
    reference, labels, subject, make_log, write_log
) -> None:
    folder = write_log(make_log(np.random.default_rng(1), 1600, days=120, shift=0.8))

    report = _look(folder, reference, labels, subject)

    assert report.decision.causes == (Cause.DRIFT,)
    assert report.decision.retrain
    assert "amount" in report.drift.drifted


def test_another_bundles_answers_are_not_looked_at(reference, labels, subject, make_log, write_log) -> None:
    draw = np.random.default_rng(1)
    write_log(make_log(draw, 1600, days=120), "a.parquet")
    folder = write_log(make_log(draw, 1600, days=120, shift=3.0, bundle="b2"), "b.parquet")

    report = _look(folder, reference, labels, subject)

    assert report.predictions == 1600
    assert report.drift.drifted == ()


def test_replays_from_before_the_models_day_are_not_looked_at(
    reference, labels, subject, make_log, write_log
) -> None:
    """A load test replays rows that the model may have learnt from: they say nothing of its traffic."""
    folder = write_log(make_log(np.random.default_rng(1), 1600, days=120))
    later = subject.model_copy(update={"as_of": subject.as_of + timedelta(days=60)})

    report = monitor(
        folder, reference, labels, subject=later, as_of=subject.as_of + timedelta(days=120), policy=POLICY
    )

    assert 700 < report.predictions < 900


def test_a_silent_service_is_inconclusive_and_says_why(reference, labels, subject, tmp_path) -> None:
    report = _look(tmp_path / "nowhere", reference, labels, subject)

    assert report.missing.startswith("no prediction log in")
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert {r.metric: r.outcome for r in report.decision.reasons} == {
        "drift": Outcome.INCONCLUSIVE,
        "decay": Outcome.INCONCLUSIVE,
        "age": Outcome.PASS,
        "new_data": Outcome.PASS,
    }


def test_labels_that_matured_since_the_champion_learnt_are_counted(
    reference, labels, subject, tmp_path
) -> None:
    matured_at = [subject.as_of - timedelta(days=1), subject.as_of + timedelta(days=1)] * 2500
    more = pl.DataFrame(
        {"loan_id": [str(k) for k in range(5000)], "label": [0] * 5000, "label_matured_at": matured_at},
        schema=labels.schema,
    )

    report = _look(tmp_path, reference, more, subject)

    assert report.decision.causes == (Cause.NEW_DATA,)
    assert report.decision.reasons[3].samples == 2500


def test_a_report_survives_the_road_through_json(reference, labels, subject, make_log, write_log) -> None:
    folder = write_log(make_log(np.random.default_rng(1), 800, days=120))

    report = _look(folder, reference, labels, subject)

    assert MonitoringReport.model_validate_json(report.model_dump_json()) == report


def test_performance_is_of_the_models_answers_alone(reference, subject, make_log, write_log) -> None:
    """The rule's answers rank nothing; were they judged, a failing server would read as a decayed model."""
    log = make_log(np.random.default_rng(1), 1600, days=120)
    by_rule = pl.int_range(pl.len()) % 2 == 0
    score = pl.col("_probability")
    labels = log.select(
        pl.col("_entity_id").alias("loan_id"),
        (score > score.median()).cast(pl.Int8).alias("label"),
        pl.lit(subject.as_of + timedelta(days=119)).alias("label_matured_at"),
    )
    ruled = log.with_columns(
        pl.when(by_rule).then(pl.lit(0.5, pl.Float32)).otherwise(score).alias("_probability"),
        pl.when(by_rule).then(pl.lit("store")).alias("_fallback"),
    )

    report = _look(write_log(ruled), reference, labels, subject)

    assert (report.predictions, report.fallbacks) == (1600, 800)
    assert report.performance.judged is not None
    assert report.performance.judged.metrics.roc_auc.value == 1.0
    assert sum(w.predictions for w in report.performance.windows) == 800
    assert "800 by its fallback rule" in render_monitoring(report)
