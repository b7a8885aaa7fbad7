"""Where the model is wrong: groups of rows, and the single rows on which it was most surely wrong."""

import numpy as np
import numpy.typing as npt

from modelway.evaluation.error_groups import error_groups
from modelway.evaluation.explanation import contributions_of, told
from modelway.evaluation.findings import ErrorReport, HardRow
from modelway.evaluation.subject import Subject

HARD_OF_EACH = 5
"""Rows told of either outcome: without the split, a rare outcome would take all places."""
_SMALLEST = 1e-15


def error_report(subject: Subject) -> ErrorReport | None:
    """Groups in words, and the hardest rows by key with what moved their answers.

    Returns:
        None without rows, or where an answer is no probability.
    """
    if subject.rows.invalid or not len(subject.X):
        return None
    return ErrorReport(groups=error_groups(subject), hard_rows=_hard_rows(subject))


def _hard_rows(subject: Subject) -> tuple[HardRow, ...]:
    losses = _losses(subject)
    chosen = np.concatenate([_hardest(subject.rows.y == label, losses) for label in (1, 0)])
    found = contributions_of(subject, chosen)
    return tuple(
        HardRow(
            key=subject.keys[row],
            label=int(subject.rows.y[row]),
            score=float(subject.rows.scores[row]),
            loss=float(losses[row]),
            contributions=told(subject, int(row), found.values[i], found.errors[i]),
        )
        for i, row in enumerate(chosen)
    )


def _losses(subject: Subject) -> npt.NDArray[np.float64]:
    """Log loss of each row, nats."""
    scores = subject.rows.scores
    right = np.where(subject.rows.y > 0, scores, 1 - scores)
    return -np.log(np.maximum(right, _SMALLEST))


def _hardest(of: npt.NDArray[np.bool_], losses: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    rows = np.flatnonzero(of)
    return rows[np.argsort(-losses[rows], kind="stable")[:HARD_OF_EACH]]
