"""The last fit: what it learns from, and what its calibrator has seen."""

import numpy as np
import polars as pl
import pytest

from modelway.data.frames import write_frame
from modelway.errors import GateError
from modelway.features.training_set import GROUP
from modelway.training.calibration import fit_calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import signature_from
from modelway.training.final import PARTS, fit, rows_of
from modelway.training.splits import split_by_time

PARAMS = {"max_iter": 15, "min_samples_leaf": 10, "max_features": 1.0}


@pytest.fixture
def splits(make_loans, tmp_path):
    return split_by_time(make_loans(1500, seed=4), str(tmp_path))


@pytest.fixture
def signature(use_case, splits):
    return signature_from(use_case, splits.train.load(), 0.5)


@pytest.fixture
def recipe(signature):
    return Recipe(signature.columns, PARAMS, 3)


def test_the_last_model_has_learnt_from_train_and_calibration_rows(splits, signature, recipe):
    made = fit("hgb", recipe, signature, splits, ("platt",))

    train, newest = (rows_of(part.load(), signature) for part in (splits.train, splits.calibration))
    both = Rows(np.concatenate([train.X, newest.X]), np.concatenate([train.y, newest.y]))
    expected = kind_named("hgb").fit(both, None, recipe, ignore_epoch)
    test = rows_of(splits.test.load(), signature)
    np.testing.assert_array_equal(made.model.margins(test.X), expected.margins(test.X))


def test_no_row_is_scored_for_the_calibrator_by_a_model_that_has_seen_it(splits, signature, recipe, tmp_path):
    """Another amount in one row moves the models that learn from the row, and not the one that scores it."""
    before = fit("hgb", recipe, signature, splits, ("platt",))
    rows = splits.calibration.load()
    row = (rows["amount_usd"] * rows["label"]).arg_max()
    changed = rows.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(1.0)
        .otherwise("amount_usd")
        .cast(pl.Float32)
        .alias("amount_usd")
    )
    other = splits.model_copy(update={"calibration": write_frame(changed, str(tmp_path))})
    after = fit("hgb", recipe, signature, other, ("platt",))

    same = np.flatnonzero(before.margins == after.margins)
    assert len(same) >= len(rows) // PARTS - 1
    assert len(same) < len(rows)
    assert before.calibrator == fit_calibrator(before.margins, before.calibration_y)


def test_no_row_is_scored_for_the_calibrator_by_a_model_that_has_seen_its_group(
    splits, signature, recipe, tmp_path
):
    """Other amounts in one row of a group of ten: the model that scores the group has seen none of them."""
    rows = splits.calibration.load().with_columns((pl.int_range(pl.len()) // 10).cast(pl.String).alias(GROUP))
    row = (rows["amount_usd"] * rows["label"]).arg_max()
    its_group = np.flatnonzero((rows[GROUP] == rows[GROUP][row]).to_numpy())
    changed = rows.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(1.0)
        .otherwise("amount_usd")
        .cast(pl.Float32)
        .alias("amount_usd")
    )
    before, after = (
        fit(
            "hgb",
            recipe,
            signature,
            splits.model_copy(update={"calibration": write_frame(each, str(tmp_path))}),
            ("platt",),
        )
        for each in (rows, changed)
    )

    others = its_group[its_group != row]
    np.testing.assert_array_equal(before.margins[others], after.margins[others])
    assert not np.array_equal(before.margins, after.margins)


def test_a_model_without_finite_scores_is_refused(splits, signature, recipe, monkeypatch):
    monkeypatch.setattr(
        "modelway.training.candidates.hgb.FittedHgb.margins", lambda _, X: np.full(len(X), np.nan)
    )

    with pytest.raises(GateError, match="no finite scores"):
        fit("hgb", recipe, signature, splits, ("platt",))
