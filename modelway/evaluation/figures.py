"""The figures of an evaluation report, each with the sentence that says how to read it."""

from collections.abc import Sequence

from modelway.evaluation.page import figure
from modelway.evaluation.plots import Axes, forest
from modelway.evaluation.record import Curve, Evaluation, Group, SliceReport
from modelway.stats.bootstrap import Estimate

_MOST_GROUPS = 14
"""In one figure; the table below it has all of them."""


def roc_figure(evaluation: Evaluation) -> str:
    """Positives caught against false alarms."""
    axes = Axes((0, 1), (0, 1), "negatives flagged", "positives flagged", percent_x=True, percent_y=True)
    drawn = axes.draw(
        axes.line([(0, 0), (1, 1)], "ref"),
        axes.line(_champion(evaluation, "roc"), "l2"),
        axes.line(_points(evaluation.roc), "l1"),
        description=f"ROC curve, area {evaluation.metric('roc_auc').text()}",
    )
    caption = f"ROC-AUC {evaluation.metric('roc_auc').text()}. Dashed: chance."
    return figure("Positives caught, at what false alarms", drawn, caption, key=_key(evaluation))


def pr_figure(evaluation: Evaluation) -> str:
    """Precision against recall."""
    top = max([0.05, *_after_noise(evaluation.pr), *(y for _, y in _champion(evaluation, "pr")[5:])])
    axes = Axes((0, 1), (0, min(1, top * 1.1)), "recall", "precision", percent_x=True, percent_y=True)
    base = evaluation.metric("base_rate").value or 0.0
    drawn = axes.draw(
        axes.line([(0, base), (1, base)], "ref"),
        axes.line(_clipped(_champion(evaluation, "pr"), axes.y[1]), "l2"),
        axes.line(_clipped(_points(evaluation.pr), axes.y[1]), "l1"),
        description=f"Precision-recall curve, area {evaluation.metric('pr_auc').text()}",
    )
    caption = (
        f"PR-AUC {evaluation.metric('pr_auc').text()}. Dashed: the base rate, which flagging at random gives."
    )
    return figure("How many of the flagged are positive", drawn, caption, key=_key(evaluation))


def _after_noise(curve: Curve) -> Sequence[float]:
    """Precision without the first few rows, where it jumps between 0 and 1."""
    return curve.y[5:]


def _clipped(points: Sequence[tuple[float, float]], top: float) -> list[tuple[float, float]]:
    return [(x, min(y, top)) for x, y in points]


def _points(curve: Curve) -> list[tuple[float, float]]:
    return list(zip(curve.x, curve.y, strict=True))


def _champion(evaluation: Evaluation, which: str) -> list[tuple[float, float]]:
    comparison = evaluation.comparison
    return _points(getattr(comparison, which)) if comparison else []


def _key(evaluation: Evaluation) -> Sequence[str]:
    return ("this model", "champion") if evaluation.comparison else ()


def reliability_figure(evaluation: Evaluation) -> str:
    """What was promised against what happened."""
    rows = evaluation.reliability
    right = 1.1 * max([0.01, *(row.mean_score for row in rows)])
    top = max([right, *(row.high for row in rows)])
    axes = Axes((0, right), (0, top), "mean score", "observed rate", percent_x=True, percent_y=True)
    drawn = axes.draw(
        axes.line([(0, 0), (right, right)], "ref"),
        axes.line([(row.mean_score, row.observed) for row in rows], "l1"),
        axes.whiskers([(r.mean_score, r.observed, r.low, r.high) for r in rows], 1),
        description=f"Reliability diagram, calibration error {evaluation.metric('ece').text()}",
    )
    caption = (
        f"Calibration error {evaluation.metric('ece').text(4)}. On the dashed line promises are kept; "
        "above it the model promises too little. Bins of equal size."
    )
    return figure("Does a probability mean what it says", drawn, caption)


def histogram_figure(evaluation: Evaluation) -> str:
    """Scores of positives and negatives."""
    found = evaluation.histogram
    negatives = [count / max(sum(found.negatives), 1) for count in found.negatives]
    positives = [count / max(sum(found.positives), 1) for count in found.positives]
    axes = Axes(
        (0, found.edges[-1]),
        (0, max([*negatives, *positives, 0.01]) * 1.08),
        "score",
        "share of its class",
        percent_x=True,
        percent_y=True,
    )
    drawn = axes.draw(
        axes.bars(found.edges, negatives, 1),
        axes.bars(found.edges, positives, 2),
        axes.rule(evaluation.threshold, "threshold"),
        description="Histogram of the scores of positives and of negatives",
    )
    caption = f"A row is flagged from {evaluation.threshold:.2%} on."
    return figure("Scores of either class", drawn, caption, key=("negatives", "positives"))


def ranking_over_time_figure(evaluation: Evaluation) -> str:
    """ROC-AUC by period."""
    groups = evaluation.over_time
    entries = [
        (float(i), *found) for i, group in enumerate(groups) if (found := _interval(group.metric("roc_auc")))
    ]
    if not entries:
        return ""
    low, high = min(e[2] for e in entries), max(e[3] for e in entries)
    axes = Axes((-0.5, len(groups) - 0.5), (max(0, low - 0.03), min(1, high + 0.03)), "", "ROC-AUC")
    whole = evaluation.metric("roc_auc").value
    drawn = axes.draw(
        axes.line([(-0.5, whole), (len(groups) - 0.5, whole)] if whole is not None else [], "ref"),
        axes.whiskers(entries, 1),
        description="ROC-AUC by period with intervals",
        x_names=[group.name for group in groups],
    )
    return figure(
        "Does it keep its order over time",
        drawn,
        "Dashed: all rows. Periods too small to judge are left out.",
    )


def rate_over_time_figure(evaluation: Evaluation) -> str:
    """Base rate and mean score by period."""
    groups = evaluation.over_time
    base, mean = _series(groups, "base_rate"), _series(groups, "mean_score")
    if not base:
        return ""
    axes = Axes(
        (-0.5, len(groups) - 0.5),
        (0, max(y for _, y in [*base, *mean]) * 1.1 or 1),
        "",
        "share",
        percent_y=True,
    )
    drawn = axes.draw(
        axes.line(mean, "l1"),
        axes.line(base, "l2"),
        description="Mean score and base rate by period",
        x_names=[group.name for group in groups],
    )
    caption = "When the lines part, the world has moved away from what the model learnt."
    return figure("What was promised, what happened", drawn, caption, key=("mean score", "observed rate"))


def _series(groups: Sequence[Group], metric: str) -> list[tuple[float, float]]:
    values = [(float(i), group.metric(metric).value) for i, group in enumerate(groups)]
    return [(x, value) for x, value in values if value is not None]


def _interval(found: Estimate) -> tuple[float, float, float] | None:
    if found.value is None or found.low is None or found.high is None:
        return None
    return found.value, found.low, found.high


def slice_figure(report: SliceReport, evaluation: Evaluation) -> str:
    """ROC-AUC of the largest groups of one slice."""
    entries = [
        (group.name, *found)
        for group in report.judged[:_MOST_GROUPS]
        if (found := _interval(group.metric("roc_auc")))
    ]
    whole = evaluation.metric("roc_auc").value
    if not entries or whole is None:
        return ""
    drawn = forest(entries, whole, f"ROC-AUC by {report.name} with intervals")
    caption = f"ROC-AUC of {len(entries)} of {len(report.groups)} groups. Dashed: all rows together."
    return figure(f"By {report.name}", drawn, caption)
