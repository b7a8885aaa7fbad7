"""The same metrics for parts of the rows: subgroups, to be fair to; periods, to see change."""

from collections.abc import Callable, Mapping
from functools import partial
from zlib import crc32

import numpy as np
import numpy.typing as npt

from modelway.contract import Frozen
from modelway.evaluation.record import Group, SliceReport
from modelway.evaluation.scored import ScoredRows, aligned, confusion, group_statistics
from modelway.stats.bootstrap import UNDEFINED, Estimate, Sampling, bootstrap
from modelway.stats.calibration import weighted_mean
from modelway.stats.ranking import FloatArray, ratio

MIN_GROUP_OUTCOMES = 10
"""Of either kind: below that an AUC is an anecdote, and its interval covers too seldom."""

MISSING = "(missing)"

_FAIRNESS = (
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
)
_RATIOS = frozenset(name for name in _FAIRNESS if name.endswith("ratio"))

_MOST_PERIODS = 24
_PERIODS: tuple[tuple[int, Callable[[int], str]], ...] = (
    (1, lambda month: f"{1970 + month // 12}-{month % 12 + 1:02d}"),
    (3, lambda month: f"{1970 + month // 12} Q{month % 12 // 3 + 1}"),
    (12, lambda month: f"{1970 + month // 12}"),
)


class Grouping(Frozen):
    """How groups are measured."""

    sampling: Sampling
    min_rows: int
    """Smaller groups are listed, not judged."""

    def of(self, name: str) -> "Grouping":
        """The same with a seed of its own, so that adding a group does not move the others."""
        seed = crc32(f"{self.sampling.seed}/{name}".encode())
        return Grouping(sampling=self.sampling.model_copy(update={"seed": seed}), min_rows=self.min_rows)


def _group(rows: ScoredRows, name: str, grouping: Grouping) -> Group:
    positives = int(rows.y.sum())
    enough = min(positives, rows.y.size - positives) >= MIN_GROUP_OUTCOMES
    judged = rows.y.size >= grouping.min_rows and enough and rows.invalid == 0
    measured = partial(group_statistics, rows)
    found = bootstrap(measured, rows.y.size, grouping.of(name).sampling) if judged else _bare(rows)
    return Group(
        name=name,
        rows=rows.y.size,
        positives=positives,
        judged=judged,
        metrics=found,
        confusion=confusion(rows) if not rows.invalid and rows.y.size else None,
    )


def _bare(rows: ScoredRows) -> dict[str, Estimate]:
    """What can be said of a group too small for more: no intervals, no ranking."""
    if rows.invalid or not rows.y.size:
        return {}
    names = {"base_rate": rows.y, "mean_score": rows.scores, "selection_rate": rows.flagged}
    return {name: Estimate(value=float(values.mean())) for name, values in names.items()}


def _texts(values: npt.NDArray[np.generic]) -> npt.NDArray[np.str_]:
    return np.array([MISSING if value is None else str(value) for value in values.tolist()], dtype=np.str_)


def slice_report(
    rows: ScoredRows, name: str, values: npt.NDArray[np.generic], grouping: Grouping
) -> SliceReport:
    """Metrics for each distinct value of a feature, largest group first, and fairness between them.

    Args:
        rows: Outcomes and scores, (n,).
        name: Of the slice.
        values: Shape (n,), the group of each row; None is a group too.
        grouping: Smallest size to be judged, and the resampling.

    Raises:
        ContractError: `values` has not one entry for each row.
    """
    names, member, sizes = np.unique(
        _texts(aligned(rows, values, f"slice {name}")), return_inverse=True, return_counts=True
    )
    order = np.argsort(-sizes, kind="stable")
    own = grouping.of(name)
    groups = tuple(_group(rows.where(member == i), str(names[i]), own) for i in order)
    masks = [member == i for i, group in zip(order, groups, strict=True) if group.judged]
    return SliceReport(name=name, groups=groups, **_fairness(rows, masks, own.sampling))


def _spread(values: FloatArray) -> FloatArray:
    """Largest minus smallest along the first axis; NaN where any group has no value."""
    return np.asarray(values.max(axis=0) - values.min(axis=0))


def _share(values: FloatArray) -> FloatArray:
    """Smallest over largest along the first axis; NaN where any group has no value, or all have zero."""
    return ratio(values.min(axis=0), values.max(axis=0))


def _fairness_statistics(
    rows: ScoredRows, masks: list[npt.NDArray[np.bool_]], weights: FloatArray
) -> dict[str, FloatArray]:
    """Each as a distance from equal treatment, which resampling can only raise: ratios as 1 - ratio."""
    positive = rows.y > 0
    shares = _flagged_shares(rows, masks, weights)
    recalls = _flagged_shares(rows, [mask & positive for mask in masks], weights)
    alarms = _flagged_shares(rows, [mask & ~positive for mask in masks], weights)
    found = (
        _spread(shares),
        _spread(recalls),
        1 - _share(shares),
        np.maximum(_spread(recalls), _spread(alarms)),
        1 - np.minimum(_share(recalls), _share(alarms)),
    )
    return dict(zip(_FAIRNESS, found, strict=True))


def _flagged_shares(rows: ScoredRows, masks: list[npt.NDArray[np.bool_]], weights: FloatArray) -> FloatArray:
    """Share flagged within each mask, shape (masks, …)."""
    return np.stack([weighted_mean(rows.flagged[mask], weights[..., mask]) for mask in masks])


def _fairness(
    rows: ScoredRows, masks: list[npt.NDArray[np.bool_]], sampling: Sampling
) -> Mapping[str, Estimate]:
    """Demographic parity, equal opportunity, equalised odds; all groups under the same resamples.

    Groups too small to be judged are left out: the difference of two rates from a handful of rows is
    large by chance. The definitions are Fairlearn's, worst case over the two error rates.

    Source:
        Agarwal et al. (2018), "A reductions approach to fair classification"; Hardt et al. (2016).
    """
    if len(masks) < 2:  # noqa: PLR2004 - a difference takes two
        return dict.fromkeys(_FAIRNESS, UNDEFINED)
    measured = partial(_fairness_statistics, rows, masks)
    found = bootstrap(measured, rows.y.size, sampling, raised_by_noise=frozenset(_FAIRNESS))
    return {name: _complement(each) if name in _RATIOS else each for name, each in found.items()}


def _complement(found: Estimate) -> Estimate:
    """1 minus an estimate, the ends of its interval changing places."""
    value, low, high = (None if end is None else 1 - end for end in (found.value, found.low, found.high))
    return Estimate(value=value, low=high, high=low)


def over_time(rows: ScoredRows, times: npt.NDArray[np.datetime64], grouping: Grouping) -> tuple[Group, ...]:
    """Metrics by month, quarter or year, whichever gives at most 24 periods; oldest first.

    Raises:
        ContractError: `times` has not one entry for each row.
    """
    if not rows.y.size:
        return ()
    months = aligned(rows, times, "times").astype("datetime64[M]").astype(np.int64)
    size, text = _period(months)
    period = months // size
    return tuple(_group(rows.where(period == p), text(int(p) * size), grouping) for p in np.unique(period))


def _period(months: npt.NDArray[np.int64]) -> tuple[int, Callable[[int], str]]:
    for size, text in _PERIODS:
        if np.unique(months // size).size <= _MOST_PERIODS:
            return size, text
    return _PERIODS[-1]
