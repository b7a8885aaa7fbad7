"""Which input moved an answer by how much: Shapley values of any function, by sampling orders.

What is not known about a row is taken from reference rows. Features are put in one after the other,
in a random order and in its reverse, and each is credited with what the answer did when it came.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from modelway.stats.ranking import FloatArray

Floats = npt.NDArray[np.float32]
Answer = Callable[[Floats], npt.NDArray[np.floating]]


class ShapleyValues(NamedTuple):
    """Contributions (n, F), their standard errors (n, F), and the mean answer on the references."""

    values: FloatArray
    errors: FloatArray
    base: float


def shapley_values(answer: Answer, X: Floats, reference: Floats, *, seed: int) -> ShapleyValues:
    """Interventional Shapley values of `answer` at each row of `X`.

    Every reference row is used once, with one order and its reverse. So the contributions of a row add up to
    its answer minus the mean answer on the references, exactly but for rounding; how they are shared out
    is sampled, and `errors` says how surely.

    Args:
        answer: From rows (m, F) to numbers (m,); called twice for each reference row.
        X: Shape (n, F), the rows to explain.
        reference: Shape (r, F), r >= 2.
        seed: Of the orders.

    Source:
        Castro, Gómez & Tejada (2009), "Polynomial calculation of the Shapley value based on sampling";
        antithetic orders after Mitchell et al. (2022), "Sampling permutations for Shapley value
        estimation"; interventional after Janzing, Minorics & Blöbaum (2020).
    """
    random = np.random.default_rng(seed)
    ends = np.asarray(answer(X), dtype=np.float64)
    starts = np.asarray(answer(reference), dtype=np.float64)
    draws = np.empty((len(reference), *X.shape))
    for i, row in enumerate(reference):
        order = random.permutation(X.shape[1])
        forth = _walk(answer, X, row, order, (starts[i], ends))
        back = _walk(answer, X, row, order[::-1], (starts[i], ends))
        draws[i] = (forth + back) / 2
    errors = draws.std(axis=0, ddof=1) / np.sqrt(len(reference))
    return ShapleyValues(draws.mean(axis=0), errors, float(starts.mean()))


def _walk(
    answer: Answer,
    X: Floats,
    row: Floats,
    order: npt.NDArray[np.intp],
    ends: tuple[float, FloatArray],
) -> FloatArray:
    """What each feature added when it was put in, in one order, shape (n, F)."""
    n, features = X.shape
    place = np.empty(features, dtype=np.intp)
    place[order] = np.arange(features)
    known = place[None, :] < np.arange(1, features)[:, None]  # (F - 1, F): all but nothing and everything
    mixed = np.where(known[:, None, :], X[None], row).reshape(-1, features)
    between = np.asarray(answer(mixed), dtype=np.float64) if len(mixed) else np.empty(0)
    path = np.concatenate([np.full(n, ends[0]), between, ends[1]]).reshape(features + 1, n)
    added: FloatArray = np.diff(path, axis=0).T[:, place]
    return added
