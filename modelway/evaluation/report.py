"""An evaluation as one page that people want to read."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import isfinite
from typing import Any

from modelway.contract import Outcome, Verdict
from modelway.evaluation import closer_figures, figures
from modelway.evaluation.closer_report import closer_sections
from modelway.evaluation.forgetting_section import forgetting_section
from modelway.evaluation.page import banner, breakable, figure_row, mark, more, page, section, table, tiles
from modelway.evaluation.record import METRICS, Comparison, Evaluation
from modelway.evaluation.search_section import search_section
from modelway.evaluation.slice_section import group_table, percent, slices_section
from modelway.stats.bootstrap import Estimate

_SAID = {
    Outcome.PASS: "It kept every limit.",
    Outcome.FAIL: "It broke a limit, so it must not replace the model in production.",
    Outcome.INCONCLUSIVE: "The rows do not say enough, and that is not a pass.",
}


def render_report(evaluation: Evaluation, verdict: Verdict, *, title: str, lineage: Mapping[str, Any]) -> str:
    """One self-contained HTML page; nothing in it is fetched from anywhere.

    Args:
        evaluation: What was measured.
        verdict: What the gates made of it.
        title: Heading.
        lineage: Where the model comes from: names and JSON-able values.
    """
    parts = (
        f'<p class="soft">{escape(_subject(evaluation))}</p>',
        banner(verdict.outcome, f"{_SAID[verdict.outcome]} {_telling(verdict)}"),
        tiles(_tiles(evaluation)),
        _gates(verdict),
        _worst_rows(verdict.evidence.get("worst_rows", ())),
        _curves(evaluation),
        _comparison(evaluation.comparison, evaluation),
        forgetting_section(verdict.evidence.get("forgetting")),
        _decisions(evaluation),
        _time(evaluation),
        slices_section(evaluation),
        *closer_sections(evaluation),
        search_section(evaluation.search),
        _every_metric(evaluation),
        _lineage(lineage),
        _footer(evaluation),
    )
    return page(title, "\n".join(part for part in parts if part))


def _subject(evaluation: Evaluation) -> str:
    period = f" from {evaluation.first_time} to {evaluation.last_time}" if evaluation.first_time else ""
    opened = evaluation.test_openings
    times = f" Models measured on these rows so far: {opened}." if opened is not None else ""
    return f"{evaluation.rows:,} held-out rows{period}, {evaluation.positives:,} of them positive.{times}"


def _telling(verdict: Verdict) -> str:
    if verdict.passed:
        return ""
    said = "; ".join(r.message for r in verdict.reasons if r.outcome is verdict.outcome)
    return f"{said[:1].upper()}{said[1:]}."


def _tiles(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    ece = evaluation.metric("ece")
    for name in ("roc_auc", "pr_auc"):
        found = evaluation.metric(name)
        yield METRICS[name].label, _value(found), _range(found)
    yield "Over chance", _value(evaluation.metric("pr_auc_lift"), 2, " x"), "PR-AUC over the base rate"
    yield METRICS["ece"].label, _value(ece), _range(ece)
    yield METRICS["recall"].label, percent(evaluation.metric("recall").value), "of the positives flagged"
    none_flagged, currency = evaluation.cost_per_row_if_none_flagged, evaluation.costs.currency
    note = f"{currency} a row; {none_flagged:,.2f} if none were flagged" if none_flagged is not None else ""
    yield METRICS["cost_per_row"].label, _value(evaluation.metric("cost_per_row"), 2), note


def _value(found: Estimate, digits: int = 3, unit: str = "") -> str:
    return "–" if found.value is None else f"{found.value:,.{digits}f}{unit}"  # noqa: RUF001 - a dash for people


def _range(found: Estimate) -> str:
    return "undefined" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"


def _gates(verdict: Verdict) -> str:
    rows = [
        (
            mark(r.outcome),
            breakable(r.metric),
            escape(r.message),
            "" if r.limit is None else f"{r.limit:g}",
        )
        for r in verdict.reasons
    ]
    lead = "Each limit, and what was found. Inconclusive counts as not passed."
    return section(
        "Gates", lead, table(("verdict", "limit on", "found", "limit"), rows, numbers=frozenset({3}))
    )


def _worst_rows(found: Sequence[Mapping[str, Any]]) -> str:
    """Where the exported graph and the trained model differ most: a refusal must show its rows."""
    rows = [
        (
            escape(str(each["change"])),
            *(_answer(each[name]) for name in ("native", "graph", "difference")),
            escape(", ".join(f"{name}={value}" for name, value in each["row"].items())),
        )
        for each in found
    ]
    if not rows:
        return ""
    lead = "The rows on which the exported graph differs most from the trained model."
    head = ("what was changed", "trained model", "graph", "difference", "row")
    return section("Worst rows of the export", lead, table(head, rows, numbers=frozenset({1, 2, 3})))


def _answer(value: float | None) -> str:
    return "no number" if value is None or not isfinite(value) else f"{value:.6g}"


def _curves(evaluation: Evaluation) -> str:
    if not evaluation.roc.x:
        return ""
    drawn = (
        figures.roc_figure(evaluation),
        figures.pr_figure(evaluation),
        figures.reliability_figure(evaluation),
        figures.histogram_figure(evaluation),
    )
    return section("Ranking and calibration", "", f'<div class="grid">{"".join(drawn)}</div>')


def _comparison(comparison: Comparison | None, evaluation: Evaluation) -> str:
    if comparison is None:
        return section("Against the champion", "There is no champion yet: this is the first model.")
    if not comparison.difference:
        return section("Against the champion", "The two cannot be compared on these rows.")
    rows = [
        (
            METRICS[name].label,
            evaluation.metric(name).text(),
            comparison.champion[name].text(),
            _signed(difference),
            _better(difference, METRICS[name].better),
        )
        for name, difference in comparison.difference.items()
    ]
    head = ("metric", "this model", "champion", "difference", "which is better")
    lead = "On the very same rows. The difference is resampled in pairs, so it is surer than the intervals."
    return section("Against the champion", lead, table(head, rows, numbers=frozenset({1, 2, 3})))


def _signed(difference: Estimate) -> str:
    if difference.value is None or difference.low is None or difference.high is None:
        return "undefined"
    return f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"


def _better(difference: Estimate, direction: str) -> str:
    if difference.low is None or difference.high is None:
        return "unknown"
    if difference.low <= 0 <= difference.high:
        return "cannot be told apart"
    return "this model" if (difference.low > 0) == (direction == "higher") else "the champion"


def _decisions(evaluation: Evaluation) -> str:
    confusion, costs = evaluation.confusion, evaluation.costs
    if confusion is None:
        return ""
    rows = [
        ("positive", f"{confusion.true_positives:,}", f"{confusion.false_negatives:,}"),
        ("negative", f"{confusion.false_positives:,}", f"{confusion.true_negatives:,}"),
    ]
    lead = (
        f"Flagged from a probability of {evaluation.threshold:.2%} on. A false alarm costs "
        f"{costs.false_positive:,.0f} {costs.currency}, a miss {costs.false_negative:,.0f} {costs.currency}."
    )
    head = ("in truth", "flagged", "not flagged")
    counted = table(head, rows, numbers=frozenset({1, 2}))
    return section("Decisions at the threshold", lead, counted, _other_thresholds(evaluation))


def _other_thresholds(evaluation: Evaluation) -> str:
    found = evaluation.thresholds
    if found is None:
        return ""
    drawn = closer_figures.trade_figure(found), closer_figures.cost_figure(found, evaluation.costs.currency)
    rows = [
        (
            f"{point.threshold:.2%}",
            percent(point.selection_rate),
            percent(point.recall),
            percent(point.precision),
            point.cost_per_row.text(2),
        )
        for point in found.points
    ]
    head = ("threshold", "flagged", "recall", "precision", f"{evaluation.costs.currency} a row")
    listed = more(f"All {len(rows)} thresholds", table(head, rows, numbers=frozenset(range(5))))
    return figure_row(*drawn) + listed


def _time(evaluation: Evaluation) -> str:
    drawn = figures.ranking_over_time_figure(evaluation) + figures.rate_over_time_figure(evaluation)
    if not drawn:
        return ""
    details = more(f"All {len(evaluation.over_time)} periods", group_table("period", evaluation.over_time))
    return section("Over time", "", f'<div class="grid">{drawn}</div>', details)


def _every_metric(evaluation: Evaluation) -> str:
    rows = [
        (
            escape(info.label),
            evaluation.metric(name).text(2 if name == "cost_per_row" else 4),
            escape(f"{info.meaning}{_direction(info.better)}"),
        )
        for name, info in METRICS.items()
    ]
    return section("Every metric", "", table(("metric", "found", "meaning"), rows, numbers=frozenset({1})))


def _direction(better: str) -> str:
    return f" ({better} is better)" if better else ""


def _lineage(lineage: Mapping[str, Any]) -> str:
    rows = [
        (escape(name.replace("_", " ")), f"<code>{escape(_plain(value))}</code>")
        for name, value in lineage.items()
    ]
    return section("Where it comes from", "", table(("what", "which"), rows)) if rows else ""


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or "none"
    return str(value)


def _footer(evaluation: Evaluation) -> str:
    sampling = evaluation.sampling
    return (
        f"<footer>Intervals: {sampling.level:.0%} bootstrap, {sampling.resamples} resamples of the rows, "
        f"seed {sampling.seed}. They show the chance in which rows were drawn, not what changes later."
        "</footer>"
    )
