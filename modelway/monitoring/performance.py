"""How the model fares on the rows whose label has matured, beside what its scores alone expect.

Only matured rows count: taking early positives before their cohort has matured would bias the base
rate. The label-free estimate covers every row, at once, and is blind to a relation that changed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import ContractError
from modelway.monitoring.policy import PerformancePolicy
from modelway.monitoring.predictions import ENTITY, EVENT_TIME, SCORE
from modelway.monitoring.windows import Window, rows_in
from modelway.stats.bootstrap import UNDEFINED, Estimate, Sampling, bootstrap
from modelway.stats.label_free import expected_metrics
from modelway.stats.ranking import FloatArray, areas

ASSUMPTION = "assuming the relation has not changed"
"""Stands beside every label-free number."""

MATURED_AT, LABEL = "label_matured_at", "label"
_LABEL = "_label"
_RESAMPLES_SHOWN, _RESAMPLES_JUDGED = 100, 300
"""Bootstrap resamples for an interval in the picture, and for one that decides."""


class Metrics(Frozen):
    """Of matured rows, with 95% intervals."""

    roc_auc: Estimate = UNDEFINED
    pr_auc: Estimate = UNDEFINED
    brier: Estimate = UNDEFINED
    observed_rate: Estimate = UNDEFINED
    """Share of positives among the matured rows."""
    rate_ratio: Estimate = UNDEFINED
    """Observed over predicted base rate: 1 is calibrated in the large."""


class ExpectedMetrics(Frozen):
    """What the scores alone expect, over all rows: assuming the relation has not changed."""

    roc_auc: float | None
    pr_auc: float | None
    brier: float
    positive_rate: float
    """Mean predicted probability."""


class WindowPerformance(Frozen):
    """One window of event time."""

    since: datetime
    until: datetime
    predictions: int
    matured: int
    positives: int
    metrics: Metrics
    expected: ExpectedMetrics | None
    """None where there is no prediction."""

    @property
    def coverage(self) -> float | None:
        """Share of the predictions whose label has matured; None without predictions."""
        return self.matured / self.predictions if self.predictions else None


class PerformanceReport(Frozen):
    """Matured and expected performance, and whether the model has decayed."""

    as_of: datetime
    windows: tuple[WindowPerformance, ...]
    judged: WindowPerformance | None
    """The newest windows together that hold enough matured positives: what the verdict rests on."""
    reference_roc_auc: float | None
    """Of the held-out evaluation, as the bundle records it."""
    verdict: Verdict
    """PASS: holds its reference. FAIL: decayed. INCONCLUSIVE: too few matured labels to say."""


def measure_performance(  # noqa: PLR0913 - two tables, two clocks, a reference and a policy
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    key: str,
    as_of: datetime,
    windows: Sequence[Window],
    reference: Mapping[str, float | None],
    policy: PerformancePolicy | None = None,
) -> PerformanceReport:
    """Join predictions with the labels that had matured by `as_of`, and judge.

    Args:
        predictions: Of one model, as `read_predictions` gives them; may be empty.
        labels: Columns `key`, `label` (0/1, null where unknown) and `label_matured_at`.
        key: Name of the column in `labels` that the log calls `_entity_id`.
        as_of: Labels that matured later are not looked at.
        windows: Event times to show, oldest first.
        reference: Metrics of the held-out evaluation; `roc_auc` is used.
        policy: When to call it decay.

    Raises:
        ContractError: `labels` lacks a column.
    """
    policy = policy or PerformancePolicy()
    joined = join_matured(predictions, labels, key=key, as_of=as_of)
    sampling = Sampling(seed=policy.seed, resamples=_RESAMPLES_SHOWN)
    shown = tuple(_measure(joined, w, sampling) for w in windows)
    recent = _judged_window(shown, policy)
    judged = _judged(joined, recent, policy) if recent else None
    reference_roc_auc = reference.get("roc_auc")
    return PerformanceReport(
        as_of=as_of,
        windows=shown,
        judged=judged,
        reference_roc_auc=reference_roc_auc,
        verdict=_verdict(judged, reference_roc_auc, joined.height, policy),
    )


def join_matured(
    predictions: pl.DataFrame, labels: pl.DataFrame, *, key: str, as_of: datetime
) -> pl.DataFrame:
    """Each entity's newest prediction, with its label where it had matured by `as_of`, else null."""
    missing = sorted({key, LABEL, MATURED_AT} - set(labels.columns))
    if missing:
        raise ContractError(
            f"the label table lacks {', '.join(missing)}",
            expected=f"columns {key}, {LABEL}, {MATURED_AT}",
            remedy="take it from modelway.data.labels.with_label",
        )
    matured = labels.filter(pl.col(MATURED_AT) <= as_of, pl.col(LABEL).is_not_null()).select(
        pl.col(key).cast(pl.String).alias(ENTITY), pl.col(LABEL).cast(pl.Float64).alias(_LABEL)
    )
    known, anonymous = (
        predictions.filter(pl.col(ENTITY).is_not_null()),
        predictions.filter(pl.col(ENTITY).is_null()),
    )
    newest = known.sort(EVENT_TIME, maintain_order=True).unique(ENTITY, keep="last", maintain_order=True)
    return pl.concat([newest, anonymous]).join(
        matured.unique(ENTITY, keep="last", maintain_order=True), on=ENTITY, how="left"
    )


