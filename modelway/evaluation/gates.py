"""Whether what was measured is good enough. Every limit leaves a reason, kept or not."""

from collections.abc import Iterator

from modelway.contract import Gates, Outcome, Reason, Verdict
from modelway.evaluation.record import Comparison, Evaluation, Group, SliceReport
from modelway.stats.bootstrap import Estimate


def gates(evaluation: Evaluation, limits: Gates) -> Verdict:
    """Hold an evaluation against the limits. It never raises because a model is bad.

    Absolute limits are held by the value itself. Comparisons (with the champion, of a group with the
    whole) fail only when the whole interval lies beyond the limit: chance alone must not fail a model
    that is as good. What the rows do not define, or too few rows to define anything, is INCONCLUSIVE.
    """
    evidence = {
        "rows": evaluation.rows,
        "positives": evaluation.positives,
        "threshold": evaluation.threshold,
        "metrics": evaluation.values(),
        "compared_with_champion": evaluation.comparison is not None,
    }
    return Verdict.of(_reasons(evaluation, limits), evidence)


def _reasons(evaluation: Evaluation, limits: Gates) -> Iterator[Reason]:
    yield _enough("rows", evaluation.rows, limits.min_rows)
    yield _enough("positives", evaluation.positives, limits.min_positives)
    yield _scores(evaluation)
    thin = evaluation.rows < limits.min_rows or evaluation.positives < limits.min_positives
    short = Outcome.INCONCLUSIVE if thin else Outcome.FAIL
    yield _at_least(evaluation, "roc_auc", "ROC-AUC", limits.min_roc_auc, short)
    yield _at_least(evaluation, "pr_auc_lift", "PR-AUC over the base rate", limits.min_pr_auc_lift, short)
    yield _calibrated(evaluation, limits.max_calibration_error, short)
    yield _against_champion(evaluation, limits.max_roc_auc_loss, short)
    if limits.max_test_openings is not None:
        yield _openings(evaluation, limits.max_test_openings)
    for report in evaluation.slices:
        yield _fair(report, evaluation, limits.max_slice_roc_auc_gap, short)
        yield from _treated_alike(report, evaluation.rows, limits, short)


def _enough(what: str, found: int, limit: int) -> Reason:
    enough = found >= limit
    return Reason(
        metric=what,
        outcome=Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        message=f"{found:,} {what}, "
        + (f"at least {limit:,} asked for" if enough else f"too few: {limit:,} needed"),
        found=found,
        limit=limit,
        unit="rows",
        samples=found,
    )


def _scores(evaluation: Evaluation) -> Reason:
    bad = evaluation.invalid_scores
    return Reason(
        metric="scores",
        outcome=Outcome.FAIL if bad else Outcome.PASS,
        message=f"{bad:,} of {evaluation.rows:,} scores are no probabilities"
        if bad
        else "every score is a probability",
        found=bad,
        limit=0,
        unit="rows",
        samples=evaluation.rows,
    )


def _undefined(metric: str, label: str, limit: float, samples: int) -> Reason:
    return Reason(
        metric=metric,
        outcome=Outcome.INCONCLUSIVE,
        message=f"{label} is undefined on these rows",
        limit=limit,
        samples=samples,
    )


def _at_least(evaluation: Evaluation, metric: str, label: str, limit: float, short: Outcome) -> Reason:
    found = evaluation.metric(metric)
    if found.value is None:
        return _undefined(metric, label, limit, evaluation.rows)
    kept = found.value >= limit
    return Reason(
        metric=metric,
        outcome=Outcome.PASS if kept else short,
        message=f"{label} {found.text()}, " + (f"at least {limit:g}" if kept else f"below {limit:g}"),
        found=found.value,
        limit=limit,
        samples=evaluation.rows,
    )


def _calibrated(evaluation: Evaluation, limit: float, short: Outcome) -> Reason:
    found = evaluation.metric("ece")
    if found.value is None:
        return _undefined("ece", "calibration error", limit, evaluation.rows)
    kept = found.value <= limit
    return Reason(
        metric="ece",
        outcome=Outcome.PASS if kept else short,
        message=f"calibration error {found.text()}, "
        + (f"at most {limit:g}" if kept else f"above {limit:g}"),
        found=found.value,
        limit=limit,
        samples=evaluation.rows,
    )


