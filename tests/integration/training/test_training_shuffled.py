"""The probe that learns from dealt labels, with real fits."""

from datetime import UTC, datetime

import polars as pl
import pytest
from train_once import FakeTracker

from modelway.contract import Outcome
from modelway.probes.shuffled import Recipient, shuffled_reason
from modelway.training.splits import split_by_time
from modelway.training.tune import Request, tune


@pytest.fixture(params=["hgb", "mlp"])
def recipient(request, use_case, make_loans, tmp_path) -> Recipient:
    use_case.candidates = tuple(c for c in use_case.candidates if c.kind == request.param)
    splits = split_by_time(make_loans(1500, seed=1), str(tmp_path / "frames"))
    asked = Request(snapshot_id="s", as_of=datetime(2005, 1, 1, tzinfo=UTC), seed=3, trials=1)
    trained = tune(use_case, splits, asked, tracker=FakeTracker(), folder=str(tmp_path / "models"))
    return Recipient(trained, splits.train.load(), splits.test.load())


def test_dealt_labels_teach_nothing(recipient) -> None:
    found = shuffled_reason(recipient)

    assert found.outcome is Outcome.PASS, found.message


def test_labels_that_come_back_by_another_way_are_found(recipient, monkeypatch) -> None:
    """What the probe is for: a road by which the true labels reach the model though they were dealt."""
    true = recipient.train["label"].to_numpy()
    monkeypatch.setattr("modelway.training.candidates.base.Rows.__init__", _true_labels(true))

    assert shuffled_reason(recipient).outcome is Outcome.FAIL


def _true_labels(true):
    def init(self, X, y) -> None:
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", true.astype(y.dtype))

    return init


def test_one_class_says_nothing(recipient) -> None:
    only = Recipient(recipient.trained, recipient.train, recipient.test.filter(pl.col("label") == 0))

    assert shuffled_reason(only).outcome is Outcome.INCONCLUSIVE
