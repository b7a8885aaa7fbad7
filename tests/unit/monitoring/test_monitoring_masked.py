"""What the log does not keep is said to be unseen, and what it keeps of a subject can be taken out."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelway.bundle.masking import SALT_VARIABLE, hashed, log_salt
from modelway.contract import Outcome
from modelway.errors import ConfigError, EmptyWindowError, SourceError
from modelway.monitoring.forget import forget
from modelway.monitoring.monitor import MonitoringReport, Subject, monitor
from modelway.monitoring.policy import DriftPolicy, MonitoringPolicy

SALT = "0123456789abcdef"
POLICY = MonitoringPolicy(windows=4, performance_windows=4, drift=DriftPolicy(min_rows=100))


@pytest.fixture
def subject(signature) -> Subject:
    return Subject(signature=signature, bundle="b1", as_of=datetime(2005, 1, 1, tzinfo=UTC), metrics={})


@pytest.fixture
def no_salt(monkeypatch) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)


def labels_of(log: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    """Every subject's label, matured on the day of the look."""
    ids = log["_entity_id"].unique().sort()
    label = [at % 2 for at in range(len(ids))]
    return pl.DataFrame({"loan_id": ids, "label": label}).with_columns(
        pl.lit(subject.as_of + timedelta(days=119)).cast(pl.Datetime("us", "UTC")).alias("label_matured_at")
    )


def look(folder: Path, reference: pl.DataFrame, labels: pl.DataFrame, subject: Subject) -> MonitoringReport:
    as_of = subject.as_of + timedelta(days=120)
    return monitor(folder, reference, labels, subject=subject, as_of=as_of, policy=POLICY)


def test_a_masked_column_is_neither_cleared_nor_blamed(
    reference, subject, make_log, write_log: Callable[..., Path]
) -> None:
    log = make_log(np.random.default_rng(1), 1600, days=120)
    folder = write_log(log.drop("employees").with_columns(pl.lit("f00d").alias("_hashed_employees")))

    report = look(
        folder,
        reference,
        labels_of(log, subject),
        subject.model_copy(update={"masked": {"employees": "hash"}}),
    )

    found = {column.name: column for column in report.drift.columns}
    for name in ("employees", "employees is missing"):
        assert found[name].outcome is Outcome.INCONCLUSIVE
        assert found[name].differences == (None,) * 4
    assert found["amount"].outcome is Outcome.PASS
    assert report.drift.verdict.outcome is Outcome.INCONCLUSIVE
    assert [r.message for r in report.drift.verdict.reasons if "masks employees" in r.message]


def test_drift_in_a_kept_column_is_still_found(reference, subject, make_log, write_log) -> None:
    log = make_log(np.random.default_rng(1), 1600, days=120, shift=0.8)

    report = look(
        write_log(log.drop("state")),
        reference,
        labels_of(log, subject),
        subject.model_copy(update={"masked": {"state": "drop"}}),
    )

    assert report.drift.verdict.outcome is Outcome.FAIL
    assert "amount" in report.drift.drifted


def test_labels_are_joined_through_the_hash_of_their_key(
    reference, subject, make_log, write_log, monkeypatch
) -> None:
    log = make_log(np.random.default_rng(1), 1600, days=120)
    kept = log.with_columns(
        pl.col("_entity_id").map_elements(lambda key: hashed(key, SALT), return_dtype=pl.String)
    )
    masked = subject.model_copy(update={"masked": {"loan_id": "hash"}})
    labels = labels_of(log, subject)
    monkeypatch.setenv(SALT_VARIABLE, SALT)

    plain = look(write_log(log), reference, labels, subject).performance
    through = look(write_log(kept), reference, labels, masked).performance

    assert through.judged == plain.judged
    assert through.judged is not None
    assert through.verdict == plain.verdict


@pytest.mark.parametrize(("rule", "says"), [("hash", SALT_VARIABLE), ("drop", "keeps none")])
@pytest.mark.usefixtures("no_salt")
def test_labels_that_cannot_be_joined_are_said_to_be_unseen(  # noqa: PLR0913, PLR0917 - fixtures
    reference, subject, make_log, write_log, rule: str, says: str
) -> None:
    log = make_log(np.random.default_rng(1), 1600, days=120)
    masked = subject.model_copy(update={"masked": {"loan_id": rule}})

    report = look(
        write_log(log.with_columns(pl.lit(None, pl.String).alias("_entity_id"))),
        reference,
        labels_of(log, subject),
        masked,
    )

    assert report.performance.verdict.outcome is Outcome.INCONCLUSIVE
    assert says in report.performance.verdict.reasons[0].message


def test_a_salt_that_can_be_guessed_is_refused(monkeypatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, "short")
    with pytest.raises(ConfigError, match="5 characters"):
        log_salt()


def test_a_hash_depends_on_value_and_salt_and_tells_neither() -> None:
    seen = {hashed(value, salt) for value in ("a", "b") for salt in (SALT, SALT[::-1])}

    assert len(seen) == 4
    assert all(len(text) == 32 for text in seen)
    assert hashed("a", SALT) == hashed(b"a", SALT)


def test_one_subjects_rows_go_and_all_others_stay(make_log, write_log, tmp_path: Path) -> None:
    log = make_log(np.random.default_rng(1), 300, days=30)
    theirs = log["_entity_id"][7]
    folder = write_log(log)
    alone = folder / "alone.parquet"
    log.filter(pl.col("_entity_id") == theirs).write_parquet(alone)
    other = folder / "other.parquet"
    log.filter(pl.col("_entity_id") != theirs).head(3).write_parquet(other)
    untouched = other.stat().st_mtime_ns

    forgotten = forget(folder, theirs)

    assert (forgotten.rows, forgotten.files) == (2, 2)
    assert not alone.exists()
    assert other.stat().st_mtime_ns == untouched
    left = pl.concat([pl.read_parquet(path) for path in folder.glob("*.parquet") if path != other])
    assert left.equals(log.filter(pl.col("_entity_id") != theirs))
    assert forget(folder, theirs).rows == 0
    assert sorted(path.suffix for path in folder.iterdir()) == [".parquet"] * 2


def test_a_hashed_subject_is_found_with_the_salt_alone(make_log, write_log) -> None:
    log = make_log(np.random.default_rng(1), 30, days=30).with_columns(
        pl.col("_entity_id").map_elements(lambda key: hashed(key, SALT), return_dtype=pl.String)
    )
    folder = write_log(log)
    key = make_log(np.random.default_rng(1), 30, days=30)["_entity_id"][0]

    assert forget(folder, key).rows == 0
    assert forget(folder, key, salt=SALT).rows == 1


def test_the_command_says_what_it_removed(make_log, write_log, monkeypatch, capsys) -> None:
    from modelway.cli.main import main  # noqa: PLC0415 - Typer, for one test

    monkeypatch.setenv(SALT_VARIABLE, SALT)
    log = make_log(np.random.default_rng(1), 30, days=30)
    folder = write_log(log)

    with suppress(SystemExit):
        main(["monitor", "forget", log["_entity_id"][3], "--log", str(folder), "--json"])

    assert json.loads(capsys.readouterr().out) == [
        {"rows removed": 1, "files changed": 1, "log": str(folder)}
    ]
    assert pl.read_parquet(folder).height == 29


def test_forgetting_where_there_is_no_log_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(EmptyWindowError):
        forget(tmp_path, "a")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match="broken"):
        forget(tmp_path, "a")
