"""Labels and scores of the same rows, checked once, and the statistics defined on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.contract import CostMatrix
from modelway.errors import ContractError
from modelway.stats.bootstrap import Statistic
from modelway.stats.calibration import brier, calibration_error, log_loss, weighted_mean
from modelway.stats.decisions import cost_per_row, f1, precision, recall
from modelway.stats.ranking import FloatArray, pr_auc, ratio, roc_auc

COMPARED = ("roc_auc", "pr_auc", "brier")
"""Metrics in which two models are compared."""


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


def _lift(rows: ScoredRows, weights: FloatArray) -> FloatArray:
    return ratio(pr_auc(rows.y, rows.scores, weights), weighted_mean(rows.y, weights))


def group_statistics(rows: ScoredRows) -> Mapping[str, Statistic]:
    """What a subgroup or a period is described by."""
    return {
        "base_rate": partial(weighted_mean, rows.y),
        "mean_score": partial(weighted_mean, rows.scores),
        "roc_auc": partial(roc_auc, rows.y, rows.scores),
        "pr_auc": partial(pr_auc, rows.y, rows.scores),
        "brier": partial(brier, rows.y, rows.scores),
        "selection_rate": partial(weighted_mean, rows.flagged),
        "recall": partial(recall, rows.y, rows.flagged),
    }


def statistics(rows: ScoredRows, costs: CostMatrix) -> Mapping[str, Statistic]:
    """Every metric of an evaluation, by its name in `METRICS`."""
    priced = partial(cost_per_row, false_positive=costs.false_positive, false_negative=costs.false_negative)
    return {
        **group_statistics(rows),
        "pr_auc_lift": partial(_lift, rows),
        "log_loss": partial(log_loss, rows.y, rows.scores),
        "ece": partial(calibration_error, rows.y, rows.scores),
        "precision": partial(precision, rows.y, rows.flagged),
        "f1": partial(f1, rows.y, rows.flagged),
        "cost_per_row": partial(priced, rows.y, rows.flagged),
    }


def compared_statistics(rows: ScoredRows) -> Mapping[str, Statistic]:
    """The metrics of `COMPARED`."""
    every = group_statistics(rows)
    return {name: every[name] for name in COMPARED}
