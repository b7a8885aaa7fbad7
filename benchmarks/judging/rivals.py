"""Two other ways to judge a canary, in our own code, from their published descriptions.

Kayenta (Netflix, Google): per metric a Mann-Whitney test of the canary's samples against a baseline that
runs beside it; 98 % interval of the Hodges-Lehmann shift; HIGH where the interval lies above a quarter of
the estimated shift. Any HIGH metric of two drops the score below 75, which is a rollback.

Argo Rollouts: every interval a query's answer is held against a threshold; more than `failureLimit` failed
measurements abort the rollout. The threshold here is the SLO itself.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Z_98 = 2.326
TOLERANCE = 0.25
FAILURE_LIMIT = 3


def kayenta_fails(canary: Floats, baseline: Floats) -> Bools:
    """Whether one metric is HIGH.

    Args:
        canary: Shape (rollouts, samples), one value per interval.
        baseline: The same of the baseline.
    """
    m, n = canary.shape[1], baseline.shape[1]
    shifts = np.sort((canary[:, :, None] - baseline[:, None, :]).reshape(len(canary), m * n), axis=1)
    cut = max(0, int(np.floor(m * n / 2 - Z_98 * np.sqrt(m * n * (m + n + 1) / 12))))
    estimate, lower = np.median(shifts, axis=1), shifts[:, cut]
    return (lower > TOLERANCE * np.abs(estimate)) & (estimate > 0)


def argo_fails(canary: Floats, limit: float) -> Bools:
    """Whether more than `FAILURE_LIMIT` measurements of one metric broke the threshold."""
    return (canary > limit).sum(axis=1) > FAILURE_LIMIT


def shares(events: Floats, trials: Floats, every: int) -> Floats:
    """Event shares per interval of `every` seconds; an interval without requests reads as 0, as theirs do.

    Args:
        events: Shape (rollouts, seconds).
        trials: The same.
        every: Divides the number of seconds.
    """
    rollouts, seconds = events.shape
    split = (rollouts, seconds // every, every)
    return events.reshape(split).sum(axis=2) / np.maximum(1, trials.reshape(split).sum(axis=2))