def _judged(joined: pl.DataFrame, window: Window, policy: PerformancePolicy) -> WindowPerformance:
    return _measure(joined, window, Sampling(seed=policy.seed, resamples=_RESAMPLES_JUDGED))


def _measure(joined: pl.DataFrame, window: Window, sampling: Sampling) -> WindowPerformance:
    rows = rows_in(joined, window)
    matured = rows.filter(pl.col(_LABEL).is_not_null())
    return WindowPerformance(
        since=window.since,
        until=window.until,
        predictions=rows.height,
        matured=matured.height,
        positives=int(matured[_LABEL].sum()),
        metrics=_metrics(matured, sampling),
        expected=_expected(rows),
    )


def _metrics(matured: pl.DataFrame, sampling: Sampling) -> Metrics:
    if not matured.height:
        return Metrics()
    y, p = matured[_LABEL].to_numpy(), matured[SCORE].cast(pl.Float64).to_numpy()

    def of(weights: FloatArray) -> Mapping[str, FloatArray]:
        rows, positives, ranking = weights.sum(-1), weights @ y, areas(y, p, weights)
        return {
            "roc_auc": ranking.roc_auc,
            "pr_auc": ranking.pr_auc,
            "brier": weights @ (p - y) ** 2 / rows,
            "observed_rate": positives / rows,
            "rate_ratio": positives / (weights @ p),
        }

    return Metrics(**bootstrap(of, y.size, sampling))


def _expected(rows: pl.DataFrame) -> ExpectedMetrics | None:
    if not rows.height:
        return None
    found = expected_metrics(rows[SCORE].to_numpy())
    return ExpectedMetrics(
        roc_auc=_finite(found.roc_auc),
        pr_auc=_finite(found.pr_auc),
        brier=found.brier,
        positive_rate=found.positive_rate,
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _judged_window(windows: Sequence[WindowPerformance], policy: PerformancePolicy) -> Window | None:
    """From the newest window that has matured rows back until the positives suffice."""
    matured = [w for w in windows if w.matured]
    if not matured:
        return None
    positives: npt.NDArray[np.int64] = np.cumsum([w.positives for w in reversed(matured)])
    enough = int(np.searchsorted(positives, policy.judged_positives))
    oldest = matured[-1 - min(enough, len(matured) - 1)]
    return Window(oldest.since, matured[-1].until)


def _verdict(
    judged: WindowPerformance | None, reference: float | None, predictions: int, policy: PerformancePolicy
) -> Verdict:
    if judged is None:
        return Verdict.of([_nothing_matured(predictions)])
    few = min(judged.positives, judged.matured - judged.positives)
    if few < policy.min_positives:
        return Verdict.of([_too_few(judged, policy)])
    return Verdict.of([_ranking(judged, reference, policy), _calibration(judged, policy)])


def _nothing_matured(predictions: int) -> Reason:
    return Reason(
        metric="matured labels",
        outcome=Outcome.INCONCLUSIVE,
        message=f"none of {predictions} predictions has a matured label",
        found=0,
        unit="rows",
        samples=predictions,
    )


def _too_few(judged: WindowPerformance, policy: PerformancePolicy) -> Reason:
    return Reason(
        metric="matured positives",
        outcome=Outcome.INCONCLUSIVE,
        message=f"{judged.positives} positives among {judged.matured} matured rows: too few to say",
        found=judged.positives,
        limit=policy.min_positives,
        unit="rows",
        samples=judged.matured,
    )


def _ranking(judged: WindowPerformance, reference: float | None, policy: PerformancePolicy) -> Reason:
    """Decayed when even the interval's upper end lies below the limit."""
    found = judged.metrics.roc_auc
    limit = None if reference is None else reference - policy.max_roc_auc_loss
    if limit is None or found.value is None:
        outcome, message = Outcome.INCONCLUSIVE, "the bundle records no ROC-AUC to compare with"
    elif found.value >= limit:
        outcome, message = Outcome.PASS, f"matured ROC-AUC {found.text()} holds the reference {reference:.3f}"
    elif found.high is not None and found.high < limit:
        outcome, message = (
            Outcome.FAIL,
            f"matured ROC-AUC {found.text()} fell below the reference {reference:.3f}",
        )
    else:
        outcome, message = Outcome.INCONCLUSIVE, f"matured ROC-AUC {found.text()} is lower, but not surely"
    return Reason(
        metric="roc_auc",
        outcome=outcome,
        message=message,
        found=found.value,
        limit=limit,
        samples=judged.matured,
    )


def _calibration(judged: WindowPerformance, policy: PerformancePolicy) -> Reason:
    """Off when the whole interval of observed over predicted lies outside the allowed band."""
    found, limit = judged.metrics.rate_ratio, policy.max_rate_ratio
    text = f"{found.text(2)} times as many positives as predicted"
    if found.value is not None and 1 / limit <= found.value <= limit:
        outcome, message = Outcome.PASS, text
    elif _surely_outside(found, limit):
        outcome, message = Outcome.FAIL, text
    else:
        outcome, message = Outcome.INCONCLUSIVE, f"{text}, but not surely"
    return Reason(
        metric="rate_ratio",
        outcome=outcome,
        message=message,
        found=found.value,
        limit=limit,
        samples=judged.matured,
    )


def _surely_outside(found: Estimate, limit: float) -> bool:
    return (found.low is not None and found.low > limit) or (
        found.high is not None and found.high < 1 / limit
    )
