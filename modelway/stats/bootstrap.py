"""Intervals by resampling rows, many resamples in one matrix product.

A statistic is a function of row weights: shape (resamples, n) in, (resamples,) out. Resampling with
replacement only changes how often a row counts, so nothing is sorted or copied twice. A comparison
of two models on the same rows is a statistic like any other: the difference, under the same weights.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from modelway.contract import Frozen
from modelway.stats.ranking import FloatArray

Statistic = Callable[[FloatArray], FloatArray]

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
    statistics: Mapping[str, Statistic],
    rows: int,
    sampling: Sampling,
    *,
    reflected: frozenset[str] = frozenset(),
) -> dict[str, Estimate]:
    """Each statistic's value on the data and its bootstrap interval, all on the same resamples.

    Args:
        statistics: Functions of weights (m, rows) -> (m,).
        rows: How many rows there are; none makes everything undefined.
        sampling: Seed, number of resamples, coverage.
        reflected: Names whose interval is reflected about the value (the "basic" bootstrap). Right
            for a statistic that noise can only raise, such as a calibration error: its resamples
            lie above the value, and the percentile interval would lie above the truth.

    Returns:
        One estimate per name. An interval is given only where at least nine in ten resamples
        define the statistic.

    Source:
        Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 13 and 14.
    """
    if rows == 0:
        return dict.fromkeys(statistics, UNDEFINED)
    draws: dict[str, list[FloatArray]] = {name: [] for name in statistics}
    for weights in resample_counts(rows, sampling):
        for name, statistic in statistics.items():
            draws[name].append(statistic(weights))
    once = np.ones((1, rows))
    return {
        name: _estimate(
            float(statistic(once)[0]),
            np.concatenate(draws[name]),
            sampling.level,
            "basic" if name in reflected else "percentile",
        )
        for name, statistic in statistics.items()
    }


def _estimate(
    value: float, draws: FloatArray, level: float, method: Literal["basic", "percentile"]
) -> Estimate:
    defined = draws[np.isfinite(draws)]
    if not np.isfinite(value):
        return UNDEFINED
    if defined.size < _ENOUGH_DEFINED * draws.size:
        return Estimate(value=value)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    if method == "basic":
        low, high = max(0.0, 2 * value - high), max(value, 2 * value - low)
    return Estimate(value=value, low=float(low), high=float(high))
