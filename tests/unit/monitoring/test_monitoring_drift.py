"""Drift: quiet when nothing changed, loud when it matters, silent on what it cannot see."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from modelway.bundle.signature import Input
from modelway.contract import Outcome
from modelway.errors import ContractError
from modelway.monitoring.drift import measure_drift
from modelway.monitoring.policy import DriftPolicy

NUMERIC, CATEGORIES = 24, 6
INPUTS = tuple(Input(name=f"x{j}", kind="numeric") for j in range(NUMERIC)) + tuple(
    Input(name=f"c{j}", kind="category", vocabulary=tuple("abcdef")) for j in range(CATEGORIES)
)
SHARES = [0.5, 0.2, 0.15, 0.1, 0.04, 0.01]


def wide(
    draw: np.random.Generator, rows: int, shift: float = 0.0, score: str = "_probability"
) -> pl.DataFrame:
    """30 columns as in the design's measurement; `shift` moves the first one, in standard deviations."""
    x = draw.normal(size=(rows, NUMERIC))
    x[:, 12:18] = np.exp(x[:, 12:18])
    x[:, 0] += shift
    frame = {f"x{j}": x[:, j].astype(np.float32) for j in range(NUMERIC)}
    frame |= {f"c{j}": draw.choice(6, rows, p=SHARES).astype(np.float32) for j in range(CATEGORIES)}
    return pl.DataFrame(frame | {score: draw.beta(1, 9, rows).astype(np.float32)})


@pytest.fixture(scope="module")
def wide_reference() -> pl.DataFrame:
    return wide(np.random.default_rng(1), 5000, score="probability")


