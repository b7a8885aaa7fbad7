"""The model card: what people should know before they rely on a model. Markdown, without a clock."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from modelway.bundle.lineage import Lineage
from modelway.contract import Verdict
from modelway.evaluation.record import METRICS, Evaluation, Group, SliceReport
from modelway.usecase import card_notes

if TYPE_CHECKING:
    from modelway.usecase import UseCase

_RELATIVE = ("champion.", "test_openings")
"""Reasons of these kinds depend on what is in production or was measured before. They belong into the
registry: a card is part of the bundle, and the same training must give the same bytes."""

_BY_GROUP = {
    "base_rate": "base rate",
    "selection_rate": "flagged",
    "recall": "recall",
    "false_positive_rate": "false alarms",
    "roc_auc": "ROC-AUC",
}
"""What a group is described by: metric -> what the column is called."""


def model_card(use_case: "UseCase", lineage: Lineage, evaluation: Evaluation, verdict: Verdict) -> str:
    """The card of one model, the same for the same data, code and seed.

    Args:
        use_case: What the model is for.
        lineage: Where it comes from.
        evaluation: On rows held out in time.
        verdict: The gates', each limit with what was found.
    """
    parts = (
        _title(use_case, lineage),
        _use(use_case, evaluation),
        _data(use_case, lineage, evaluation),
        _performance(evaluation),
        _limits(verdict),
        _fairness(evaluation),
        _caveats(use_case, evaluation),
        _origin(lineage),
    )
    return "\n".join(chain.from_iterable((*part, "") for part in parts)).rstrip() + "\n"


def _title(use_case: "UseCase", lineage: Lineage) -> Iterator[str]:
    yield f"# Model card: {use_case.name}"
    yield ""
    yield f"{use_case.description.rstrip('.')}. Kind `{lineage.kind}`, as of {lineage.as_of:%Y-%m-%d}."


def _use(use_case: "UseCase", evaluation: Evaluation) -> Iterator[str]:
    costs = evaluation.costs
    yield "## Intended use"
    yield ""
    yield f"- Answers, for one `{use_case.contract.key}`, the probability of `{use_case.label.name}`"
    yield f"  ({_label(use_case)}), from what is known at the time of the decision."
    yield f"- A row is flagged from probability {evaluation.threshold:.4f} on. That threshold rests on the"
    yield f"  costs {costs.false_positive:,.0f} {costs.currency} for a false alarm and"
    yield f"  {costs.false_negative:,.0f} {costs.currency} for a miss; other costs need another one."
    notes = card_notes(use_case)
    yield from (f"- {line}" for line in notes.intended_use)
    yield ""
    yield "## Out of scope"
    yield ""
    yield from (f"- {line}" for line in notes.out_of_scope)
    yield "- Decisions without a way to appeal, subjects unlike those it learnt from, or any moment at"
    yield "  which one of the inputs is not yet known."


def _label(use_case: "UseCase") -> str:
    label = use_case.label
    if label.value:
        return f"the value of `{label.value}`"
    return f"`{label.happened_at}` within {label.horizon_months} months of `{label.starts_at}`"


def _data(use_case: "UseCase", lineage: Lineage, evaluation: Evaluation) -> Iterator[str]:
    yield "## Data"
    yield ""
    derived = use_case.features.derived
    rules = f"{len(use_case.contract.columns)} columns, {len(use_case.contract.rules)} rules for rows"
    yield f"- Snapshot `{lineage.snapshot_id}`, contract version {use_case.contract.version}: {rules}."
    if lineage.training_rows is not None:
        known = f"{lineage.as_of:%Y-%m-%d}"
        yield f"- Made from {lineage.training_rows:,} rows whose outcome was known by {known}; it learnt from"
        yield "  all of them but those it is evaluated on."
    period = f" from {evaluation.first_time} to {evaluation.last_time}" if evaluation.first_time else ""
    yield f"- Evaluated on {evaluation.rows:,} later rows{period}, {evaluation.positives:,} of them positive."
    yield f"- Inputs: {', '.join(f'`{name}`' for name in use_case.features.names)}."
    yield from (f"- Computed inside the model: `{d.name}` = `{d.formula}`." for d in derived)
    if use_case.contract.forbidden:
        forbidden = ", ".join(f"`{name}`" for name in use_case.contract.forbidden)
        yield f"- Never used, because only known afterwards: {forbidden}."


def _performance(evaluation: Evaluation) -> Iterator[str]:
    level = evaluation.sampling.level
    yield "## Performance"
    yield ""
    yield f"Intervals at {level:.0%}, from {evaluation.sampling.resamples} resamples of the rows."
    yield ""
    yield from _table(
        ("metric", "found", "meaning"),
        ((info.label, evaluation.metric(name).text(), info.meaning) for name, info in METRICS.items()),
    )


def _limits(verdict: Verdict) -> Iterator[str]:
    yield "## Limits it was held to"
    yield ""
    yield from _table(
        ("limit", "kept", "found"),
        (
            (reason.metric, reason.outcome.value, reason.message)
            for reason in verdict.reasons
            if not reason.metric.startswith(_RELATIVE)
        ),
    )
    yield ""
    yield "Whether it may replace the model in production is no property of the model: the registry's"
    yield "log says so, with the comparison on the same rows."


def _fairness(evaluation: Evaluation) -> Iterator[str]:
    yield "## Fairness"
    yield ""
    if not evaluation.slices:
        yield "No subgroup was named for this use case, so nothing is known about fairness."
        return
    yield f"Groups of fewer than {evaluation.min_slice_rows:,} rows are not judged."
    yield ""
    yield from _table(
        (
            "slice",
            "judged groups",
            "share flagged: largest - smallest",
            "recall: largest - smallest",
            "ROC-AUC",
        ),
        (_fairness_row(report) for report in evaluation.slices),
    )
    yield ""
    yield from _table(
        ("slice", "group", "rows", *_BY_GROUP.values()),
        (_group_row(report.name, group) for report in evaluation.slices for group in report.groups),
    )


def _group_row(slice_name: str, group: Group) -> tuple[str, ...]:
    values = (group.metric(name).value if group.judged else None for name in _BY_GROUP)
    shown = ("not judged" if value is None else f"{value:.3f}" for value in values)
    return (slice_name, group.name, f"{group.rows:,}", *shown)


def _fairness_row(report: SliceReport) -> tuple[str, ...]:
    found = [(group.metric("roc_auc").value, group.name) for group in report.judged]
    areas = sorted((value, name) for value, name in found if value is not None)
    spread = (
        f"{areas[0][0]:.3f} ({areas[0][1]}) to {areas[-1][0]:.3f} ({areas[-1][1]})" if areas else "undefined"
    )
    return (
        report.name,
        f"{len(report.judged)} of {len(report.groups)}",
        report.demographic_parity_difference.text(),
        report.equal_opportunity_difference.text(),
        spread,
    )


def _caveats(use_case: "UseCase", evaluation: Evaluation) -> Iterator[str]:
    yield "## Known limits"
    yield ""
    if use_case.label.horizon_months:
        yield f"- Outcomes take {use_case.label.horizon_months} months to be known. The model has learnt"
        yield "  from a past that is at least that old; when the base rate moves, its probabilities lag."
    base, mean = evaluation.metric("base_rate").value, evaluation.metric("mean_score").value
    if base is not None and mean is not None:
        yield f"- On the held-out rows it promised {mean:.2%} on average, and {base:.2%} happened."
    yield "- Intervals show the chance in which rows were drawn, not what changes after them."
    yield "- Unknown values of a category count as missing."
    yield from (f"- {line}" for line in card_notes(use_case).limits)


def _origin(lineage: Lineage) -> Iterator[str]:
    yield "## Origin"
    yield ""
    yield f"- Code: commit {f'`{lineage.git_commit}`' if lineage.git_commit else 'unknown (no checkout)'}"
    if lineage.lock_sha256:
        yield f"- Environment: requirements.lock sha256 `{lineage.lock_sha256}`"
    yield f"- Seed: {lineage.seed}"
    for name, value in sorted(lineage.params.items()):
        yield f"- `{name}`: {value}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    escaped = r"\|"  # a bar would end the cell
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', escaped) for cell in row)} |"
