"""Rows that stand on both sides of the split: what was learnt by heart is then taken for foresight."""

import polars as pl
from scipy.stats import binom

from modelway.contract import Outcome, Reason

MAX_EXTRA_SHARE = 0.02
"""How many more of the test rows than is natural may have a twin among the train rows."""
SURE = 0.001


def subject_reason(train: pl.DataFrame, test: pl.DataFrame, key: str) -> Reason:
    """Whether a subject of the test rows was learnt from: one loan, one card, one row.

    Args:
        train: All rows that decided anything about the model.
        test: The held-out rows.
        key: Column that names the row's subject.
    """
    both = test.select(key).unique().join(train.select(key).unique(), on=key, how="semi").height
    text = (
        f"{both:,} subjects of the test rows stand among the train rows too" if both else "no subject in both"
    )
    outcome = Outcome.FAIL if both else Outcome.PASS
    return Reason(
        metric="duplicates: subjects", outcome=outcome, message=text, found=both, limit=0, samples=test.height
    )


def twin_reason(train: pl.DataFrame, test: pl.DataFrame, features: list[str]) -> Reason:
    """Whether more test rows than is natural equal a train row in every feature and the label.

    Tables of few distinct values have twins by nature. How many is read off the train rows: the newest
    third against the older rest, oldest first.

    Args:
        train: Sorted by time, with the features and `label`.
        test: The same columns.
        features: Names of the features.
    """
    columns = [*features, "label"]
    natural, rows = _twins(train.head(train.height * 2 // 3), train.tail(train.height // 3), columns)
    found, of = _twins(train, test, columns)
    if not rows or not of:
        return Reason(
            metric="duplicates: twins", outcome=Outcome.INCONCLUSIVE, message="too few rows to look for twins"
        )
    usual = min(1.0, (natural + 1) / (rows + 1) + MAX_EXTRA_SHARE)
    too_many = float(binom.sf(found - 1, of, usual)) < SURE
    return Reason(
        metric="duplicates: twins",
        outcome=Outcome.FAIL if too_many else Outcome.PASS,
        message=f"{found / of:.1%} of the test rows equal a train row in everything, "
        f"{natural / rows:.1%} is natural here",
        found=found / of,
        limit=usual,
        samples=of,
    )


def _twins(older: pl.DataFrame, newer: pl.DataFrame, columns: list[str]) -> tuple[int, int]:
    """Rows of `newer` with an equal in `older`, and how many there are."""
    known = older.select(columns).unique()
    twins = newer.select(columns).join(known, on=columns, how="semi", nulls_equal=True)
    return twins.height, newer.height
