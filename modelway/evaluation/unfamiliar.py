"""How unlike the training rows a row is, and whether that score notices rows which come from elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelway.bundle.signature import Input
from modelway.evaluation.findings import Shift, Unfamiliarity
from modelway.evaluation.robustness import UNIT_FACTOR
from modelway.evaluation.subject import Floats, Subject, spread
from modelway.stats.familiarity import Usual
from modelway.stats.rank_areas import auc_estimate
from modelway.stats.ranking import FloatArray

MIN_REFERENCES = 50
LIMIT_QUANTILE = 0.99
MOST_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Familiarity:
    """A score fitted to training rows: distance from their centre, as spread and correlations see it.

    A number counts as its signed logarithm, so that a unit error is far away and a rich customer is not; a
    missing one as the middle, and one more column says that it was missing. A category counts as how rare
    its value is among the training rows.
    """

    inputs: tuple[Input, ...]
    scales: tuple[tuple[float, float], ...]
    """Middle and spread of each number; unused for categories."""
    rarity: tuple[FloatArray, ...]
    """Minus the log share of each code, the last entry for a missing or unknown one."""
    usual: Usual

    @classmethod
    def of(cls, inputs: tuple[Input, ...], reference: Floats) -> "Familiarity":
        """From training rows (r, F), at least two."""
        scales = tuple(_scale(reference[:, i]) for i in range(len(inputs)))
        rarity = tuple(_rarity(c, reference[:, i]) for i, c in enumerate(inputs))
        return cls(inputs, scales, rarity, Usual.of(_design(inputs, scales, rarity, reference)))

    def distance(self, X: Floats) -> FloatArray:
        """Standard deviations from the usual, shape (n,)."""
        return self.usual.distance(_design(self.inputs, self.scales, self.rarity, X))


def unfamiliarity(subject: Subject) -> Unfamiliarity | None:
    """Fit the score to the training rows, apply it to the test rows and to shifted copies of them.

    Returns:
        None with fewer than 50 training rows, or no test rows.
    """
    if len(subject.reference) < MIN_REFERENCES or not len(subject.X):
        return None
    score = Familiarity.of(subject.inputs, subject.reference)
    chosen = subject.sample(MOST_ROWS, purpose=7)
    usual = score.distance(subject.X[chosen])
    limit = float(np.quantile(score.distance(subject.reference), LIMIT_QUANTILE))
    return Unfamiliarity(
        references=len(subject.reference),
        median=float(np.median(usual)),
        limit=limit,
        beyond_limit=float((usual > limit).mean()),
        shifts=(*_newer(subject, score), *_made(subject, score, subject.X[chosen], usual)),
    )


def _newer(subject: Subject, score: Familiarity) -> Iterator[Shift]:
    """The one shift that nobody made: the newest rows against the older ones."""
    if 0 < subject.newest.sum() < len(subject.newest):
        found = auc_estimate(subject.newest, score.distance(subject.X))
        yield Shift(what="newest quarter of the test rows", rows=int(subject.newest.sum()), roc_auc=found)


def _made(subject: Subject, score: Familiarity, X: Floats, usual: FloatArray) -> Iterator[Shift]:
    elsewhere = np.repeat([0, 1], len(X))
    for what, shifted in _shifts(subject, X):
        found = auc_estimate(elsewhere, np.concatenate([usual, score.distance(shifted)]))
        yield Shift(what=what, rows=len(X), roc_auc=found)


def _shifts(subject: Subject, X: Floats) -> Iterator[tuple[str, Floats]]:
    random = np.random.default_rng([subject.sampling.seed, 8])
    if subject.measures:
        yield f"{UNIT_FACTOR:,} times one number a row", _one_unit_wrong(subject, X, random)
        yield "numbers moved by two spreads", _far(subject, X, random)
    holes = random.random(X.shape) < 0.3  # noqa: PLR2004 - as the text says
    yield "without 30% of all values", np.where(holes, np.float32(np.nan), X)
    yield "each column dealt anew", random.permuted(X, axis=0)


def _one_unit_wrong(subject: Subject, X: Floats, random: np.random.Generator) -> Floats:
    shifted = X.copy()
    column = random.choice(subject.measures, size=len(X))
    shifted[np.arange(len(X)), column] *= UNIT_FACTOR
    return shifted


def _far(subject: Subject, X: Floats, random: np.random.Generator) -> Floats:
    shifted = X.copy()
    for i in subject.measures:
        shifted[:, i] += 2 * np.float32(spread(X[:, i])) * random.choice([-1, 1], size=len(X))
    return shifted


def _scale(values: Floats) -> tuple[float, float]:
    finite = values[np.isfinite(values)].astype(np.float64)
    return (float(np.median(finite)), spread(values) or 1.0) if finite.size else (0.0, 1.0)


def _rarity(known: Input, values: Floats) -> FloatArray:
    size = len(known.vocabulary)
    codes = np.where(np.isnan(values), size, values).astype(np.intp).clip(0, size)
    counts = np.bincount(codes, minlength=size + 1) + 0.5
    return np.asarray(-np.log(counts / counts.sum()))


def _design(
    inputs: tuple[Input, ...],
    scales: tuple[tuple[float, float], ...],
    rarity: tuple[FloatArray, ...],
    X: Floats,
) -> FloatArray:
    columns = []
    for i, known in enumerate(inputs):
        values = X[:, i].astype(np.float64)
        missing = np.isnan(values)
        if known.kind == "category":
            last = len(known.vocabulary)
            columns.append(rarity[i][np.where(missing, last, values).astype(np.intp).clip(0, last)])
            continue
        away = np.where(missing, 0.0, (values - scales[i][0]) / scales[i][1])
        columns += [np.sign(away) * np.log1p(np.abs(away)), missing.astype(np.float64)]
    return np.column_stack(columns)
