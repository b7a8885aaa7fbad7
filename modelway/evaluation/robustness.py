"""What becomes of the answers when the inputs are wrong: noise, holes, units, and chosen changes."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from modelway.evaluation.findings import Attack, Disturbance, Robustness
from modelway.evaluation.scored import ScoredRows
from modelway.evaluation.subject import Floats, Subject, spread
from modelway.stats.bootstrap import UNDEFINED
from modelway.stats.rank_areas import auc_change, rank_correlation

MOST_ROWS = 5_000
NOISE = (0.1, 0.5)
"""Standard deviations of the noise, in spreads of the column."""
HOLES = (0.1, 0.3)
"""Shares of all values taken away."""
UNIT_FACTOR = 1_000
ATTACKED_ROWS = 100
ATTACK_CHANGES = 3
REACH = 0.1
"""A number may move past this share of the rows: to where such a change is not unusual."""


def robustness(subject: Subject) -> Robustness | None:
    """Disturb a seeded sample of the test rows in every way, one at a time.

    Returns:
        None where there is nothing to disturb: no rows, or answers that are no probabilities anyway.
    """
    if subject.rows.invalid or not len(subject.X):
        return None
    chosen = subject.sample(MOST_ROWS, purpose=1)
    X, rows = subject.X[chosen], _part(subject.rows, chosen)
    found = tuple(_disturbed(subject, rows, *each) for each in _all(subject, X))
    return Robustness(rows=len(chosen), disturbances=found, attack=attack(subject))


def _part(rows: ScoredRows, chosen: npt.NDArray[np.intp]) -> ScoredRows:
    return ScoredRows(rows.y[chosen], rows.scores[chosen], rows.threshold)


def _all(subject: Subject, X: Floats) -> Iterator[tuple[str, str, Floats]]:
    random = np.random.default_rng([subject.sampling.seed, 2])
    for size in NOISE:
        yield "noise", f"numbers moved by {size:g} spreads", _noisy(subject, X, size, random)
    for share in HOLES:
        holes = random.random(X.shape) < share
        yield "missing", f"without {share:.0%} of all values", np.where(holes, np.float32(np.nan), X)
    for i, name in enumerate(subject.names):
        yield "missing", f"without {name}", _replaced(X, i, np.float32(np.nan))
    for i in subject.measures:
        yield "unit", f"{UNIT_FACTOR:,} times {subject.names[i]}", _replaced(X, i, X[:, i] * UNIT_FACTOR)


def _noisy(subject: Subject, X: Floats, size: float, random: np.random.Generator) -> Floats:
    moved = X.copy()
    for i in subject.measures:
        moved[:, i] += (size * spread(X[:, i]) * random.normal(size=len(X))).astype(np.float32)
    return moved


def _replaced(X: Floats, column: int, values: npt.ArrayLike) -> Floats:
    changed = X.copy()
    changed[:, column] = values
    return changed


def _disturbed(subject: Subject, rows: ScoredRows, kind: str, what: str, X: Floats) -> Disturbance:
    scores = np.asarray(subject.answer(X), dtype=np.float64)
    after = ScoredRows(rows.y, scores, rows.threshold)
    whole = after.invalid == 0
    change = auc_change(rows.y, rows.scores, scores) if whole else None
    return Disturbance(
        kind=kind,
        what=what,
        roc_auc=change.roc_auc if change else UNDEFINED,
        roc_auc_change=change.change if change else UNDEFINED,
        flip_rate=float((after.flagged != rows.flagged).mean()),
        mean_shift=float(np.abs(scores - rows.scores).mean()) if whole else None,
        rank_correlation=rank_correlation(rows.scores, scores) if whole else None,
        invalid_scores=after.invalid,
    )


def attack(subject: Subject) -> Attack:
    """Look for the fewest changes that turn a decision: the best single change, then the next on top.

    Coordinate search, greedy: it finds some way, not always the shortest, so a model may be easier to turn
    than it says, never harder. It changes any input, also those that an applicant cannot.
    """
    chosen = subject.sample(ATTACKED_ROWS, purpose=3)
    X, columns = subject.X[chosen].copy(), np.zeros((len(chosen), 0), dtype=np.intp)
    flagged = subject.rows.flagged[chosen] > 0
    turned = np.zeros(len(chosen), dtype=bool)
    start, shares, moves = subject.rows.scores[chosen], [], []
    for _ in range(ATTACK_CHANGES):
        X, column = _best_change(subject, X, flagged)
        columns = np.column_stack([columns, np.where(turned, -1, column)])
        scores = np.asarray(subject.answer(X), dtype=np.float64)
        turned |= (scores >= subject.rows.threshold) != flagged
        shares.append(float(turned.mean()))
        moves.append(float(np.abs(scores - start).mean()))
    return Attack(
        rows=len(chosen),
        reach=REACH,
        flipped=tuple(shares),
        mean_move=tuple(moves),
        moved=_counted(subject, columns[turned]),
    )


def _best_change(
    subject: Subject, X: Floats, flagged: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Each row after the one change that moves its answer furthest to the other side."""
    column, values = _moves(subject, X)
    tried = np.repeat(X[:, None, :], len(column), axis=1)
    tried[:, np.arange(len(column)), column] = values
    scores = np.asarray(subject.answer(tried.reshape(-1, X.shape[1]))).reshape(values.shape)
    best = np.where(flagged, scores.argmin(axis=1), scores.argmax(axis=1))
    each = np.arange(len(X))
    return tried[each, best], column[best]


def _moves(subject: Subject, X: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Every allowed change: the column of each (c,), and the value each row would get (rows, c)."""
    columns, values = [], []
    for i, known in enumerate(subject.inputs):
        if known.kind == "category":
            offered = [np.full(len(X), code, dtype=np.float32) for code in range(len(known.vocabulary))]
        else:
            offered = _neighbours(subject.X[:, i], X[:, i])
        offered = offered or [X[:, i]]
        columns += [i] * len(offered)
        values += offered
    return np.array(columns, dtype=np.intp), np.column_stack(values)


def _neighbours(seen: Floats, values: Floats) -> list[Floats]:
    """Seen values a tenth of the rows below and above; a missing one stays missing."""
    ordered = np.sort(seen[np.isfinite(seen)])
    if not ordered.size:
        return [values]
    step, last = max(1, int(REACH * ordered.size)), ordered.size - 1
    below = np.searchsorted(ordered, values, "left") - step
    above = np.searchsorted(ordered, values, "right") - 1 + step
    return [
        np.where(np.isnan(values), values, ordered[np.clip(place, 0, last)]).astype(np.float32)
        for place in (below, above)
    ]


def _counted(subject: Subject, columns: npt.NDArray[np.intp]) -> dict[str, int]:
    found, counts = np.unique(columns[columns >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {subject.names[int(found[i])]: int(counts[i]) for i in order}
