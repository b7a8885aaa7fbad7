"""Measure a model on held-out rows. It only measures: `gates` decides."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.contract import CostMatrix
from modelway.evaluation.groups import Grouping, over_time, slice_report
from modelway.evaluation.record import (
    METRICS,
    Comparison,
    Curve,
    Evaluation,
    Histogram,
    ReliabilityRow,
    SliceReport,
)
from modelway.evaluation.scored import (
    ScoredRows,
    aligned,
    confusion,
    paired_statistics,
    whole_statistics,
)
from modelway.evaluation.thresholds import threshold_report
from modelway.stats.bootstrap import UNDEFINED, Estimate, Sampling, bootstrap
from modelway.stats.calibration import reliability
from modelway.stats.ranking import RankingCurve, pr_curve, roc_curve

_CURVE_POINTS = 200
_HISTOGRAM_BINS = 30


def evaluate(  # noqa: PLR0913 - each argument is one fact about the same rows
    *,
    y: npt.ArrayLike,
    scores: npt.ArrayLike,
    champion_scores: npt.ArrayLike | None = None,
    slices: Mapping[str, npt.NDArray[Any]] | None = None,
    times: npt.NDArray[np.datetime64] | None = None,
    threshold: float,
    costs: CostMatrix,
    seed: int,
    min_slice_rows: int = 200,
    resamples: int = 300,
    test_openings: int | None = None,
) -> Evaluation:
    """Everything the rows say about the model, each metric with a bootstrap interval at 95 %.

    A model that answers nonsense is a finding, no error: scores that are no probabilities are counted,
    and leave every metric undefined. So do no rows at all.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,), the model's probabilities.
        champion_scores: Shape (n,), the production model's for the same rows; None without one.
        slices: By slice name, the group of each row, shape (n,); None is a group too.
        times: Shape (n,), when each row was decided.
        threshold: Score from which on a row is flagged; the signature's.
        costs: What wrong decisions cost.
        seed: Of the resampling: same rows, same seed, same evaluation.
        min_slice_rows: Smaller groups are listed, not judged; the gates'.
        resamples: How many.
        test_openings: How many different models were measured on these rows, this one too.

    Raises:
        ContractError: Arrays differ in length, or a label is neither 0 nor 1.
    """
    rows = ScoredRows.of(y, scores, threshold)
    grouping = Grouping(sampling=Sampling(seed=seed, resamples=resamples), min_rows=min_slice_rows)
    return Evaluation(
        **_subject(rows, costs, grouping),
        **_whole(rows, costs, grouping.sampling),
        **_periods(rows, times, grouping),
        slices=_slices(rows, slices or {}, grouping),
        comparison=None if champion_scores is None else _compare(rows, champion_scores, grouping.sampling),
        thresholds=threshold_report(rows, costs, grouping.of("thresholds").sampling),
        test_openings=test_openings,
    )


def _subject(rows: ScoredRows, costs: CostMatrix, grouping: Grouping) -> dict[str, Any]:
    """What was measured, and how."""
    return {
        "rows": rows.y.size,
        "positives": int(rows.y.sum()),
        "invalid_scores": rows.invalid,
        "threshold": rows.threshold,
        "costs": costs,
        "sampling": grouping.sampling,
        "min_slice_rows": grouping.min_rows,
    }


def _periods(
    rows: ScoredRows, times: npt.NDArray[np.datetime64] | None, grouping: Grouping
) -> dict[str, Any]:
    """When the rows were decided, and what changed meanwhile."""
    if times is None:
        return {"first_time": None, "last_time": None, "over_time": ()}
    when = aligned(rows, np.asarray(times), "times")
    return {
        "first_time": _moment(when, np.min),
        "last_time": _moment(when, np.max),
        "over_time": over_time(rows, when, grouping),
    }


def _moment(times: npt.NDArray[Any] | None, pick: Callable[[npt.NDArray[Any]], np.datetime64]) -> str | None:
    return str(pick(times).astype("datetime64[D]")) if times is not None and times.size else None


def _whole(rows: ScoredRows, costs: CostMatrix, sampling: Sampling) -> dict[str, Any]:
    """What is said about all rows together."""
    if rows.invalid or not rows.y.size:
        return {
            "metrics": dict.fromkeys(METRICS, UNDEFINED),
            "cost_per_row_if_none_flagged": None,
            "confusion": None,
            "reliability": (),
            "roc": Curve(),
            "pr": Curve(),
            "histogram": Histogram(),
        }
    measured = partial(whole_statistics, rows, costs)
    found = bootstrap(measured, rows.y.size, sampling, raised_by_noise=frozenset({"ece"}))
    return {
        "metrics": {name: found[name] for name in METRICS},
        "cost_per_row_if_none_flagged": float(rows.y.mean()) * costs.false_negative,
        "confusion": confusion(rows),
        "reliability": tuple(ReliabilityRow(**row._asdict()) for row in reliability(rows.y, rows.scores)),
        "roc": _thinned(roc_curve(rows.y, rows.scores)),
        "pr": _thinned(pr_curve(rows.y, rows.scores)),
        "histogram": _histogram(rows),
    }


def _thinned(curve: RankingCurve) -> Curve:
    """At most 200 points, evenly along x, both ends kept."""
    if not curve.x.size:
        return Curve()
    wanted = np.searchsorted(curve.x, np.linspace(curve.x[0], curve.x[-1], _CURVE_POINTS))
    kept = np.unique(np.concatenate([[0], np.minimum(wanted, curve.x.size - 1), [curve.x.size - 1]]))
    return Curve(x=tuple(curve.x[kept].round(5).tolist()), y=tuple(curve.y[kept].round(5).tolist()))


def _histogram(rows: ScoredRows) -> Histogram:
    edges = np.linspace(0, max(float(rows.scores.max()), rows.threshold, 1e-6), _HISTOGRAM_BINS + 1)
    positive = rows.y > 0
    return Histogram(
        edges=tuple(edges.tolist()),
        negatives=tuple(np.histogram(rows.scores[~positive], edges)[0].tolist()),
        positives=tuple(np.histogram(rows.scores[positive], edges)[0].tolist()),
    )


def _slices(
    rows: ScoredRows, slices: Mapping[str, npt.NDArray[Any]], grouping: Grouping
) -> tuple[SliceReport, ...]:
    return tuple(
        slice_report(rows, name, np.asarray(values, dtype=object), grouping)
        for name, values in slices.items()
    )


def _compare(rows: ScoredRows, champion_scores: npt.ArrayLike, sampling: Sampling) -> Comparison:
    champion = ScoredRows.of(rows.y, champion_scores, rows.threshold)
    if rows.invalid or champion.invalid or not rows.y.size:
        return Comparison(invalid_scores=champion.invalid, champion={}, difference={})
    found = bootstrap(partial(paired_statistics, rows, champion), rows.y.size, sampling)
    return Comparison(
        invalid_scores=0,
        champion=_under("champion/", found),
        difference=_under("difference/", found),
        roc=_thinned(roc_curve(rows.y, champion.scores)),
        pr=_thinned(pr_curve(rows.y, champion.scores)),
    )


def _under(prefix: str, found: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name.removeprefix(prefix): each for name, each in found.items() if name.startswith(prefix)}
