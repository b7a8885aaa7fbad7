"""What calibrated scores say about a model before any label has matured (CBPE).

A calibrated probability p says that its row is positive with weight p and negative with weight 1 - p.
Metrics over such fractional labels are the metrics to expect.

It assumes that the scores are calibrated and that the relation between inputs and label has not
changed: concept drift is invisible to it. Never show it without saying so.

Source:
    NannyML's CBPE; its limits in Bialek, Kuberski, Perrakis & Bifet, arXiv 2401.08348.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from modelway.stats.ranking import areas


class Expected(NamedTuple):
    """Metrics to expect, assuming the relation has not changed; NaN where nothing can be ranked."""

    roc_auc: float
    pr_auc: float
    brier: float
    positive_rate: float


def expected_metrics(probabilities: npt.NDArray[np.floating]) -> Expected:
    """Expected ROC-AUC, PR-AUC, Brier score and base rate of calibrated probabilities.

    Args:
        probabilities: Shape (n,), n >= 1, in [0, 1], no NaN.

    Raises:
        ValueError: The vector is empty or leaves [0, 1].
    """
    p = probabilities.astype(np.float64)
    if p.size == 0 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("need a non-empty vector of probabilities")
    ranking = areas(p, p)  # its pair counts hold for fractional labels as they do for 0 and 1
    return Expected(
        roc_auc=float(ranking.roc_auc),
        pr_auc=float(ranking.pr_auc),
        brier=float((p * (1.0 - p)).mean()),
        positive_rate=float(p.mean()),
    )
