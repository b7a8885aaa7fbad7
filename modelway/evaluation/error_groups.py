"""Groups of rows, in words, on which the promises are off: found on one half, measured on the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelway.evaluation.findings import ErrorGroup
from modelway.evaluation.subject import Floats, Subject
from modelway.stats.bootstrap import Estimate
from modelway.stats.ranking import FloatArray
from modelway.stats.rate_gaps import adjusted_level, gap_estimate

MOST_CONDITIONS = 3
"""A description of more is no description."""
MIN_SHARE = 0.03
MIN_ROWS = 60
"""A group is at least so large in the half that finds it."""
_CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Condition:
    """A sentence about a row, and which test rows it is true of (n,)."""

    words: str
    opposite: str
    holds: Mask

    def negated(self) -> "_Condition":
        """The rows for which it does not hold."""
        return _Condition(self.opposite, self.words, ~self.holds)


def error_groups(subject: Subject) -> tuple[ErrorGroup, ...]:
    """Groups whose outcomes and promises seemed to differ, those that surely do first.

    A small tree of conditions on the inputs splits one half of the rows where the mean of (outcome - score)
    differs most. Its leaves are measured on the other half, where the search has had no part; as several
    leaves are looked at, each interval is the wider for it (Bonferroni).

    Source:
        Breiman et al. (1984), "Classification and Regression Trees"; measured on fresh rows as in Athey
        & Imbens (2016), "Recursive partitioning for heterogeneous causal effects".
    """
    if subject.rows.invalid or len(subject.X) < 2 * MIN_ROWS:
        return ()
    finds = np.random.default_rng([subject.sampling.seed, 6]).random(len(subject.X)) < 0.5  # noqa: PLR2004 - a half
    gap = subject.rows.y - subject.rows.scores
    conditions = [c for c in _conditions(subject) if 0 < c.holds[finds].sum() < finds.sum()]
    leaves = list(_leaves(conditions, finds, gap, MOST_CONDITIONS))
    level = adjusted_level(subject.sampling.level, len(leaves))
    measured = [_measured(subject, leaf, ~finds, level) for leaf in leaves]
    found = [group for group in measured if group is not None]
    return tuple(sorted(found, key=lambda g: (not g.surely_off, -abs(g.gap.value or 0.0))))


def _conditions(subject: Subject) -> Iterator[_Condition]:
    for i, known in enumerate(subject.inputs):
        values = subject.X[:, i]
        if np.isnan(values).any():
            yield _Condition(f"{known.name} is missing", f"{known.name} is known", np.isnan(values))
        if known.kind == "category":
            for code, name in enumerate(known.vocabulary):
                yield _Condition(f"{known.name} is {name}", f"{known.name} is not {name}", values == code)
        else:
            yield from _cuts(known.name, values)


def _cuts(name: str, values: Floats) -> Iterator[_Condition]:
    finite = values[np.isfinite(values)]
    holes = finite.size < values.size
    if finite.size:
        for cut in np.unique(np.quantile(finite, _CUTS, method="lower")):
            opposite = f"{name} is at most {cut:,.6g}" + (" or missing" if holes else "")
            yield _Condition(f"{name} is above {cut:,.6g}", opposite, values > cut)


def _leaves(
    conditions: list[_Condition], rows: Mask, gap: FloatArray, depth: int
) -> Iterator[list[_Condition]]:
    """Conditions that hold together in each leaf; the root alone when nothing can be split."""
    best = _best(conditions, rows, gap) if depth else None
    if best is None:
        yield []
        return
    for side in (best, best.negated()):
        for rest in _leaves(conditions, rows & side.holds, gap, depth - 1):
            yield [side, *rest]


def _best(conditions: list[_Condition], rows: Mask, gap: FloatArray) -> _Condition | None:
    """The condition whose two sides differ most in squared gap explained; None if none leaves enough rows."""
    least = max(MIN_ROWS, MIN_SHARE * len(rows))
    if not conditions or rows.sum() < 2 * least:
        return None
    holds = np.array([c.holds[rows] for c in conditions], dtype=np.float64)
    inside, total = holds.sum(axis=1), int(rows.sum())
    allowed = (inside >= least) & (total - inside >= least)
    if not allowed.any():
        return None
    of_inside = holds @ gap[rows]
    of_outside = gap[rows].sum() - of_inside
    explained = of_inside**2 / np.maximum(inside, 1) + of_outside**2 / np.maximum(total - inside, 1)
    return conditions[int(np.argmax(np.where(allowed, explained, -np.inf)))]


def _measured(subject: Subject, leaf: list[_Condition], rows: Mask, level: float) -> ErrorGroup | None:
    holds = rows.copy()
    for condition in leaf:
        holds &= condition.holds
    if not leaf or holds.sum() < 2:  # noqa: PLR2004 - a spread takes two
        return None
    inside = subject.rows.where(holds)
    gap = gap_estimate(inside.y, inside.scores, level=level)
    return ErrorGroup(
        words=" and ".join(condition.words for condition in leaf),
        rows=int(holds.sum()),
        positives=int(inside.y.sum()),
        observed=float(inside.y.mean()),
        mean_score=float(inside.scores.mean()),
        gap=gap,
        surely_off=_off(gap),
        cost_share=_cost_share(subject, holds, rows),
    )


def _cost_share(subject: Subject, holds: Mask, rows: Mask) -> float | None:
    wrong = np.where(subject.rows.y > 0, subject.costs.false_negative, subject.costs.false_positive)
    cost = wrong * (subject.rows.flagged != subject.rows.y)
    whole = float(cost[rows].sum())
    return float(cost[holds].sum()) / whole if whole else None


def _off(gap: Estimate) -> bool:
    return gap.low is not None and gap.high is not None and not gap.low <= 0 <= gap.high
