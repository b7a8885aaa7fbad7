import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from modelway.contract import Outcome
from modelway.data.leaks import ColumnPower, column_powers, leak_reasons, suspicious

ROWS = 20_000


@pytest.fixture
def table() -> pl.DataFrame:
    random = np.random.default_rng(3)
    label = random.random(ROWS) < 0.2
    return pl.DataFrame(
        {
            "label": label.astype(np.int8),
            "noise": random.normal(size=ROWS),
            "hint": random.normal(size=ROWS) + 0.8 * label,
            # Months until the end: 60, 84 or 120 as agreed, anything in between when it ended early.
            "term": np.where(label, random.integers(1, 120, ROWS), random.choice([60, 84, 120], ROWS)),
            "ended": np.where(label, "early", "as agreed"),
            "empty": pl.Series([None] * ROWS, dtype=pl.Float64),
            "serial": [f"N{n}" for n in range(ROWS)],
        }
    )


def _powers(table: pl.DataFrame) -> dict[str, float]:
    names = [name for name in table.columns if name != "label"]
    return {power.column: power.roc_auc for power in column_powers(table, names, "label")}


def test_a_leak_without_a_monotone_relation_is_seen(table) -> None:
    ranks = roc_auc_score(table["label"], -table["term"])
    powers = _powers(table)

    assert ranks < 0.85
    assert powers["term"] > 0.9
    assert powers["ended"] > 0.99


def test_honest_columns_and_noise_are_not_taken_for_leaks(table) -> None:
    powers = _powers(table)

    assert 0.65 < powers["hint"] < 0.75
    assert all(abs(powers[name] - 0.5) < 0.06 for name in ("noise", "empty", "serial"))


def test_the_power_of_a_monotone_column_agrees_with_its_plain_roc_auc(table) -> None:
    assert _powers(table)["hint"] == pytest.approx(roc_auc_score(table["label"], table["hint"]), abs=0.02)


def test_too_few_positives_are_no_evidence(table) -> None:
    few = table.with_columns(label=(pl.int_range(pl.len()) < 29).cast(pl.Int8))

    assert column_powers(few, ["term"], "label") == ()
    reasons = leak_reasons((), forbidden=(), explained={})
    assert [r.outcome for r in reasons] == [Outcome.INCONCLUSIVE]


def _power(column: str, roc_auc: float) -> ColumnPower:
    return ColumnPower(column, roc_auc, 1_000)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        pytest.param(0.95, 0.94, ["a", "b"], id="both-too-good"),
        pytest.param(0.85, 0.60, ["a"], id="far-above-the-runner-up"),
        pytest.param(0.85, 0.80, [], id="good-among-good"),
        pytest.param(0.79, 0.51, [], id="far-above-but-not-strong"),
    ],
)
def test_what_is_suspicious(first, second, found) -> None:
    assert [p.column for p in suspicious((_power("a", first), _power("b", second)))] == found


@pytest.mark.parametrize(
    ("forbidden", "explained", "outcome"),
    [
        pytest.param((), {}, Outcome.FAIL, id="neither-forbidden-nor-explained"),
        pytest.param(("a",), {}, Outcome.PASS, id="forbidden"),
        pytest.param((), {"a": "measured before"}, Outcome.PASS, id="explained"),
    ],
)
def test_a_suspicious_column_must_be_forbidden_or_explained(forbidden, explained, outcome) -> None:
    reasons = leak_reasons((_power("a", 0.97), _power("b", 0.6)), forbidden=forbidden, explained=explained)

    assert reasons[0].outcome is outcome
    assert "a alone reaches ROC-AUC 0.97" in reasons[0].message
