"""The section of a report on subgroups: figures, fairness, and every group in numbers."""

from html import escape

from modelway.evaluation import figures
from modelway.evaluation.page import more, section, table
from modelway.evaluation.record import Evaluation, Group


def percent(share: float | None) -> str:
    """A share for people; a dash where there is none."""
    return "–" if share is None else f"{share:.1%}"  # noqa: RUF001 - a dash for people


def slices_section(evaluation: Evaluation) -> str:
    """Every slice that the use case watches."""
    if not evaluation.slices:
        return section("Subgroups", "No subgroup was named, so nothing is known about fairness.")
    drawn = "".join(figures.slice_figure(report, evaluation) for report in evaluation.slices)
    lead = (
        f"Groups of fewer than {evaluation.min_slice_rows:,} rows, or with too few of either outcome, are "
        "listed but not judged."
    )
    details = (
        more(
            f"{report.name}: all {len(report.groups)} groups",
            group_table(report.name, report.groups) + _confusions(report.name, report.groups),
        )
        for report in evaluation.slices
    )
    return section("Subgroups", lead, f'<div class="grid">{drawn}</div>', _fairness(evaluation), *details)


def _fairness(evaluation: Evaluation) -> str:
    rows = [
        (
            escape(report.name),
            f"{len(report.judged)} of {len(report.groups)}",
            report.demographic_parity_difference.text(),
            report.demographic_parity_ratio.text(),
            report.equal_opportunity_difference.text(),
            report.equalized_odds_difference.text(),
            report.equalized_odds_ratio.text(),
        )
        for report in evaluation.slices
    ]
    head = (
        "slice",
        "groups judged",
        "share flagged, largest - smallest (demographic parity)",
        "smallest / largest",
        "recall, largest - smallest (equal opportunity)",
        "recall or false alarms, the worse difference (equalised odds)",
        "the worse ratio",
    )
    return table(head, rows, numbers=frozenset(range(2, 7)), wrap=True)


def _confusions(name: str, groups: tuple[Group, ...]) -> str:
    rows = [
        (
            escape(group.name),
            f"{found.true_positives:,}",
            f"{found.false_negatives:,}",
            f"{found.false_positives:,}",
            f"{found.true_negatives:,}",
            group.metric("recall").text(),
            group.metric("false_positive_rate").text(),
        )
        for group in groups
        if (found := group.confusion)
    ]
    head = (name, "caught", "missed", "false alarms", "rightly left", "recall", "false-positive rate")
    return table(head, rows, numbers=frozenset(range(1, 7))) if rows else ""


def group_table(name: str, groups: tuple[Group, ...]) -> str:
    """The metrics of groups or periods, one a row."""
    rows = [
        (
            escape(group.name),
            f"{group.rows:,}",
            f"{group.positives:,}",
            group.metric("roc_auc").text(),
            group.metric("pr_auc").text(),
            percent(group.metric("base_rate").value),
            percent(group.metric("mean_score").value),
            percent(group.metric("selection_rate").value),
            percent(group.metric("recall").value),
        )
        for group in groups
    ]
    head = (name, "rows", "positives", "ROC-AUC", "PR-AUC", "observed", "mean score", "flagged", "recall")
    return table(head, rows, numbers=frozenset(range(1, 9)))
