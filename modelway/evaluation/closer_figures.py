"""The figures of the closer look: other thresholds, what moves answers, wrong inputs, strange rows."""

from modelway.evaluation.findings import Disturbance, Explanation, Robustness, ThresholdReport, Unfamiliarity
from modelway.evaluation.page import figure
from modelway.evaluation.plots import Axes, forest
from modelway.stats.bootstrap import Estimate

_MOST = 12
_NAME_WIDTH = 228
"""For thirty-two letters."""
_WORST_OF_A_KIND = 5
_FEWEST_POINTS = 5
"""Of a line that is worth a figure."""


def trade_figure(report: ThresholdReport) -> str:
    """Recall and precision against the share flagged."""
    axes = Axes((0, 1), (0, 1), "rows flagged", "share", percent_x=True, percent_y=True)
    recall = [(p.selection_rate, p.recall) for p in report.points if p.recall is not None]
    precision = [(p.selection_rate, p.precision) for p in report.points if p.precision is not None]
    drawn = axes.draw(
        axes.line([(0, 0), (1, 1)], "ref"),
        axes.line(recall, "l1"),
        axes.line(precision, "l2"),
        axes.rule(report.in_use.selection_rate, "in use"),
        description="Recall and precision by the share of rows flagged",
    )
    caption = "Dashed: the recall of flagging at random."
    return figure("What flagging more would catch", drawn, caption, key=("recall", "precision"))


def cost_figure(report: ThresholdReport, currency: str) -> str:
    """Cost a row against the share flagged."""
    known = _worth_showing(report)
    top = max([high for *_, high in known], default=0.0) * 1.05 or 1.0
    right = max([x for x, *_ in known], default=1.0) or 1.0
    axes = Axes((0, right), (0, top), "rows flagged", f"{currency} a row", percent_x=True)
    drawn = axes.draw(
        axes.band([(x, low, high) for x, _, low, high in known]),
        axes.line([(x, value) for x, value, _, _ in known], "l1"),
        axes.rule(report.in_use.selection_rate, "in use"),
        description="Cost per row by the share of rows flagged, with its interval",
    )
    cheapest = report.cheapest
    caption = (
        f"Cheapest on these rows, with hindsight: from {cheapest.threshold:.2%} on, "
        f"{cheapest.selection_rate:.1%} flagged. It would have saved {report.saving.text(2)} {currency} "
        "a row."
    )
    return figure("What flagging more would cost", drawn, caption)


def _worth_showing(report: ThresholdReport) -> list[tuple[float, float, float, float]]:
    """Share flagged, cost, low, high; without thresholds that cost over twice the one in use."""
    points = [(p.selection_rate, p.cost_per_row) for p in report.points]
    known = [(x, *bounds) for x, cost in points if (bounds := _bounds(cost))]
    most = 2 * (report.in_use.cost_per_row.value or 0.0)
    near = [point for point in known if point[1] <= most]
    return near if len(near) >= _FEWEST_POINTS else known


def _bounds(found: Estimate) -> tuple[float, float, float] | None:
    if found.value is None or found.low is None or found.high is None:
        return None
    return found.value, found.low, found.high


def importance_figure(found: Explanation) -> str:
    """Mean |contribution| of the most important inputs."""
    entries = [
        (each.feature, *bounds)
        for each in found.importance[:_MOST]
        if (bounds := _bounds(each.mean_absolute))
    ]
    if not entries:
        return ""
    drawn = forest(
        entries, 0.0, "Mean contribution of each input with intervals", left=_NAME_WIDTH, percent=True
    )
    caption = (
        f"Mean size of an input's Shapley value, in points of probability, over {found.rows:,} test rows. "
        f"{len(entries)} of {len(found.importance)} inputs. Dashed: none."
    )
    return figure("What moves the answers", drawn, caption)


def robustness_figure(found: Robustness) -> str:
    """Change of ROC-AUC under the worst disturbances of each kind."""
    entries = [
        (each.what, *bounds)
        for each in worst_first(found.disturbances)
        if (bounds := _bounds(each.roc_auc_change))
    ]
    if not entries:
        return ""
    drawn = forest(entries, 0.0, "Change of ROC-AUC when inputs are wrong", left=_NAME_WIDTH)
    caption = f"Change of ROC-AUC on {found.rows:,} test rows, the worst of each kind. Dashed: none."
    return figure("What wrong inputs cost", drawn, caption)


def worst_first(found: tuple[Disturbance, ...]) -> list[Disturbance]:
    """The worst few of each kind, kinds in the order they were tried."""
    kinds = dict.fromkeys(each.kind for each in found)
    return [
        each
        for kind in kinds
        for each in sorted((d for d in found if d.kind == kind), key=_change)[:_WORST_OF_A_KIND]
    ]


def _change(disturbance: Disturbance) -> float:
    value = disturbance.roc_auc_change.value
    return float("-inf") if value is None else value


def strangers_figure(found: Unfamiliarity) -> str:
    """How well strange rows are told from the test rows."""
    entries = [(each.what, *bounds) for each in found.shifts if (bounds := _bounds(each.roc_auc))]
    if not entries:
        return ""
    drawn = forest(entries, 0.5, "ROC-AUC of the strangeness score by shift", left=_NAME_WIDTH)
    return figure("Would it be noticed", drawn, "ROC-AUC of the score for each kind of row. Dashed: chance.")
