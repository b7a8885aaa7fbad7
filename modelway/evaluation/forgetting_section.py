"""The section of a report on a refit from old and new rows: what the model before knew, and this one not."""

from collections.abc import Mapping
from typing import Any

from modelway.evaluation.page import section, table
from modelway.stats.bootstrap import Estimate


def forgetting_section(found: Mapping[str, Any] | None) -> str:
    """The challenger beside the champion on the champion's own test rows; nothing where none were replayed.

    Args:
        found: `forgetting` in the evidence of the verdict, from `modelway.training.forgetting`.
    """
    if found is None:
        return ""
    lead = (
        "ROC-AUC on test rows of the champion that neither model has learnt from: the whole is held against "
        "the limit, its parts of time are shown."
    )
    rows = [
        _row("all", found),
        *(_row(f"{part['from']} to {part['to']}", part) for part in found.get("slices", ())),
    ]
    head = ("period", "difference", "rows", "positives", "this model", "champion")
    return section("What it has forgotten", lead, table(head, rows, numbers=frozenset(range(1, 6))))


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    counts = f"{found['rows']:,}", f"{found['positives']:,}"
    difference, *each = (_estimate(found.get(side)) for side in ("difference", "challenger", "champion"))
    return (name, difference, *counts, *each)


def _estimate(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else Estimate.model_validate(found).text(3)
