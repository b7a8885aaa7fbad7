"""Shapley values by sampling, held against all orders written out, and against what they must add up to."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.stats.shapley import shapley_values


def tangled(X: np.ndarray) -> np.ndarray:
    """Interactions of two and of three inputs, and a step."""
    return X[:, 0] * X[:, 1] + np.where(X[:, 2] > 0, X[:, 0] * X[:, 3], 1.0) - 2 * X[:, 3]


def by_all_orders(answer, x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The definition: the mean over every order and every reference row of what each input added."""
    features = len(x)
    added = np.zeros(features)
    orders = list(permutations(range(features)))
    for row in reference:
        for order in orders:
            mixed = row.copy()
            for i in order:
                before = answer(mixed[None])[0]
                mixed[i] = x[i]
                added[i] += answer(mixed[None])[0] - before
    return added / len(orders) / len(reference)


def test_many_orders_come_to_the_definition():
    random = np.random.default_rng(1)
    X = random.normal(size=(3, 4)).astype(np.float32)
    reference = random.normal(size=(6, 4)).astype(np.float32)
    exact = np.array([by_all_orders(tangled, x, reference) for x in X])

    # every reference row is used 300 times, each time with another order
    found = shapley_values(tangled, X, np.tile(reference, (300, 1)), seed=2)

    assert np.abs(found.values - exact).max() < 0.05
    assert np.abs(found.values - exact).max() < 5 * found.errors.max()


def test_an_additive_function_needs_one_order_by_hand():
    reference = np.array([[0, 0], [2, 4]], dtype=np.float32)

    found = shapley_values(lambda X: 3 * X[:, 0] + X[:, 1], np.float32([[5, 1]]), reference, seed=0)

    # the references' means are 1 and 2: 3 (5 - 1) and 1 (1 - 2)
    assert found.values[0].tolist() == pytest.approx([12, -1])
    assert found.base == pytest.approx(5)


def test_two_inputs_with_their_two_orders_are_exact_by_hand():
    """An order and its reverse are all orders of two inputs."""
    reference = np.zeros((2, 2), dtype=np.float32)

    found = shapley_values(lambda X: X[:, 0] * X[:, 1], np.float32([[3, 4]]), reference, seed=0)

    assert found.values[0].tolist() == [6, 6]
    assert found.errors[0].tolist() == [0, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 5))
def test_contributions_add_up_to_the_answer_minus_the_mean_answer(seed, features, references):
    random = np.random.default_rng(seed)
    weights = random.normal(size=(features, 3))

    def answer(X):
        return np.tanh(X @ weights).prod(axis=1)

    X = random.normal(size=(4, features)).astype(np.float32)
    reference = random.normal(size=(references, features)).astype(np.float32)

    found = shapley_values(answer, X, reference, seed=seed)

    assert found.values.sum(axis=1) == pytest.approx(answer(X) - answer(reference).mean(), abs=1e-9)
    assert found.base == pytest.approx(answer(reference).mean())


def test_an_input_that_is_never_read_gets_nothing():
    random = np.random.default_rng(3)
    X = random.normal(size=(5, 3)).astype(np.float32)

    found = shapley_values(lambda X: X[:, 0] * X[:, 2], X, X, seed=1)

    assert np.abs(found.values[:, 1]).max() == 0


def test_same_seed_same_values():
    X = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)

    one, two, other = (shapley_values(tangled, X, X, seed=seed).values for seed in (1, 1, 2))

    assert (one == two).all()
    assert (one != other).any()
