"""Leak probe: how well does one column alone predict the label, whatever the shape of the relation?

A column that knows the future usually says more by itself than an honest model with all inputs; and often
it is no monotone relation (a loan's term that was rewritten when it ended), which a plain rank correlation
does not see. So each column is binned, each bin scored by its label rate in the other half of the rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.contract import Outcome, Reason
from modelway.stats.ranking import roc_auc

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Bins = npt.NDArray[np.int64]

BINS = 64
PRIOR_ROWS = 20.0
"""A bin's rate is pulled towards the base rate as if so many more rows had been seen."""
SUSPICIOUS_ROC_AUC = 0.9
"""No single column known in advance says that much about a decision worth a model."""
DOMINANT_ROC_AUC, DOMINANCE = 0.8, 1.5
"""Nor does an honest one stand so far above the runner-up, counted from chance."""
MIN_OF_EACH_CLASS = 30
"""With fewer rows of either class an AUC says nothing."""


@dataclass(frozen=True, slots=True)
class ColumnPower:
    """What one column alone can do."""

    column: str
    roc_auc: float
    rows: int


def column_powers(frame: pl.DataFrame, columns: Sequence[str], label: str) -> tuple[ColumnPower, ...]:
    """Cross-fitted ROC-AUC of each column alone, the strongest first.

    Args:
        frame: Labelled rows; null labels are left out.
        columns: Columns of any type; a missing value is a bin of its own.
        label: Column of 0 and 1.

    Returns:
        One entry per column; none when either class has fewer than `MIN_OF_EACH_CLASS` rows.
    """
    rows = frame.drop_nulls(label)
    truth = rows[label].cast(pl.Int8).to_numpy()
    positives = int(truth.sum())
    if min(positives, len(truth) - positives) < MIN_OF_EACH_CLASS:
        return ()
    found = [ColumnPower(c, float(roc_auc(truth, _scores(rows[c], truth))), len(truth)) for c in columns]
    return tuple(sorted(found, key=lambda power: -power.roc_auc))


def suspicious(powers: Sequence[ColumnPower]) -> tuple[ColumnPower, ...]:
    """The columns that are too good to be known in advance.

    Args:
        powers: As `column_powers` gives them, the strongest first.
    """
    strong = [power for power in powers if power.roc_auc >= SUSPICIOUS_ROC_AUC]
    if not strong and len(powers) > 1 and _dominates(powers[0], powers[1]):
        strong = [powers[0]]
    return tuple(strong)


def _dominates(first: ColumnPower, second: ColumnPower) -> bool:
    above_chance = max(second.roc_auc - 0.5, 0.0)
    return first.roc_auc >= DOMINANT_ROC_AUC and first.roc_auc - 0.5 >= DOMINANCE * above_chance


def leak_reasons(
    powers: Sequence[ColumnPower], *, forbidden: Collection[str], explained: Mapping[str, str]
) -> list[Reason]:
    """What to say about each suspicious column, and one line on the rest.

    A suspicious column that the contract forbids, or explains with `strong_because`, passes. No powers at
    all (too few rows of either class) is inconclusive: nobody looked.
    """
    if not powers:
        message = f"fewer than {MIN_OF_EACH_CLASS} rows of either class: a leak cannot be told from chance"
        return [Reason(metric="leak probe", outcome=Outcome.INCONCLUSIVE, message=message)]
    found = suspicious(powers)
    rest = [power for power in powers if power not in found]
    strongest = f"; the strongest is {rest[0].column} with {rest[0].roc_auc:.2f}" if rest else ""
    unremarkable = Reason(
        metric="leak probe",
        outcome=Outcome.PASS,
        message=f"{len(rest)} columns are unsuspicious{strongest}",
        samples=powers[0].rows,
    )
    return [*(_judged(power, forbidden, explained.get(power.column, "")) for power in found), unremarkable]


def _judged(power: ColumnPower, forbidden: Collection[str], why: str) -> Reason:
    shown = f"{power.column} alone reaches ROC-AUC {power.roc_auc:.2f}"
    if power.column in forbidden:
        outcome, message = Outcome.PASS, f"{shown}: a leak, and rightly forbidden"
    elif why:
        outcome, message = Outcome.PASS, f"{shown}; the contract says why: {why}"
    else:
        outcome = Outcome.FAIL
        message = f"{shown}: known only afterwards? Forbid it, or explain it with Column.strong_because"
    return Reason(
        metric=f"leak probe: {power.column}",
        outcome=outcome,
        message=message,
        found=power.roc_auc,
        limit=SUSPICIOUS_ROC_AUC,
        samples=power.rows,
    )


def _scores(column: pl.Series, truth: Labels) -> Floats:
    """For each row the label rate of its bin in the other half (even rows learn from odd ones)."""
    bins = _bins(column)
    half = np.arange(len(truth)) % 2
    scores = np.empty(len(truth))
    for this in (0, 1):
        there = half != this
        rates = _rates(bins[there], truth[there], int(bins.max()) + 1)
        scores[half == this] = rates[bins[half == this]]
    return scores


def _rates(bins: Bins, truth: Labels, count: int) -> Floats:
    positives = np.bincount(bins, weights=truth, minlength=count)
    rows = np.bincount(bins, minlength=count)
    return np.asarray((positives + PRIOR_ROWS * truth.mean()) / (rows + PRIOR_ROWS))


def _bins(column: pl.Series) -> Bins:
    """Bin numbers from 0: equal values share a bin, numbers with many values fall into quantiles."""
    if column.dtype.is_numeric() and column.n_unique() > BINS:
        return _quantile_bins(column.cast(pl.Float64).to_numpy())
    return column.cast(pl.String).fill_null("\0").rank("dense").to_numpy().astype(np.int64) - 1


def _quantile_bins(values: Floats) -> Bins:
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isfinite(values), np.searchsorted(edges, values, side="left") + 1, 0)
