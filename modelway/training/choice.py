"""Which trial wins, and why: the plainest among those that nothing beats beyond noise."""

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

RESAMPLES = 100
"""A standard error from these is right to about 7 %."""


@dataclass(frozen=True, eq=False)
class Tried:
    """A trial and its log-odds for the validation rows."""

    trial: Trial
    margins: Margins


@dataclass(frozen=True)
class Decision:
    """The chosen trial and the reason, in one sentence."""

    best: Trial
    reason: str


def choose(tried: Sequence[Tried], y: Labels, seed: int) -> Decision:
    """The first trial whose PR-AUC on the validation rows is within one standard error of the highest.

    A handful of positives ranks trials mostly by luck, so a trial only displaces an earlier one when
    it is better by more than noise. Earlier means: a kind the use case names first, and within a kind
    the defaults before what the search suggested.

    Args:
        tried: In order of preference.
        y: Labels of the validation rows.
        seed: Of the resampling behind the standard error.

    Raises:
        GateError: No trial has a finite PR-AUC: they all diverged.

    Source:
        The one-standard-error rule of Breiman, Friedman, Olshen & Stone (1984), section 3.4.3, with the
        standard error of the paired difference from a bootstrap.
    """
    finite = [t for t in tried if math.isfinite(_score(t))]
    if not finite:
        raise GateError(
            f"none of {len(tried)} trials gave finite scores",
            expected="at least one that learns",
            remedy="lower the learning rates in the use case's candidates",
        )
    highest = max(finite, key=_score)
    errors = _standard_errors(finite, highest, y, seed)
    chosen, error = next(
        (t, e) for t, e in zip(finite, errors, strict=True) if _score(highest) - _score(t) <= e
    )
    return Decision(chosen.trial, _reason(chosen, highest, error))


def _score(tried: Tried) -> float:
    return tried.trial.metrics["pr_auc"]


def _standard_errors(tried: Sequence[Tried], highest: Tried, y: Labels, seed: int) -> list[float]:
    """Of (highest - each) in PR-AUC, both on the same resampled rows."""
    sampling = Sampling(seed=seed, resamples=RESAMPLES)
    chunks = [_scores(tried, y, weights) for weights in resample_counts(len(y), sampling)]
    scores = np.concatenate(chunks, axis=1)
    gaps = scores[tried.index(highest)] - scores
    return [float(error) for error in np.nanstd(gaps, axis=1)]


def _scores(tried: Sequence[Tried], y: Labels, weights: FloatArray) -> FloatArray:
    return np.stack([pr_auc(y, t.margins, weights) for t in tried])


def _reason(chosen: Tried, highest: Tried, error: float) -> str:
    best, top = chosen.trial, highest.trial
    said = f"{best.kind} trial {best.number}: PR-AUC {_score(chosen):.4f} on the validation rows"
    if chosen is highest:
        return f"{said}, the highest of all trials"
    return (
        f"{said}; {top.kind} trial {top.number} reached {_score(highest):.4f}, which is within one "
        f"standard error ({error:.4f}) and no ground to leave the plainer one"
    )
