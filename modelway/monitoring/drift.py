"""Do the rows the model sees still look like those it was judged on?

Per column and window: a p-value, an effect size, and Benjamini-Hochberg over all tests of the window.
An alarm needs a significant difference of a size that matters in 2 of the last 3 windows.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import polars as pl

from modelway.bundle.signature import Input
from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import ContractError
from modelway.monitoring.comparison import (
    Difference,
    Kind,
    Series,
    compared_series,
    differences,
    sorted_columns,
)
from modelway.monitoring.policy import DriftPolicy
from modelway.monitoring.predictions import EVENT_TIME, answered_by_the_model


class ColumnDrift(Frozen):
    """One column against the reference, window by window."""

    name: str
    kind: Kind
    differences: tuple[Difference | None, ...]
    """One per window, oldest first; None where the window could not be tested."""
    outcome: Outcome
    """FAIL: drifted. INCONCLUSIVE: the untested windows could tip it."""
    warning: bool
    """It differs by less than an alarm needs, but more than nothing."""


class WindowRows(Frozen):
    """How much one window holds."""

    since: datetime | None
    """First and …"""
    until: datetime | None
    """… last event time in it; None for an empty window."""
    rows: int
    tested: bool
    fallback_rows: int = 0
    """Those that the fallback rule answered: compared in their inputs, and left out in the score."""


class DriftReport(Frozen):
    """What differs from the reference, and whether it matters."""

    reference_rows: int
    windows: tuple[WindowRows, ...]
    columns: tuple[ColumnDrift, ...]
    verdict: Verdict
    """PASS: no drift. FAIL: drift. INCONCLUSIVE: too few rows or windows to say."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that alarm, strongest effect first."""
        alarming = [c for c in self.columns if c.outcome is Outcome.FAIL]
        return tuple(c.name for c in sorted(alarming, key=lambda c: -largest_effect(c)))


def largest_effect(column: ColumnDrift) -> float:
    """The largest effect any window showed; 0 when none was tested."""
    return max((d.effect for d in column.differences if d is not None), default=0.0)


def measure_drift(
    reference: pl.DataFrame,
    windows: Sequence[pl.DataFrame],
    inputs: Sequence[Input],
    policy: DriftPolicy | None = None,
    *,
    masked: Collection[str] = (),
) -> DriftReport:
    """Compare windows of the prediction log with the bundle's reference.

    Args:
        reference: Encoded inputs by name and `probability`.
        windows: Encoded inputs by name and `_probability`, oldest first; may be empty frames.
        inputs: The signature's inputs.
        policy: When to alarm.
        masked: Inputs that the log does not keep: they cannot be compared, which the verdict says.

    Raises:
        ContractError: The reference or a window lacks a column.
    """
    policy = policy or DriftPolicy()
    compared = tuple(s for s in compared_series(inputs) if s.column not in masked)
    hidden = tuple(_hidden(s, len(windows)) for s in compared_series(inputs) if s.column in masked)
    _check_columns(reference, [s.reference_column for s in compared], "the drift reference")
    known = sorted_columns(reference, compared)
    testable = {s.name: _testable(s, reference.height, windows, policy) for s in compared}
    seen = {name: sum(tested[-policy.recent :]) for name, tested in testable.items()}
    per_window: list[Mapping[str, Difference]] = []
    for at, window in enumerate(windows):
        if window.height:
            _check_columns(window, [s.column for s in compared], "a window of the prediction log")
        here = [s for s in compared if testable[s.name][at]]
        per_window.append(differences(known, window, here) if here else {})
    columns = tuple(
        _column(s, [found.get(s.name) for found in per_window], policy.recent - seen[s.name], policy)
        for s in compared
    )
    rows = tuple(_window_rows(w, reference.height, policy) for w in windows)
    return DriftReport(
        reference_rows=reference.height,
        windows=rows,
        columns=columns + hidden,
        verdict=_verdict(columns, seen, rows[-policy.recent :], sorted(masked), policy),
    )


def _testable(
    series: Series, reference_rows: int, windows: Sequence[pl.DataFrame], policy: DriftPolicy
) -> list[bool]:
    """Which windows hold enough rows of a series; of the score, enough that the model answered."""
    shown = [answered_by_the_model(w) if series.kind == "score" else w for w in windows]
    return [min(reference_rows, w.height) >= policy.min_rows for w in shown]


def _hidden(series: Series, windows: int) -> ColumnDrift:
    """A series that nobody can see: no test in any window."""
    nothing: tuple[Difference | None, ...] = (None,) * windows
    outcome = Outcome.INCONCLUSIVE
    return ColumnDrift(
        name=series.name, kind=series.kind, differences=nothing, outcome=outcome, warning=False
    )


def _check_columns(frame: pl.DataFrame, names: Sequence[str], whose: str) -> None:
    missing = sorted(set(names) - set(frame.columns))
    if missing:
        raise ContractError(
            f"{whose} lacks {', '.join(missing)}",
            expected="one float32 column per input of the signature, and the score",
            remedy="compare predictions with the reference of the bundle that made them",
        )