def test_nothing_changed_and_nothing_alarms_in_fifteen_looks(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(2)

    reports = [measure_drift(wide_reference, [wide(draw, 500) for _ in range(3)], INPUTS) for _ in range(15)]

    assert [r.drifted for r in reports] == [()] * 15
    assert {r.verdict.outcome for r in reports} == {Outcome.PASS}


def test_a_shift_of_three_tenths_in_one_column_of_thirty_is_found_every_time(
    wide_reference: pl.DataFrame,
) -> None:
    draw = np.random.default_rng(3)

    reports = [
        measure_drift(wide_reference, [wide(draw, 3000, shift=0.3) for _ in range(3)], INPUTS)
        for _ in range(5)
    ]

    assert [r.drifted for r in reports] == [("x0",)] * 5
    assert {r.verdict.outcome for r in reports} == {Outcome.FAIL}


def test_a_difference_too_small_to_matter_does_not_alarm_however_sure(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(4)

    report = measure_drift(wide_reference, [wide(draw, 30_000, shift=0.15) for _ in range(3)], INPUTS)
    moved = next(c for c in report.columns if c.name == "x0")

    assert max(d.adjusted_p for d in moved.differences) < 1e-6
    assert report.verdict.outcome is Outcome.PASS
    assert moved.warning
    assert [r.metric for r in report.verdict.reasons] == ["drift: x0"]


def _alarms(reference: pl.DataFrame, shifts: Sequence[float], rows: Sequence[int]) -> Outcome:
    draw = np.random.default_rng(5)
    windows = [wide(draw, n, shift=s) for s, n in zip(shifts, rows, strict=True)]
    return measure_drift(reference, windows, INPUTS).verdict.outcome


@pytest.mark.parametrize(
    ("shifts", "rows", "expected"),
    [
        pytest.param([0, 0, 1], [1000] * 3, Outcome.PASS, id="one-window-is-not-enough"),
        pytest.param([1, 0, 1], [1000] * 3, Outcome.FAIL, id="two-of-three-are"),
        pytest.param([1, 1, 0, 0, 0], [1000] * 5, Outcome.PASS, id="old-windows-are-forgotten"),
        pytest.param(
            [0, 0, 0], [1000, 1000, 10], Outcome.PASS, id="one-unseen-window-cannot-tip-two-quiet-ones"
        ),
        pytest.param(
            [0, 1, 0], [1000, 1000, 10], Outcome.INCONCLUSIVE, id="one-unseen-window-could-tip-one-hit"
        ),
        pytest.param([1, 1, 0], [1000, 1000, 10], Outcome.FAIL, id="an-alarm-needs-no-third-window"),
        pytest.param([0, 0, 0], [10, 1000, 10], Outcome.INCONCLUSIVE, id="two-unseen-windows-clear-nothing"),
        pytest.param([0], [1000], Outcome.INCONCLUSIVE, id="one-window-in-all"),
        pytest.param([0, 0, 0], [0, 0, 0], Outcome.INCONCLUSIVE, id="no-rows"),
    ],
)
def test_two_of_the_last_three_windows(
    wide_reference: pl.DataFrame, shifts: list[float], rows: list[int], expected: Outcome
) -> None:
    assert _alarms(wide_reference, shifts, rows) is expected


def test_no_window_at_all_is_inconclusive(wide_reference: pl.DataFrame) -> None:
    assert measure_drift(wide_reference, [], INPUTS).verdict.outcome is Outcome.INCONCLUSIVE


def test_too_small_a_reference_clears_nothing(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(6)

    report = measure_drift(wide_reference.head(50), [wide(draw, 500) for _ in range(3)], INPUTS)

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert not any(w.tested for w in report.windows)


def test_values_that_go_missing_are_found_by_name(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(7)
    lost = pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise(pl.col("x3")).alias("x3")

    report = measure_drift(wide_reference, [wide(draw, 1000).with_columns(lost) for _ in range(3)], INPUTS)

    assert report.drifted == ("x3 is missing",)


def test_a_column_that_vanishes_whole_is_found(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(8)
    gone = pl.lit(float("nan"), pl.Float32).alias("x3")

    report = measure_drift(wide_reference, [wide(draw, 1000).with_columns(gone) for _ in range(3)], INPUTS)

    assert report.drifted == ("x3 is missing",)


def test_unknown_categories_are_a_level_of_their_own(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(9)
    unknown = pl.when(pl.int_range(pl.len()) % 5 == 0).then(float("nan")).otherwise(pl.col("c0")).alias("c0")

    report = measure_drift(wide_reference, [wide(draw, 1000).with_columns(unknown) for _ in range(3)], INPUTS)
    found = next(c for c in report.columns if c.name == "c0")

    assert report.drifted == ("c0",)
    assert found.differences[-1].effect == pytest.approx(0.2, abs=0.03)


def test_the_models_own_answers_are_watched_too(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(10)
    higher = (pl.col("_probability") + 0.1).alias("_probability")

    report = measure_drift(wide_reference, [wide(draw, 1000).with_columns(higher) for _ in range(3)], INPUTS)

    assert report.drifted == ("probability (the model's answer)",)


def test_a_column_empty_on_both_sides_does_not_hide_the_others(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(11)
    empty = pl.lit(float("nan"), pl.Float32).alias("x3")

    report = measure_drift(
        wide_reference.with_columns(empty), [wide(draw, 1000).with_columns(empty) for _ in range(3)], INPUTS
    )

    assert report.verdict.outcome is Outcome.PASS


def test_a_window_without_a_column_of_the_signature_is_refused(wide_reference: pl.DataFrame) -> None:
    with pytest.raises(ContractError, match="lacks x7"):
        measure_drift(wide_reference, [wide(np.random.default_rng(1), 10).drop("x7")], INPUTS)


def test_the_policy_decides_how_many_windows_are_enough(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(12)
    policy = DriftPolicy(needed=1, recent=1)

    report = measure_drift(wide_reference, [wide(draw, 1000, shift=1.0)], INPUTS, policy)

    assert report.drifted == ("x0",)


def answered_by_rule(frame: pl.DataFrame, share: float, score: float = 0.9) -> pl.DataFrame:
    """The first rows of a window as the fallback rule would have answered them."""
    by_rule = pl.int_range(pl.len()) < round(share * frame.height)
    return frame.with_columns(
        pl.when(by_rule).then(pl.lit(score, pl.Float32)).otherwise("_probability").alias("_probability"),
        pl.when(by_rule).then(pl.lit("model")).alias("_fallback"),
    )


def test_answers_of_the_fallback_rule_are_no_drift_of_the_models(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(13)
    windows = [answered_by_rule(wide(draw, 1000), 0.4) for _ in range(3)]

    report = measure_drift(wide_reference, windows, INPUTS)

    assert report.drifted == ()
    assert [w.fallback_rows for w in report.windows] == [400] * 3
    own = [window.filter(pl.col("_fallback").is_null()) for window in windows]
    score, alone = (measure_drift(wide_reference, each, INPUTS).columns[0] for each in (windows, own))
    assert [d.effect for d in score.differences] == [d.effect for d in alone.differences]


@pytest.mark.parametrize(
    ("shares", "rows", "expected", "told"),
    [
        pytest.param([0.04] * 3, [1000] * 3, Outcome.PASS, [0.04], id="few"),
        pytest.param([0, 0, 0.06], [1000] * 3, Outcome.INCONCLUSIVE, [0.06], id="too-many-in-one-window"),
        pytest.param([0.5, 0, 0, 0], [1000] * 4, Outcome.PASS, [], id="long-ago"),
        pytest.param([0, 0, 1], [1000, 1000, 10], Outcome.PASS, [10 / 2010], id="all-of-hardly-any"),
        pytest.param([1, 1, 1], [1000] * 3, Outcome.INCONCLUSIVE, [1.0], id="all"),
    ],
)
def test_too_many_answers_of_the_rule_clear_nothing_and_their_share_is_told(
    wide_reference: pl.DataFrame, shares: list[float], rows: list[int], expected: Outcome, told: list[float]
) -> None:
    draw = np.random.default_rng(14)
    windows = [answered_by_rule(wide(draw, n), share) for n, share in zip(rows, shares, strict=True)]

    verdict = measure_drift(wide_reference, windows, INPUTS).verdict

    assert verdict.outcome is expected
    assert [r.found for r in verdict.reasons if r.metric == "fallback answers"] == told


def test_inputs_of_rows_that_the_rule_answered_still_count(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(15)
    moved = (pl.col("x0") + pl.when(pl.col("_fallback").is_not_null()).then(3).otherwise(0)).alias("x0")

    report = measure_drift(
        wide_reference,
        [answered_by_rule(wide(draw, 1000), 0.3).with_columns(moved) for _ in range(3)],
        INPUTS,
    )

    assert report.drifted == ("x0",)


def test_a_score_that_the_model_hardly_gave_is_not_cleared(wide_reference: pl.DataFrame) -> None:
    draw = np.random.default_rng(16)

    report = measure_drift(
        wide_reference, [answered_by_rule(wide(draw, 1000), 0.9) for _ in range(3)], INPUTS
    )

    score, *inputs = report.columns
    assert (score.kind, score.outcome, score.differences) == ("score", Outcome.INCONCLUSIVE, (None,) * 3)
    assert {column.outcome for column in inputs} == {Outcome.PASS}
    assert "0 of the last 3 windows" in next(r.message for r in report.verdict.reasons if r.metric == "drift")
