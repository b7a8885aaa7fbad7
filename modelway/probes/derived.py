"""Two columns that say little alone may tell the label together: the leak probe for derived features."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from modelway.contract import Outcome, Reason
from modelway.data.leaks import ColumnPower, column_powers, suspicious
from modelway.features.definitions import FeatureSet
from modelway.features.derived import derived_frame


def derived_reasons(
    features: FeatureSet, rows: pl.DataFrame, powers: Sequence[ColumnPower], explained: Mapping[str, str]
) -> Iterator[Reason]:
    """Hold each derived feature against the strongest feature that it could be made of.

    They are not among the columns that `leak_reasons` compares: a ratio made with a leak would be that
    leak's runner-up, and hide that nothing else comes near it.

    Args:
        features: The use case's; without derived features there is nothing to say.
        rows: Labelled rows with every feature.
        powers: Of the features themselves, the strongest first.
        explained: Why a feature may be strong, by name; what is made of it may be so too.

    Yields:
        FAIL for each that is too good to be known in advance, else one PASS for all. INCONCLUSIVE where
        either class has too few rows.
    """
    if not features.derived:
        return
    made = derived_frame(rows, features).with_columns(rows["label"])
    found = column_powers(made, made.columns[:-1], "label")
    if not found or not powers:
        yield _reason(Outcome.INCONCLUSIVE, "too few rows of either class to look for leaks", rows.height)
        return
    why = {each.name: [w for name in each.of if (w := explained.get(name))] for each in features.derived}
    strong = [p for p in found if p in _too_strong(p, powers[0]) and not why[p.column]]
    formulas = {each.name: each.formula for each in features.derived}
    for power in strong:
        text = f"{power.column} ({formulas[power.column]}) alone reaches ROC-AUC {power.roc_auc:.3f}"
        yield _reason(Outcome.FAIL, f"{text}: are both known at the decision?", power.rows)
    if not strong:
        best = f"the strongest, {found[0].column}, reaches ROC-AUC {found[0].roc_auc:.3f} alone"
        yield _reason(Outcome.PASS, f"{len(found)} derived features looked at; {best}", found[0].rows)


def _too_strong(derived: ColumnPower, strongest: ColumnPower) -> tuple[ColumnPower, ...]:
    """Weaker than a feature as it stands, it adds no suspicion to that feature's own."""
    return suspicious((derived, strongest)) if derived.roc_auc > strongest.roc_auc else ()


def _reason(outcome: Outcome, message: str, rows: int) -> Reason:
    return Reason(metric="leaks among derived features", outcome=outcome, message=message, samples=rows)