def _against_champion(evaluation: Evaluation, max_loss: float, short: Outcome) -> Reason:
    metric, comparison = "champion.roc_auc", evaluation.comparison
    if comparison is None:
        message = "no champion: this is the first model, so there is nothing to be worse than"
        return Reason(metric=metric, outcome=Outcome.PASS, message=message, limit=-max_loss)
    difference = comparison.difference.get("roc_auc")
    if difference is None or difference.value is None or difference.high is None:
        return _incomparable(metric, comparison, max_loss, evaluation.rows)
    worse = difference.high < -max_loss
    return Reason(
        metric=metric,
        outcome=short if worse else Outcome.PASS,
        message=f"ROC-AUC minus the champion's {_signed(difference)}, "
        + (f"all of it below -{max_loss:g}" if worse else f"not surely below -{max_loss:g}"),
        found=difference.value,
        limit=-max_loss,
        samples=evaluation.rows,
    )


def _incomparable(metric: str, comparison: Comparison, max_loss: float, rows: int) -> Reason:
    bad = comparison.invalid_scores
    why = f"{bad:,} of the champion's scores are no probabilities" if bad else "ROC-AUC has no interval here"
    return Reason(
        metric=metric,
        outcome=Outcome.INCONCLUSIVE,
        message=f"cannot be compared with the champion: {why}",
        limit=-max_loss,
        samples=rows,
    )


def _signed(difference: Estimate) -> str:
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _openings(evaluation: Evaluation, limit: int) -> Reason:
    """The best of many models on the same rows is partly the luckiest: such rows are used up."""
    found = evaluation.test_openings
    if found is None:
        message, outcome = "nobody counted how many models were measured on these rows", Outcome.INCONCLUSIVE
    elif found > limit:
        message = f"models measured on these rows: {found}, more than {limit}; they are used up"
        outcome = Outcome.FAIL
    else:
        message = f"models measured on these rows: {found}, at most {limit}"
        outcome = Outcome.PASS
    return Reason(
        metric="test_openings",
        outcome=outcome,
        message=message,
        found=found,
        limit=limit,
        unit="models",
        samples=evaluation.rows,
    )


def _treated_alike(report: SliceReport, rows: int, limits: Gates, short: Outcome) -> Iterator[Reason]:
    """Fairness limits, where the use case names some."""
    asked = (
        (
            "demographic_parity",
            report.demographic_parity_difference,
            limits.max_demographic_parity_difference,
        ),
        ("equalized_odds", report.equalized_odds_difference, limits.max_equalized_odds_difference),
    )
    for name, found, limit in asked:
        if limit is not None:
            yield _alike(f"slice.{report.name}.{name}", found, limit, short, rows)


def _alike(metric: str, found: Estimate, limit: float, short: Outcome, rows: int) -> Reason:
    what = metric.rpartition(".")[2].replace("_", " ")
    if found.value is None or found.low is None:
        return Reason(
            metric=metric,
            outcome=Outcome.INCONCLUSIVE,
            message=f"{what} difference: fewer than two groups are large enough to be compared",
            limit=limit,
            samples=rows,
        )
    apart = found.low > limit
    return Reason(
        metric=metric,
        outcome=short if apart else Outcome.PASS,
        message=f"{what} difference {found.text()}, {'surely' if apart else 'not surely'} above {limit:g}",
        found=found.value,
        limit=limit,
        samples=rows,
    )


def _upper(group: Group) -> float:
    """The best that chance allows for a group; without an interval, anything is possible."""
    high = group.metric("roc_auc").high
    return float("inf") if high is None else high


def _fair(report: SliceReport, evaluation: Evaluation, max_gap: float, short: Outcome) -> Reason:
    metric, whole = f"slice.{report.name}.roc_auc", evaluation.metric("roc_auc").value
    judged = [group for group in report.judged if group.metric("roc_auc").high is not None]
    if whole is None or not judged:
        return Reason(
            metric=metric,
            outcome=Outcome.INCONCLUSIVE,
            message=f"{report.name}: none of {len(report.groups)} groups is large enough to be judged",
            limit=max_gap,
            samples=evaluation.rows,
        )
    worst = min(judged, key=_upper)
    gap = whole - (worst.metric("roc_auc").value or 0.0)
    left_behind = whole - _upper(worst) > max_gap
    return Reason(
        metric=metric,
        outcome=short if left_behind else Outcome.PASS,
        message=f"{report.name}: {worst.name} has ROC-AUC {worst.metric('roc_auc').text()}, "
        f"{'surely' if left_behind else 'not surely'} more than {max_gap:g} below {whole:.3f} "
        f"({len(judged)} of {len(report.groups)} groups judged)",
        found=gap,
        limit=max_gap,
        samples=worst.rows,
    )
