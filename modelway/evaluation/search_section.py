"""The section of a report on the search: who stood in it at the end, what each costs, why one was chosen."""

import math
from collections.abc import Sequence
from html import escape

from modelway.evaluation.findings import Search
from modelway.evaluation.page import figure, figure_row, section, table
from modelway.evaluation.plots import Axes
from modelway.training.artifacts import Finalist

_PAD = 0.06


def search_section(found: Search | None) -> str:
    """Every finalist from each side; nothing for records from before finalists were kept."""
    if found is None or not found.finalists:
        return ""
    lead = (
        f"{found.trials} trials, {len(found.finalists)} of them looked at from every side. {found.reason}. "
        "Decided by counts, never by a clock; latency and fit time are for people."
    )
    rows = [_row(each, found.finalists) for each in found.finalists]
    head = (
        "candidate",
        "",
        "PR-AUC, validation rows",
        "operations a row",
        "graph, kB",
        "rows visited in learning",
        "latency, µs a row",
        "fit, s",
    )
    listed = table(head, rows, numbers=frozenset(range(2, 8)), wrap=True)
    return section(
        "Which candidates competed", lead, figure_row(_figure(found.finalists)), listed, _calibrated(found)
    )


def _row(one: Finalist, among: Sequence[Finalist]) -> tuple[str, ...]:
    name = escape(_name(one))
    return (
        f"<b>{name}</b>" if one.chosen else name,
        escape(_standing(one, among)),
        f"{one.pr_auc:.4f}",
        f"{one.operations:,}",
        f"{one.bytes / 1000:,.1f}",
        f"{one.row_visits:,}",
        f"{one.latency_us:,.1f} [{one.latency_low_us:,.1f}, {one.latency_high_us:,.1f}]",
        f"{one.fit_seconds:,.2f}",
    )


def _name(one: Finalist) -> str:
    return f"{one.kind} trial {one.number}"


def _standing(one: Finalist, among: Sequence[Finalist]) -> str:
    """Chosen or not; and whether another is as good on every count and better on one."""
    better = next((_name(other) for other in among if _beats(other, one)), None)
    place = f"beaten by {better}" if better else "nothing beats it"
    return f"chosen; {place}" if one.chosen else place


def _beats(other: Finalist, one: Finalist) -> bool:
    pairs = list(zip(_counts(other), _counts(one), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _counts(one: Finalist) -> tuple[float, ...]:
    """Lower is better on each."""
    return (-one.pr_auc, one.operations, one.bytes, one.row_visits)


def _figure(finalists: Sequence[Finalist]) -> str:
    """Quality over work; one candidate alone makes no figure."""
    if len(finalists) == 1:
        return ""
    points = [(math.log10(max(each.operations, 1)), each.pr_auc, each) for each in finalists]
    chosen = next((x for x, _, each in points if each.chosen), None)
    front = [(x, y, y, y) for x, y, each in points if each.on_front]
    beaten = [(x, y, y, y) for x, y, each in points if not each.on_front]
    spans = _spans([(x, y) for x, y, _ in points])
    axes = Axes(*spans, "operations a row, as a power of ten", "")
    drawn = axes.draw(
        axes.whiskers(beaten, 2),
        axes.whiskers(front, 1),
        "" if chosen is None else axes.rule(chosen, "chosen"),
        description="PR-AUC of each finalist over its operations for one row",
    )
    caption = "Up is better, left is cheaper. Size and learning cost count as well: see the table."
    return figure(
        "PR-AUC on the validation rows, over work",
        drawn,
        caption,
        key=("nothing beats it", "another is better on all counts"),
    )


def _spans(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    def span(values: Sequence[float], least: float) -> tuple[float, float]:
        pad = max((max(values) - min(values)) * _PAD, least)
        return min(values) - pad, max(values) + pad

    return span([x for x, _ in points], 0.1), span([y for _, y in points], 0.002)


def _calibrated(found: Search) -> str:
    return f"<p>Calibration: {escape(found.calibrator_reason)}.</p>" if found.calibrator_reason else ""
