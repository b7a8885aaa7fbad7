"""The sections of a report that look at the model itself: inputs, errors, robustness, strange rows."""

from collections.abc import Iterator
from html import escape

from modelway.evaluation import closer_figures
from modelway.evaluation.findings import (
    Attack,
    Disturbance,
    ErrorGroup,
    ErrorReport,
    Explanation,
    HardRow,
    Robustness,
    Unfamiliarity,
)
from modelway.evaluation.page import figure_row, more, section, table
from modelway.evaluation.record import Evaluation

_SHOWN = 12
"""Inputs in the table beside the figure."""
_NONE = "–"  # noqa: RUF001 - a dash for people


def closer_sections(evaluation: Evaluation) -> Iterator[str]:
    """Each part that was looked at."""
    if evaluation.explanation:
        yield _explanation(evaluation.explanation)
    if evaluation.errors:
        yield _errors(evaluation.errors)
    if evaluation.robustness:
        yield _robustness(evaluation.robustness)
    if evaluation.unfamiliarity:
        yield _strangers(evaluation.unfamiliarity)


def _explanation(found: Explanation) -> str:
    rows = [
        (
            escape(each.feature),
            _points(each.mean_absolute.value),
            f"{each.rank_low} to {each.rank_high}" if each.rank_low != each.rank_high else str(each.rank_low),
        )
        for each in found.importance
    ]
    lead = (
        f"Shapley values of the served graph: the mean answer to {found.references} training rows is "
        f"{found.base:.2%}, and each input moves an answer away from it."
    )
    if found.stability is not None:
        lead += (
            f" Two halves of the rows agree on the inputs' order by a mean rank correlation of "
            f"{found.stability:.2f}: 1 is one order, 0 is chance."
        )
    head, numbers = ("input", "moves by, points", "place, 95 %"), frozenset({1, 2})
    first, rest = table(head, rows[:_SHOWN], numbers=numbers), table(head, rows[_SHOWN:], numbers=numbers)
    shown = figure_row(closer_figures.importance_figure(found), first)
    details = more(f"The other {len(rows) - _SHOWN} inputs", rest) if len(rows) > _SHOWN else ""
    return section("Why it answers as it does", lead, shown, details)


def _points(value: float | None) -> str:
    return _NONE if value is None else f"{value * 100:.3f}"


def _errors(found: ErrorReport) -> str:
    return section("Where it is wrong", _error_lead(found), _groups(found.groups), *_hard(found.hard_rows))


def _error_lead(found: ErrorReport) -> str:
    if not found.groups:
        return "Too few rows to look for groups on which the promises are off."
    surely = sum(group.surely_off for group in found.groups)
    said = "none of them is surely off" if not surely else f"{surely} of {len(found.groups)} are surely off"
    return (
        "Groups on which outcomes and promises seemed to differ, found on one half of the rows and measured "
        f"on the other: {said}."
    )


def _groups(groups: tuple[ErrorGroup, ...]) -> str:
    rows = [
        (
            escape(group.words),
            f"{group.rows:,}",
            f"{group.observed:.1%}",
            f"{group.mean_score:.1%}",
            group.gap.text(),
            "surely off" if group.surely_off else "may be chance",
            _NONE if group.cost_share is None else f"{group.cost_share:.0%}",
        )
        for group in groups
    ]
    head = ("rows of which", "rows", "observed", "promised", "difference", "judged", "of all cost")
    return table(head, rows, numbers=frozenset({1, 2, 3, 4, 6})) if rows else ""


def _hard(rows: tuple[HardRow, ...]) -> Iterator[str]:
    for label, name in ((1, "Positives with the lowest scores"), (0, "Negatives with the highest scores")):
        cells = [
            (f"<code>{escape(row.key)}</code>", f"{row.score:.2%}", f"{row.loss:.2f}", _told(row))
            for row in rows
            if row.label == label
        ]
        head = ("row", "score", "log loss", "what moved the answer most, in points")
        if cells:
            yield more(name, table(head, cells, numbers=frozenset({1, 2})))


def _told(row: HardRow) -> str:
    return "<br>".join(
        f"{escape(each.feature)} = {escape(each.value)}: {each.contribution * 100:+.2f} "
        f'<span class="soft">± {each.error * 100:.2f}</span>'
        for each in row.contributions
    )


def _robustness(found: Robustness) -> str:
    aside = _attack(found.attack) if found.attack else ""
    shown = figure_row(closer_figures.robustness_figure(found), aside)
    details = more(f"All {len(found.disturbances)} disturbances", _disturbances(found.disturbances))
    lead = "The served graph on the same rows with something wrong about them, one thing at a time."
    return section("When inputs are wrong", lead, shown, details)


def _disturbances(found: tuple[Disturbance, ...]) -> str:
    rows = [
        (
            escape(each.kind),
            escape(each.what),
            each.roc_auc.text(),
            each.roc_auc_change.text(),
            f"{each.flip_rate:.2%}",
            _points(each.mean_shift),
            _NONE if each.rank_correlation is None else f"{each.rank_correlation:.3f}",
            f"{each.invalid_scores:,}",
        )
        for each in found
    ]
    head = (
        "kind",
        "what is wrong",
        "ROC-AUC",
        "change",
        "decisions turned",
        "mean move, points",
        "rank correlation",
        "no probability",
    )
    return table(head, rows, numbers=frozenset(range(2, 8)))


def _attack(found: Attack) -> str:
    rows = [
        (str(i), f"{share:.0%}", _points(move))
        for i, (share, move) in enumerate(zip(found.flipped, found.mean_move, strict=True), start=1)
    ]
    moved = ", ".join(f"{escape(name)} ({times})" for name, times in list(found.moved.items())[:5])
    which = f"Inputs that turned a decision: {moved}." if moved else "No decision was turned."
    head = ("inputs changed, at most", "decisions turned", "mean move, points")
    return (
        "<div><h3>Wrong on purpose</h3>"
        f"<p>{found.rows} rows, each changed input by input towards the other decision. A number may "
        f"move past {found.reach:.0%} of the rows, a category to any value. {which}</p>"
        f"{table(head, rows, numbers=frozenset({0, 1, 2}), wrap=True)}</div>"
    )


def _strangers(found: Unfamiliarity) -> str:
    lead = (
        f"A distance from the newest {found.references:,} rows that taught the model; "
        f"{found.median:.1f} for the median test row. {found.beyond_limit:.1%} of the test rows lie "
        f"beyond {found.limit:.1f}; of these training rows 1 % do."
    )
    rows = [(escape(each.what), f"{each.rows:,}", each.roc_auc.text()) for each in found.shifts]
    listed = table(("rows that come from elsewhere", "rows", "ROC-AUC"), rows, numbers=frozenset({1, 2}))
    shown = figure_row(closer_figures.strangers_figure(found), listed)
    return section("Rows unlike the training rows", lead, shown)
