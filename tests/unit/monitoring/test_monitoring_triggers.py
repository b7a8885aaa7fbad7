"""When to train again, as a table."""

from datetime import UTC, datetime, timedelta

import pytest

from modelway.contract import Outcome, Reason, Verdict
from modelway.monitoring.policy import RetrainPolicy
from modelway.monitoring.triggers import Cause, Cycle, Signals, should_retrain

NOW = datetime(2007, 1, 1, tzinfo=UTC)
POLICY = RetrainPolicy(max_age_days=365, min_new_matured_share=0.5, min_gap_days=30)


def said(outcome: Outcome) -> Verdict:
    return Verdict.of([Reason(metric="m", outcome=outcome, message="because")])


WELL, BAD, UNCLEAR = said(Outcome.PASS), said(Outcome.FAIL), said(Outcome.INCONCLUSIVE)


def signals(**changes: object) -> Signals:
    """A champion of 100 days with every signal quiet, but for `changes`."""
    quiet = {
        "as_of": NOW,
        "drift": WELL,
        "performance": WELL,
        "champion_as_of": NOW - timedelta(days=100),
        "new_matured_rows": 10,
        "training_rows": 1000,
    }
    return Signals.model_validate(quiet | changes)


@pytest.mark.parametrize(
    ("changes", "causes", "outcome"),
    [
        pytest.param({}, (), Outcome.PASS, id="all-quiet"),
        pytest.param({"drift": BAD}, (Cause.DRIFT,), Outcome.FAIL, id="drift"),
        pytest.param({"performance": BAD}, (Cause.DECAY,), Outcome.FAIL, id="decay"),
        pytest.param({"champion_as_of": NOW - timedelta(days=365)}, (), Outcome.PASS, id="not-yet-too-old"),
        pytest.param({"champion_as_of": NOW - timedelta(days=366)}, (Cause.AGE,), Outcome.FAIL, id="too-old"),
        pytest.param({"new_matured_rows": 499}, (), Outcome.PASS, id="not-yet-enough-new-data"),
        pytest.param({"new_matured_rows": 500}, (Cause.NEW_DATA,), Outcome.FAIL, id="enough-new-data"),
        pytest.param(
            {"drift": BAD, "performance": BAD},
            (Cause.DRIFT, Cause.DECAY),
            Outcome.FAIL,
            id="every-cause-is-named",
        ),
        pytest.param({"drift": None}, (), Outcome.INCONCLUSIVE, id="drift-not-measured-is-no-all-clear"),
        pytest.param({"drift": UNCLEAR}, (), Outcome.INCONCLUSIVE, id="unclear-drift-is-no-all-clear"),
        pytest.param({"performance": None}, (), Outcome.INCONCLUSIVE, id="no-matured-label-is-no-all-clear"),
        pytest.param({"training_rows": None}, (), Outcome.INCONCLUSIVE, id="volume-not-known"),
        pytest.param({"training_rows": 0}, (), Outcome.INCONCLUSIVE, id="volume-without-a-measure"),
        pytest.param({"champion_as_of": None}, (), Outcome.INCONCLUSIVE, id="age-not-known"),
        pytest.param(
            {
                "drift": None,
                "performance": None,
                "training_rows": None,
                "champion_as_of": NOW - timedelta(days=400),
            },
            (Cause.AGE,),
            Outcome.FAIL,
            id="age-fires-when-all-else-is-dark",
        ),
        pytest.param(
            {"drift": UNCLEAR, "performance": BAD}, (Cause.DECAY,), Outcome.FAIL, id="bad-beats-unclear"
        ),
    ],
)
def test_what_asks_for_a_new_model(
    changes: dict[str, object], causes: tuple[Cause, ...], outcome: Outcome
) -> None:
    decision = should_retrain(signals(**changes), POLICY)

    assert decision.causes == causes
    assert decision.verdict.outcome is outcome
    assert decision.retrain is bool(causes)
    assert [r.metric for r in decision.reasons] == ["drift", "decay", "age", "new_data"]


def _past(days: int, *asked: Cause, retrained: bool = False) -> Cycle:
    return Cycle(as_of=NOW - timedelta(days=days), asked=asked, retrained=retrained)


@pytest.mark.parametrize(
    ("days_since", "retrain"),
    [pytest.param(29, False, id="too-soon"), pytest.param(30, True, id="long-enough-ago")],
)
def test_a_cycle_that_just_trained_holds_the_next_one_back(days_since: int, retrain: bool) -> None:
    history = [_past(days_since, Cause.DRIFT, retrained=True), _past(60), _past(10)]

    decision = should_retrain(signals(drift=BAD), POLICY, history)

    assert decision.retrain is retrain
    assert (decision.held_back is None) is retrain
    assert decision.causes == (Cause.DRIFT,)
    assert decision.verdict.outcome is Outcome.FAIL


def test_nothing_is_held_back_when_nothing_asks() -> None:
    assert should_retrain(signals(), POLICY, [_past(1, retrained=True)]).held_back is None


DEBOUNCED = RetrainPolicy(needed=2, recent=3, min_gap_days=0)


@pytest.mark.parametrize(
    ("history", "retrain"),
    [
        pytest.param([], False, id="seen-once"),
        pytest.param([_past(1)], False, id="quiet-before"),
        pytest.param([_past(2, Cause.DRIFT), _past(1)], True, id="seen-two-looks-ago"),
        pytest.param([_past(1), _past(2, Cause.DRIFT)], True, id="whatever-the-order-of-the-history"),
        pytest.param([_past(3, Cause.DRIFT), _past(2), _past(1)], False, id="too-long-ago"),
        pytest.param([_past(1, Cause.DECAY)], False, id="another-cause-does-not-confirm"),
        pytest.param([_past(-5, Cause.DRIFT)], False, id="a-look-from-the-future-does-not-count"),
    ],
)
def test_drift_must_be_seen_twice_in_three_looks_when_told_so(history: list[Cycle], retrain: bool) -> None:
    decision = should_retrain(signals(drift=BAD), DEBOUNCED, history)

    assert decision.retrain is retrain
    assert decision.seen == (Cause.DRIFT,)
    assert decision.verdict.outcome is (Outcome.FAIL if retrain else Outcome.INCONCLUSIVE)


def test_age_needs_no_confirmation() -> None:
    assert should_retrain(signals(champion_as_of=NOW - timedelta(days=900)), DEBOUNCED).retrain


def test_a_decision_remembers_what_it_saw_for_the_next_look() -> None:
    decision = should_retrain(signals(drift=BAD), DEBOUNCED)
    again = should_retrain(
        signals(drift=BAD, as_of=NOW + timedelta(days=1)), DEBOUNCED, [decision.cycle(retrained=False)]
    )

    assert again.retrain


def test_the_cause_carries_the_reason_that_was_given() -> None:
    reasons = [Reason(metric=f"drift: c{k}", outcome=Outcome.FAIL, message="drifted") for k in range(5)]

    decision = should_retrain(signals(drift=Verdict.of(reasons)), POLICY)

    assert decision.reasons[0].message == ("c0: drifted; c1: drifted; c2: drifted; and 2 more")
