"""Labels and scores of the same rows, checked once, and the statistics defined on them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.contract import CostMatrix
from modelway.errors import ContractError
from modelway.evaluation.record import Confusion
from modelway.stats.calibration import brier, calibration_error, log_loss, weighted_mean
from modelway.stats.decisions import cost_per_row, f1, precision, recall
from modelway.stats.ranking import FloatArray, areas, ratio


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Outcomes (n,), 0 or 1, and a model's probabilities (n,) for them."""

    y: FloatArray
    scores: FloatArray
    threshold: float

    @classmethod
    def of(cls, y: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> "ScoredRows":
        """Check shapes and labels. Scores may be anything: a bad model is a finding, no error.

        Raises:
            ContractError: The two differ in length, or a label is neither 0 nor 1.
        """
        labels = np.asarray(y, dtype=np.float64)
        values = np.asarray(scores, dtype=np.float64)
        _same_rows(labels, values, "scores")
        if not np.isin(labels, (0.0, 1.0)).all():
            raise ContractError(
                f"{int((~np.isin(labels, (0.0, 1.0))).sum())} labels are neither 0 nor 1",
                expected="0 or 1 in every row",
                remedy="evaluate matured rows only; a row without a label cannot be judged",
            )
        return cls(labels, values, threshold)

    @property
    def flagged(self) -> FloatArray:
        """The decisions (n,): 1 where the score reaches the threshold."""
        return (self.scores >= self.threshold).astype(np.float64)

    @property
    def invalid(self) -> int:
        """How many scores are no probabilities."""
        return int((~((self.scores >= 0) & (self.scores <= 1))).sum())

    def where(self, mask: npt.NDArray[np.bool_]) -> "ScoredRows":
        """The same for some of the rows."""
        return ScoredRows(self.y[mask], self.scores[mask], self.threshold)


def _same_rows(y: npt.NDArray[np.generic], other: npt.NDArray[np.generic], what: str) -> None:
    if y.ndim != 1 or other.shape != y.shape:
        raise ContractError(
            f"{what} of shape {other.shape} for labels of shape {y.shape}",
            expected="one value for each row, in the same order",
            remedy="score exactly the rows whose labels are given",
        )


def aligned(rows: ScoredRows, values: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """`values` when it has one entry for each row.

    Raises:
        ContractError: It does not.
    """
    _same_rows(rows.y, values, what)
    return values


def confusion(rows: ScoredRows) -> Confusion:
    """Rows by decision and outcome."""
    flagged, positive = rows.flagged > 0, rows.y > 0
    return Confusion(
        true_positives=int((positive & flagged).sum()),
        false_positives=int((~positive & flagged).sum()),
        false_negatives=int((positive & ~flagged).sum()),
        true_negatives=int((~positive & ~flagged).sum()),
    )


def group_statistics(rows: ScoredRows, weights: FloatArray) -> dict[str, FloatArray]:
    """What a subgroup or a period is described by: (m, n) -> (m,) by name."""
    found = areas(rows.y, rows.scores, weights)
    return {
        "base_rate": weighted_mean(rows.y, weights),
        "mean_score": weighted_mean(rows.scores, weights),
        "roc_auc": found.roc_auc,
        "pr_auc": found.pr_auc,
        "brier": brier(rows.y, rows.scores, weights),
        "selection_rate": weighted_mean(rows.flagged, weights),
        "recall": recall(rows.y, rows.flagged, weights),
        "false_positive_rate": recall(1 - rows.y, rows.flagged, weights),
    }


def whole_statistics(rows: ScoredRows, costs: CostMatrix, weights: FloatArray) -> dict[str, FloatArray]:
    """Every metric of `METRICS`: (m, n) -> (m,) by name."""
    y, flagged, found = rows.y, rows.flagged, group_statistics(rows, weights)
    prices = costs.false_positive, costs.false_negative
    return {
        **found,
        "pr_auc_lift": ratio(found["pr_auc"], found["base_rate"]),
        "log_loss": log_loss(y, rows.scores, weights),
        "ece": calibration_error(y, rows.scores, weights),
        "precision": precision(y, flagged, weights),
        "f1": f1(y, flagged, weights),
        "cost_per_row": cost_per_row(y, flagged, prices, weights),
    }


def paired_statistics(ours: ScoredRows, theirs: ScoredRows, weights: FloatArray) -> dict[str, FloatArray]:
    """`champion/…` and `difference/…` (ours minus theirs) of each compared metric."""
    here, there = _compared(ours, weights), _compared(theirs, weights)
    champion = {f"champion/{name}": value for name, value in there.items()}
    return champion | {f"difference/{name}": here[name] - there[name] for name in here}


def _compared(rows: ScoredRows, weights: FloatArray) -> dict[str, FloatArray]:
    found = areas(rows.y, rows.scores, weights)
    return {
        "roc_auc": found.roc_auc,
        "pr_auc": found.pr_auc,
        "brier": brier(rows.y, rows.scores, weights),
    }
