"""Intervals by resampling rows, many resamples in one matrix product.

Statistics are functions of row weights: shape (resamples, n) in, (resamples,) for each name out.
Resampling with replacement only changes how often a row counts, so a statistic sorts once for all
resamples. A comparison of two models on the same rows is a statistic like any other: the difference,
under the same weights.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from pydantic import Field

from modelway.contract import Frozen
from modelway.stats.ranking import FloatArray

Statistics = Callable[[FloatArray], Mapping[str, FloatArray]]

_CELLS_AT_ONCE = 2_000_000
"""Weights held in memory together: 16 MB, whatever the number of rows."""

_ENOUGH_DEFINED = 0.9
"""An interval from fewer of its resamples would leave out just those where a class vanished."""


class Sampling(Frozen):
    """How resampling is done: same rows, same sampling, same intervals."""

    seed: int
    resamples: int = Field(default=300, ge=20)
    level: float = Field(default=0.95, gt=0, lt=1)
    """Coverage aimed at."""


class Estimate(Frozen):
    """A number and the interval that resampling gives it. None: the data do not define it."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 3) -> str:
        """`0.684 [0.671, 0.697]`, or `undefined`."""
        if self.value is None:
            return "undefined"
        interval = (
            ""
            if self.low is None or self.high is None
            else f" [{self.low:,.{digits}f}, {self.high:,.{digits}f}]"
        )
        return f"{self.value:,.{digits}f}{interval}"


UNDEFINED = Estimate(value=None)


def resample_counts(rows: int, sampling: Sampling) -> Iterator[FloatArray]:
    """How often each row was drawn: chunks of shape (m, rows), bounded in memory."""
    random = np.random.default_rng(sampling.seed)
    at_once = max(1, _CELLS_AT_ONCE // max(rows, 1))
    for start in range(0, sampling.resamples, at_once):
        m = min(at_once, sampling.resamples - start)
        drawn = random.integers(rows, size=(m, rows)) + np.arange(m)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=m * rows).reshape(m, rows).astype(np.float64)


def bootstrap(
    statistics: Statistics,
    rows: int,
    sampling: Sampling,
    *,
    raised_by_noise: frozenset[str] = frozenset(),
) -> dict[str, Estimate]:
    """Each statistic's value on the rows and its bootstrap interval, all on the same resamples.

    Args:
        statistics: Function of weights (m, rows) -> (m,) by name.
        rows: How many rows there are, at least one.
        sampling: Seed, number of resamples, coverage.
        raised_by_noise: Names of statistics that are distances, which resampling can only raise:
            calibration errors, largest minus smallest. The percentile interval of such a one lies
            too high, so its lower end is reflected about the value (the "basic" bootstrap). It errs
            on the wide side; only a distance of exactly zero is still missed too often.

    Returns:
        One estimate per name. An interval is given only where at least nine in ten resamples
        define the statistic.

    Source:
        Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 13 and 14.
    """
    parts = [statistics(weights) for weights in resample_counts(rows, sampling)]
    return {
        name: _estimate(
            float(value[0]),
            np.concatenate([part[name] for part in parts]),
            sampling.level,
            distance=name in raised_by_noise,
        )
        for name, value in statistics(np.ones((1, rows))).items()
    }


def _estimate(value: float, draws: FloatArray, level: float, *, distance: bool) -> Estimate:
    defined = draws[np.isfinite(draws)]
    if not np.isfinite(value):
        return UNDEFINED
    if defined.size < _ENOUGH_DEFINED * draws.size:
        return Estimate(value=value)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    if distance:
        low, high = max(0.0, min(low, 2 * value - high)), max(value, high)
    return Estimate(value=value, low=float(low), high=float(high))