def _column(
    series: Series, found: Sequence[Difference | None], unseen: int, policy: DriftPolicy
) -> ColumnDrift:
    outcome = _outcome(found, unseen, policy, policy.alarm_effect)
    warned = _outcome(found, unseen, policy, policy.warn_effect) is Outcome.FAIL
    return ColumnDrift(
        name=series.name,
        kind=series.kind,
        differences=tuple(found),
        outcome=outcome,
        warning=warned and outcome is not Outcome.FAIL,
    )


def _outcome(found: Sequence[Difference | None], unseen: int, policy: DriftPolicy, effect: float) -> Outcome:
    """FAIL with enough hits; INCONCLUSIVE while the windows nobody could test might still bring them."""
    hits = sum(d is not None and _matters(d, policy, effect) for d in found[-policy.recent :])
    if hits >= policy.needed:
        return Outcome.FAIL
    return Outcome.INCONCLUSIVE if hits + unseen >= policy.needed else Outcome.PASS


def _matters(difference: Difference, policy: DriftPolicy, effect: float) -> bool:
    return difference.adjusted_p <= policy.false_discovery_rate and difference.effect >= effect


def _window_rows(window: pl.DataFrame, reference_rows: int, policy: DriftPolicy) -> WindowRows:
    timed = window.height > 0 and EVENT_TIME in window.columns
    times = window[EVENT_TIME] if timed else None
    return WindowRows(
        since=None if times is None else times.min(),
        until=None if times is None else times.max(),
        rows=window.height,
        tested=min(reference_rows, window.height) >= policy.min_rows,
        fallback_rows=window.height - answered_by_the_model(window).height,
    )


def _verdict(
    columns: Sequence[ColumnDrift],
    seen: Mapping[str, int],
    recent: Sequence[WindowRows],
    masked: Sequence[str],
    policy: DriftPolicy,
) -> Verdict:
    """One reason for each column that speaks, or one that says that none does."""
    reasons = [_reason(c, policy) for c in columns if c.outcome is Outcome.FAIL or c.warning]
    unclear = [c.name for c in columns if c.outcome is Outcome.INCONCLUSIVE]
    if unclear:
        reasons.append(_unclear(unclear, min(seen[name] for name in unclear), policy))
    if any(w.fallback_rows for w in recent):
        reasons.append(_not_the_models(recent, policy))
    if masked:
        reasons.append(_not_kept(masked))
    if not any(r.metric.startswith("drift") for r in reasons):
        reasons.append(
            Reason(metric="drift", outcome=Outcome.PASS, message=f"no column of {len(columns)} drifted")
        )
    return Verdict.of(reasons)


def _not_the_models(recent: Sequence[WindowRows], policy: DriftPolicy) -> Reason:
    """Always told; an excess clears nothing, for nobody saw what the model would have answered."""
    together = sum(w.fallback_rows for w in recent), sum(w.rows for w in recent)
    counted = [together, *((w.fallback_rows, w.rows) for w in recent if w.tested)]
    answers, rows = max(counted, key=lambda each: each[0] / each[1])
    excess = answers / rows > policy.max_fallback_share
    return Reason(
        metric="fallback answers",
        outcome=Outcome.INCONCLUSIVE if excess else Outcome.PASS,
        message=f"the fallback rule answered {answers:,} of {rows:,} rows, whose scores are not the model's"
        f"{': too many to clear its own' if excess else ''}",
        found=answers / rows,
        limit=policy.max_fallback_share,
        unit="of the rows",
        samples=rows,
    )


def _reason(column: ColumnDrift, policy: DriftPolicy) -> Reason:
    recent = [d for d in column.differences[-policy.recent :] if d is not None]
    drifted = column.outcome is Outcome.FAIL
    word = "drifted" if drifted else "warning: differs"
    limit = policy.alarm_effect if drifted else policy.warn_effect
    hits = sum(_matters(d, policy, limit) for d in recent)
    return Reason(
        metric=f"drift: {column.name}",
        outcome=column.outcome if drifted else Outcome.PASS,
        message=f"{word} in {hits} of the last {policy.recent} windows",
        found=max(d.effect for d in recent),
        limit=limit,
        unit="effect",
    )


def _not_kept(names: Sequence[str]) -> Reason:
    return Reason(
        metric="drift: masked columns",
        outcome=Outcome.INCONCLUSIVE,
        message=f"the prediction log masks {', '.join(names)}: not compared, so not cleared",
        found=len(names),
        unit="columns",
    )


def _unclear(names: Sequence[str], tested: int, policy: DriftPolicy) -> Reason:
    return Reason(
        metric="drift",
        outcome=Outcome.INCONCLUSIVE,
        message=f"{tested} of the last {policy.recent} windows hold {policy.min_rows} rows or more: "
        f"too few to clear {len(names)} column(s), {names[0]!r} among them",
        found=tested,
        limit=policy.needed,
        unit="windows",
    )
