"""How calibration rows are dealt out: whole groups, both classes evenly, single rows without groups."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.features.training_set import GROUP
from modelway.training.calibration_parts import dealt, fewest, groups_of
from modelway.training.calibrator_choice import choose_calibrator

PARTS = 3


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=80), st.integers(0, 9))
def test_no_group_is_torn_apart(rows: list[tuple[int, int]], seed: int) -> None:
    groups = np.unique([group for group, _ in rows], return_inverse=True)[1]

    part = dealt(np.array([label for _, label in rows], dtype=np.int8), PARTS, seed, groups)

    assert len({(group, number) for group, number in zip(groups, part, strict=True)}) == len(set(groups))
    assert set(part) <= set(range(PARTS))


def test_bursts_are_spread_over_the_parts() -> None:
    """Nine stolen cards of ten frauds each and 900 honest cards: three thefts and 300 others a part."""
    groups = np.concatenate([np.repeat(np.arange(9), 10), np.arange(9, 909)])
    y = (groups < 9).astype(np.int8)

    part = dealt(y, PARTS, 1, groups)

    assert np.bincount(part, weights=y).tolist() == [30, 30, 30]
    assert np.bincount(part).tolist() == [330, 330, 330]
    assert fewest(y, part, PARTS) == 30


def test_rows_without_groups_are_dealt_singly_and_a_row_without_a_value_stands_alone() -> None:
    assert groups_of(pl.DataFrame({"label": [0, 1]})) is None
    rows = pl.DataFrame({GROUP: ["a", None, "a", None, "row 1"]})

    a, first, again, second, named_so = groups_of(rows).tolist()

    assert a == again
    assert len({a, first, second, named_so}) == 4


def test_a_class_that_lies_in_too_few_groups_lets_no_calibrator_be_compared() -> None:
    random = np.random.default_rng(0)
    margins = random.normal(size=600)
    y = (random.random(600) < 1 / (1 + np.exp(-3 * margins))).astype(np.int8)
    one_theft = np.where(y == 1, 0, np.arange(600))

    alone = choose_calibrator(("none", "platt"), margins, y, 3)
    together = choose_calibrator(
        ("none", "platt"), margins, y, 3, np.unique(one_theft, return_inverse=True)[1]
    )

    assert alone.losses
    assert not together.losses
    assert "too few to compare" in together.reason


@pytest.mark.parametrize("seed", range(3))
def test_a_calibrator_that_has_seen_the_group_looks_better_than_it_is(seed: int) -> None:
    """Each group of ten has one margin and one label that has nothing to do with it.

    Dealt singly, a staircase learns every group's label from its other rows and wins; dealt whole, it cannot.
    """
    random = np.random.default_rng(seed)
    margins, y = (
        np.repeat(random.normal(size=150), 10),
        np.repeat(random.integers(0, 2, 150), 10).astype(np.int8),
    )
    groups = np.repeat(np.arange(150), 10)
    methods = ("platt", "isotonic")

    singly, whole = (choose_calibrator(methods, margins, y, 1, each).losses for each in (None, groups))

    assert singly["isotonic"] < np.log(2) - 0.01
    assert whole["isotonic"] > np.log(2)
