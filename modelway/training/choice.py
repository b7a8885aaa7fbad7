"""Which trial wins, and why: the plainest among those that nothing beats beyond noise, unless costs count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelway.errors import GateError
from modelway.stats.bootstrap import Sampling, resample_counts
from modelway.stats.ranking import FloatArray, pr_auc
from modelway.training.artifacts import Trial
from modelway.training.candidates.base import Margins
from modelway.training.encoding import Labels
from modelway.training.policy import Preference

RESAMPLES = 100
"""A standard error from these is right to about 7 %."""


@dataclass(frozen=True, eq=False)
class Tried:
    """A trial, its log-odds for the validation rows and the graph that it became."""

    trial: Trial
    margins: Margins
    graph: bytes = b""
    """Uncalibrated; empty for a trial that was given up."""

    @property
    def pr_auc(self) -> float:
        """On the validation rows; NaN for a trial that was given up."""
        return self.trial.metrics.get("pr_auc", math.nan)


@dataclass(frozen=True)
class Decision:
    """The chosen trial and the reason, in one sentence."""

    best: Trial
    reason: str


@dataclass(frozen=True)
class _Rated:
    """A trial beside the best one."""

    tried: Tried
    gap: float
    """How far its PR-AUC lies below the highest."""
    error: float
    """Standard error of that gap."""


def choose(
    tried: Sequence[Tried],
    y: Labels,
    seed: int,
    *,
    folds: Sequence[int] = (),
    preference: Preference | None = None,
) -> Decision:
    """The first trial whose PR-AUC on the validation rows is within one standard error of the highest.

    A handful of positives ranks trials mostly by luck, so a trial only displaces an earlier one when
    it is better by more than noise. Earlier means: a kind the use case names first, and within a kind
    the defaults before what the search suggested. One that resembles the highest has a small error and may
    miss it by a hair, where a worse and later one, which resembles it less, does not: the earlier one, no
    worse, then wins all the same.

    With a preference, trials above its limits are left out first. Where cheapness is worth something, the
    trial with the lowest bill wins: its gap to the highest PR-AUC in standard errors, plus for each cost its
    worth times how often the cost must be halved to meet the cheapest. Costs are counts, never timings.

    Args:
        tried: In order of preference.
        y: Labels of the validation rows, all folds' one after the other.
        seed: Of the resampling behind the standard error.
        folds: How many of the rows each fold has; one fold when left out.
        preference: What a model may cost and what cheapness is worth; quality alone when left out.

    Raises:
        GateError: No trial has a finite PR-AUC: they all diverged. Or none keeps the limits.

    Source:
        The one-standard-error rule of Breiman, Friedman, Olshen & Stone (1984), section 3.4.3, with the
        standard error of the paired difference from a bootstrap.
    """
    preference = preference or Preference()
    finite = [t for t in tried if math.isfinite(t.pr_auc)]
    if not finite:
        raise GateError(
            f"none of {len(tried)} trials gave finite scores",
            expected="at least one that learns",
            remedy="lower the learning rates in the use case's candidates",
        )
    affordable = _affordable(finite, preference)
    rated = _rated(affordable, y, seed, folds or (len(y),))
    highest = max(affordable, key=lambda t: t.pr_auc)
    said = _limits(len(finite) - len(affordable), preference)
    if preference.halving_worth:
        return _cheapest(rated, preference, said)
    tolerated = next(r for r in rated if r.gap <= r.error)
    chosen = next(r for r in rated if r.gap <= tolerated.gap)
    return Decision(chosen.tried.trial, _reason(chosen.tried, tolerated.error, highest) + said)


def _affordable(finite: Sequence[Tried], preference: Preference) -> list[Tried]:
    limits = {"operations": preference.max_operations, "bytes": preference.max_bytes}
    held = {cost: limit for cost, limit in limits.items() if limit is not None}
    kept = [t for t in finite if all(t.trial.costs[cost] <= limit for cost, limit in held.items())]  # type: ignore[index]  # these are costs
    if not kept:
        lowest = ", ".join(f"{cost} {min(t.trial.costs[cost] for t in finite):,}" for cost in held)  # type: ignore[index]  # as above
        raise GateError(
            f"none of {len(finite)} trials keeps the limits; the lowest found: {lowest}",
            expected=", ".join(f"{cost} at most {limit:,}" for cost, limit in held.items()),
            remedy="raise the limits in `training.preference`, or search smaller models",
        )
    return kept


def _rated(tried: Sequence[Tried], y: Labels, seed: int, folds: Sequence[int]) -> list[_Rated]:
    """Gaps to the highest in PR-AUC, with their errors: both on the same resampled rows, fold by fold."""
    ends = np.cumsum(folds)
    parts = [slice(end - rows, end) for end, rows in zip(ends.tolist(), folds, strict=True)]
    best = max(range(len(tried)), key=lambda i: tried[i].pr_auc)
    drawn = (_resampled(tried, y, part, seed + number) for number, part in enumerate(parts))
    # Fold by fold, for folds are drawn apart: hardly a resample would have positives in all of many.
    variances = [np.nanvar(scores[best] - scores, axis=1) for scores in drawn]
    errors = np.sqrt(np.sum(variances, axis=0)) / len(parts)
    top = tried[best].pr_auc
    return [_Rated(t, top - t.pr_auc, float(e)) for t, e in zip(tried, errors, strict=True)]


def _resampled(tried: Sequence[Tried], y: Labels, part: slice, seed: int) -> FloatArray:
    labels, sampling = y[part], Sampling(seed=seed, resamples=RESAMPLES)
    chunks = [
        np.stack([pr_auc(labels, t.margins[part], weights) for t in tried])
        for weights in resample_counts(len(labels), sampling)
    ]
    return np.concatenate(chunks, axis=1)


def _cheapest(rated: Sequence[_Rated], preference: Preference, said: str) -> Decision:
    bills = [_bill(r, rated, preference) for r in rated]
    lowest = min(range(len(rated)), key=lambda i: bills[i])
    best, highest = rated[lowest].tried, max(rated, key=lambda r: r.tried.pr_auc).tried
    worth = ", ".join(f"halving {cost} = {worth:g}" for cost, worth in preference.halving_worth.items())
    found = ", ".join(f"{cost} {best.trial.costs[cost]:,}" for cost in preference.halving_worth)
    return Decision(
        best.trial,
        f"{_name(best)}: the lowest bill, {bills[lowest]:.2f} standard errors, with PR-AUC {best.pr_auc:.4f} "
        f"on the validation rows and {found}; {_name(highest)} reached {highest.pr_auc:.4f} ({worth})" + said,
    )


def _bill(one: _Rated, rated: Sequence[_Rated], preference: Preference) -> float:
    quality = 0.0 if one.gap == 0 else one.gap / one.error if one.error > 0 else math.inf
    return quality + sum(
        worth * math.log2(one.tried.trial.costs[cost] / min(r.tried.trial.costs[cost] for r in rated))
        for cost, worth in preference.halving_worth.items()
    )


def _name(tried: Tried) -> str:
    return f"{tried.trial.kind} trial {tried.trial.number}"


def _limits(left_out: int, preference: Preference) -> str:
    held = {"operations": preference.max_operations, "bytes": preference.max_bytes}
    limits = " or ".join(f"{limit:,} {cost}" for cost, limit in held.items() if limit is not None)
    return f"; {left_out} trials above {limits} were left out" if left_out else ""


def _reason(best: Tried, error: float, highest: Tried) -> str:
    said = f"{_name(best)}: PR-AUC {best.pr_auc:.4f} on the validation rows"
    if best is highest:
        return f"{said}, the highest of all trials"
    return (
        f"{said}; {_name(highest)} reached {highest.pr_auc:.4f}, which is within one "
        f"standard error ({error:.4f}) and no ground to leave the plainer one"
    )
