"""Two columns that say little alone may tell the label together: the leak probe for derived features."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from modelway.bundle.derived import Derived
from modelway.contract import Outcome, Reason
from modelway.data.leaks import ColumnPower, column_powers, suspicious
from modelway.features.definitions import FeatureSet
from modelway.features.derived import derived_frame

_TRUTH = "\0truth"
"""No feature's name: whatever the features are called, the label is compared with them and not lost."""


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
        explained: Why a feature may be strong, by name. What is made of explained features alone may be so
            too; one that is made with another says why itself, by `Derived.strong_because`.

    Yields:
        FAIL for each that is too good to be known in advance, else one PASS for all. INCONCLUSIVE where
        either class has too few rows.
    """
    if not features.derived:
        return
    made = derived_frame(rows, features)
    found = column_powers(made.with_columns(rows["label"].alias(_TRUTH)), made.columns, _TRUTH)
    if not found or not powers:
        yield _reason(Outcome.INCONCLUSIVE, "too few rows of either class to look for leaks", rows.height)
        return
    why = {each.name: _why(each, explained) for each in features.derived}
    strong = [p for p in found if p in _too_strong(p, powers[0]) and not why[p.column]]
    formulas = {each.name: each.formula for each in features.derived}
    for power in strong:
        text = f"{power.column} ({formulas[power.column]}) alone reaches ROC-AUC {power.roc_auc:.3f}"
        ask = "are both known at the decision? If so, say why it may be strong: Derived.strong_because"
        yield _reason(Outcome.FAIL, f"{text}: {ask}", power.rows)
    if not strong:
        because = f" ({why[found[0].column]})" if why[found[0].column] else ""
        best = f"the strongest, {found[0].column}, reaches ROC-AUC {found[0].roc_auc:.3f} alone{because}"
        yield _reason(Outcome.PASS, f"{len(found)} derived features looked at; {best}", found[0].rows)


def _why(derived: Derived, explained: Mapping[str, str]) -> str:
    """Its own explanation, else those of all that it is made of; one that lacks leaves nothing."""
    known = [explained.get(name, "") for name in dict.fromkeys(derived.of)]
    return derived.strong_because or ("; ".join(known) if all(known) else "")


def _too_strong(derived: ColumnPower, strongest: ColumnPower) -> tuple[ColumnPower, ...]:
    """Weaker than a feature as it stands, it adds no suspicion to that feature's own."""
    return suspicious((derived, strongest)) if derived.roc_auc > strongest.roc_auc else ()


def _reason(outcome: Outcome, message: str, rows: int) -> Reason:
    return Reason(metric="leaks among derived features", outcome=outcome, message=message, samples=rows)
