"""One look at a model in production: drift, matured performance, and what they ask for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl

from modelway.bundle.bundle import Bundle
from modelway.bundle.masking import SALT_VARIABLE, hashed, log_salt
from modelway.bundle.signature import Signature
from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import EmptyWindowError
from modelway.monitoring.drift import DriftReport, measure_drift
from modelway.monitoring.performance import MATURED_AT, PerformanceReport, measure_performance
from modelway.monitoring.policy import MonitoringPolicy
from modelway.monitoring.predictions import (
    BUNDLE,
    ENTITY,
    EVENT_TIME,
    SCORE,
    answered_by_the_model,
    read_predictions,
)
from modelway.monitoring.triggers import Cycle, RetrainDecision, Signals, should_retrain
from modelway.monitoring.windows import cut, windows_before


class Subject(Frozen):
    """The model that is watched, by what its bundle says."""

    signature: Signature
    bundle: str
    """Digest: only this bundle's answers are looked at."""
    as_of: datetime
    training_rows: int | None = None
    metrics: Mapping[str, float | None] = {}
    """Of the held-out evaluation."""
    masked: Mapping[str, Literal["drop", "hash"]] = {}
    """What its prediction log does not keep as it is, by column."""

    @classmethod
    def of(cls, bundle: Bundle) -> "Subject":
        """The model in a verified bundle."""
        return cls(
            signature=bundle.signature,
            bundle=bundle.digest,
            as_of=bundle.lineage.as_of,
            training_rows=bundle.lineage.training_rows,
            metrics=bundle.lineage.metrics,
            masked=bundle.policy.masked,
        )


class MonitoringReport(Frozen):
    """Everything one look found."""

    model: str
    bundle: str
    as_of: datetime
    predictions: int
    """Of this bundle, in the windows looked at; answers of its fallback rule are among them."""
    fallbacks: int = 0
    """Those that the rule gave: no part of performance, nor of the score's drift."""
    missing: str | None
    """Why there is no prediction at all, when there is none."""
    drift: DriftReport
    performance: PerformanceReport
    decision: RetrainDecision

    @property
    def verdict(self) -> Verdict:
        """Of the champion: PASS only when every signal was seen and none asks for a successor."""
        return self.decision.verdict


def monitor(  # noqa: PLR0913 - three sources, a subject, a date and a policy
    predictions: Path,
    reference: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    subject: Subject,
    as_of: datetime,
    policy: MonitoringPolicy | None = None,
    history: Sequence[Cycle] = (),
) -> MonitoringReport:
    """Look at one model as of a date.

    Args:
        predictions: Folder of the prediction log.
        reference: The bundle's reference.parquet.
        labels: The signature's key, `label` and `label_matured_at`; what matures after `as_of` is not
            looked at.
        subject: The model.
        as_of: End of the newest window.
        policy: Windows and limits.
        history: Earlier looks.

    Raises:
        SourceError: A file of the log is not readable.
        ContractError: A table lacks a column.
    """
    policy = policy or MonitoringPolicy()
    frame, missing = _predictions(predictions, subject, as_of, policy)
    recent = windows_before(as_of, days=policy.window_days, count=policy.windows)
    inputs, masked = subject.signature.inputs, set(subject.masked) & set(subject.signature.names)
    drift = measure_drift(reference, cut(frame, recent), inputs, policy.drift, masked=masked)
    performance = _performance(frame, labels, subject, as_of, policy)
    signals = _signals(drift, performance, labels, subject)
    return MonitoringReport(
        model=subject.signature.model_name,
        bundle=subject.bundle,
        as_of=as_of,
        predictions=frame.height,
        fallbacks=frame.height - answered_by_the_model(frame).height,
        missing=missing,
        drift=drift,
        performance=performance,
        decision=should_retrain(signals, policy.retrain, history),
    )


def _performance(
    frame: pl.DataFrame, labels: pl.DataFrame, subject: Subject, as_of: datetime, policy: MonitoringPolicy
) -> PerformanceReport:
    rule = subject.masked.get(subject.signature.key)
    salt = log_salt() if rule == "hash" else None
    report = measure_performance(
        answered_by_the_model(frame),
        labels if salt is None else _with_hashed_key(labels, subject.signature.key, salt),
        key=subject.signature.key,
        as_of=as_of,
        windows=windows_before(as_of, days=policy.window_days, count=policy.performance_windows),
        reference=subject.metrics,
        policy=policy.performance,
    )
    return (
        report if rule is None or salt else report.model_copy(update={"verdict": _unjoinable(subject, rule)})
    )


def _with_hashed_key(labels: pl.DataFrame, key: str, salt: str) -> pl.DataFrame:
    """The labels under the names that the log has for their subjects."""
    return labels.with_columns(
        pl.col(key).cast(pl.String).map_elements(partial(hashed, salt=salt), return_dtype=pl.String)
    )


def _unjoinable(subject: Subject, rule: str) -> Verdict:
    key = subject.signature.key
    why = f"{SALT_VARIABLE} is not set here" if rule == "hash" else "it keeps none"
    message = f"the prediction log masks {key}, and {why}: no label can be joined"
    return Verdict.of([Reason(metric="matured labels", outcome=Outcome.INCONCLUSIVE, message=message)])


def _signals(
    drift: DriftReport, performance: PerformanceReport, labels: pl.DataFrame, subject: Subject
) -> Signals:
    as_of = performance.as_of
    return Signals(
        as_of=as_of,
        drift=drift.verdict,
        performance=performance.verdict,
        champion_as_of=subject.as_of,
        new_matured_rows=_matured_between(labels, subject.as_of, as_of),
        training_rows=subject.training_rows,
    )


def _predictions(
    folder: Path, subject: Subject, as_of: datetime, policy: MonitoringPolicy
) -> tuple[pl.DataFrame, str | None]:
    """The log's rows, or none and the reason: silence is a finding, reported as INCONCLUSIVE.

    Events from before the model's `as_of` are left out: they are replays, of a load test say, and the
    model may have learnt from them.
    """
    count = max(policy.windows, policy.performance_windows)
    since = windows_before(as_of, days=policy.window_days, count=count)[0].since
    since = max(since, subject.as_of)
    try:
        return read_predictions(folder, since=since, until=as_of, bundle=subject.bundle), None
    except EmptyWindowError as empty:
        return _no_predictions(subject.signature), empty.found


def _no_predictions(signature: Signature) -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            ENTITY: pl.String,
            EVENT_TIME: pl.Datetime("us", "UTC"),
            BUNDLE: pl.String,
            SCORE: pl.Float32,
            **dict.fromkeys(signature.names, pl.Float32),
        }
    )


def _matured_between(labels: pl.DataFrame, since: datetime, until: datetime) -> int:
    return labels.filter(pl.col(MATURED_AT) > since, pl.col(MATURED_AT) <= until).height
