"""Does a changed graph answer like the graph it was made from?"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from modelway.contract import Outcome, Reason, Verdict
from modelway.optimize.parity import MAX_FLIPPED_SHARE
from modelway.optimize.scoring import Graph

Matrix = npt.NDArray[np.float32]
Scorer = Callable[[Matrix], Matrix]
"""Encoded rows (n, F) -> probabilities (n,)."""


def same_answers(
    original: bytes, changed: bytes | Scorer, X: Matrix, *, limit: float, threshold: float | None = None
) -> Verdict:
    """Compare probabilities row by row, and decisions where the threshold is known.

    Args:
        original: The graph that was proven against its model.
        changed: The graph, or anything else that scores rows, which is to stand in for it.
        X: Encoded rows, shape (n, F); without any the verdict is INCONCLUSIVE.
        limit: Largest allowed |probability difference|.
        threshold: Probability from which on a decision is positive.

    Returns:
        FAIL beyond the limit, for answers outside [0, 1], and when more than one decision in a
        thousand flips.

    Raises:
        ParityError: A graph cannot be run.
    """
    if not len(X):
        return Verdict.of(
            [Reason(metric="rows", outcome=Outcome.INCONCLUSIVE, message="no rows to compare on", samples=0)]
        )
    score = Graph(changed).probabilities if isinstance(changed, bytes) else changed
    ours, theirs = Graph(original).probabilities(X).reshape(-1), score(X).reshape(-1)
    gap = np.abs(ours.astype(np.float64) - theirs)
    reasons = [
        _limited("max_probability_difference", _finite(gap.max()), limit, len(X)),
        _limited("invalid_probabilities", float((~((theirs >= 0) & (theirs <= 1))).sum()), 0, len(X)),
    ]
    if threshold is not None:
        flipped = float(np.mean((ours >= threshold) != (theirs >= threshold)))
        reasons.append(_limited("flipped_decisions", flipped, MAX_FLIPPED_SHARE, len(X)))
    return Verdict.of(reasons, {"rows": len(X)})


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else float(np.inf)


def _limited(metric: str, found: float, limit: float, rows: int) -> Reason:
    outcome = Outcome.PASS if found <= limit else Outcome.FAIL
    message = f"{found:.2g} on {rows} rows, limit {limit:g}"
    return Reason(metric=metric, outcome=outcome, message=message, found=found, limit=limit, samples=rows)
