"""Why the served graph answers as it does: Shapley values of all rows together and of single ones."""

from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from modelway.evaluation.findings import Contribution, Explanation, Importance
from modelway.evaluation.subject import Subject
from modelway.stats.bootstrap import Sampling, bootstrap, resample_counts
from modelway.stats.calibration import weighted_mean
from modelway.stats.rank_areas import rank_correlation
from modelway.stats.ranking import FloatArray
from modelway.stats.shapley import ShapleyValues, shapley_values

EXPLAINED_ROWS = 200
REFERENCES = 32
"""Training rows that stand in for what is not known. More cost time; the errors say what fewer cost."""
TOLD = 5
"""Contributions told for one row."""


def explanation(subject: Subject) -> Explanation | None:
    """Which inputs move the answers, over a seeded sample of the test rows.

    Returns:
        None without rows, or where an answer is no probability.
    """
    if subject.rows.invalid or not len(subject.X):
        return None
    chosen = subject.sample(EXPLAINED_ROWS, purpose=4)
    found = contributions_of(subject, chosen)
    absolute = np.abs(found.values)
    return Explanation(
        rows=len(chosen),
        references=min(REFERENCES, len(subject.reference)),
        base=found.base,
        importance=_importance(subject, absolute),
        stability=_stability(absolute, subject.sampling),
    )


def contributions_of(subject: Subject, chosen: npt.NDArray[np.intp]) -> ShapleyValues:
    """Shapley values of some test rows against seeded training rows."""
    seed = subject.sampling.seed
    random = np.random.default_rng([seed, 5])
    kept = random.permutation(len(subject.reference))[:REFERENCES]
    return shapley_values(subject.answer, subject.X[chosen], subject.reference[kept], seed=seed)


def told(subject: Subject, row: int, values: FloatArray, errors: FloatArray) -> tuple[Contribution, ...]:
    """The largest contributions to one answer, values (F,) and errors (F,)."""
    order = np.argsort(-np.abs(values), kind="stable")[:TOLD]
    return tuple(
        Contribution(
            feature=subject.names[int(i)],
            value=subject.text(int(i), float(subject.X[row, i])),
            contribution=float(values[i]),
            error=float(errors[i]),
        )
        for i in order
    )


def _importance(subject: Subject, absolute: FloatArray) -> tuple[Importance, ...]:
    statistics = {name: partial(weighted_mean, absolute[:, i]) for i, name in enumerate(subject.names)}
    found = bootstrap(
        lambda weights: {name: mean(weights) for name, mean in statistics.items()},
        len(absolute),
        subject.sampling,
    )
    places = np.array([rankdata(-drawn, method="min") for drawn in _resampled(absolute, subject.sampling)])
    low, high = np.quantile(places, [0.025, 0.975], axis=0, method="nearest")
    listed = [
        Importance(feature=name, mean_absolute=found[name], rank_low=int(low[i]), rank_high=int(high[i]))
        for i, name in enumerate(subject.names)
    ]
    return tuple(sorted(listed, key=lambda each: -(each.mean_absolute.value or 0.0)))


def _resampled(absolute: FloatArray, sampling: Sampling) -> FloatArray:
    """Mean |contribution| of each feature in each resample, shape (resamples, F)."""
    counts = np.concatenate(list(resample_counts(len(absolute), sampling)))
    means: FloatArray = counts @ absolute / len(absolute)
    return means


def _stability(absolute: FloatArray, sampling: Sampling) -> float | None:
    """How alike two halves of the rows rank the inputs, over many random halvings.

    Resamples would not do: each resembles the rows that it was drawn from, also where the ranking is luck. A
    half in which all inputs tie ranks nothing, and counts as 0.
    """
    if len(absolute) < 2 or np.ptp(absolute.mean(axis=0)) == 0:  # noqa: PLR2004 - two halves
        return None
    random, middle = np.random.default_rng([sampling.seed, 9]), len(absolute) // 2
    dealt = (random.permutation(len(absolute)) for _ in range(sampling.resamples))
    halves = (
        (absolute[order[:middle]].mean(axis=0), absolute[order[middle:]].mean(axis=0)) for order in dealt
    )
    return float(np.mean([rank_correlation(*pair) or 0.0 for pair in halves]))
