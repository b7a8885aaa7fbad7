from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.rollout.driver import advance, begin
from serving.rollout.plan import Plan
from serving.rollout.state import Deploy, Facts, Phase, Retire, RolloutState, Route
from serving.rollout.target import Observations, Readiness, Routing

START = datetime(2026, 3, 1, tzinfo=UTC)
READY = Readiness(wanted=1, ready=1)
Seen = Callable[..., Observations]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def step(state: RolloutState, plan: Plan, seconds: float, **facts: object) -> RolloutState:
    return advance(state, Facts.model_validate({"at": at(seconds), **facts}), plan)[0]


def shares(v1: int, v2: int) -> Routing:
    return Routing(weights={"v1": v1, "v2": v2})


def at_first_step(plan: Plan) -> RolloutState:
    state = step(begin(plan, START), plan, 1, canary=READY, routing=shares(100, 0))
    return step(state, plan, 2, canary=READY, routing=shares(95, 5))


def test_first_it_asks_for_the_canary_and_leaves_traffic_alone(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()

    state, acts = advance(begin(plan, START), Facts(at=at(0), routing=Routing(weights={"v1": 100})), plan)

    assert state.phase is Phase.DEPLOYING
    assert acts == (Deploy(revision=plan.canary, replicas=1),)


def test_a_ready_canary_gets_the_first_share(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()
    facts = Facts(at=at(1), canary=READY, routing=shares(100, 0))

    state, acts = advance(begin(plan, START), facts, plan)

    assert (state.phase, state.step) == (Phase.STEP, 0)
    assert acts == (Route(weights={"v1": 95, "v2": 5}),)
    assert state.window is None  # counting begins when the share is in effect


def test_counting_begins_when_the_share_is_in_effect(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()

    state = at_first_step(plan)

    assert state.window is not None
    assert state.window.opened_at == at(2)


def test_enough_good_answers_lead_on(make_plan: Callable[..., Plan], seen: Seen) -> None:
    plan = make_plan()

    state = step(
        at_first_step(plan),
        plan,
        3,
        canary=READY,
        routing=shares(95, 5),
        seen={"v1": seen(9500), "v2": seen(500)},
    )

    assert (state.phase, state.step) == (Phase.STEP, 1)
    assert state.window is None
    assert state.timeline[-1].verdict is not None


def test_the_shadow_step_mirrors_and_shares_nothing(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(strategy="shadow-canary")
    facts = Facts(at=at(1), canary=READY, routing=shares(100, 0))

    state, acts = advance(begin(plan, START), facts, plan)

    assert plan.steps[state.step].name == "shadow"
    assert acts == (Route(weights={"v1": 100}, mirror="v2"),)


def test_bad_answers_roll_back_and_the_seconds_to_restore_are_counted_from_the_look_before(
    make_plan: Callable[..., Plan], seen: Seen
) -> None:
    plan = make_plan()
    bad = {"v1": seen(950), "v2": seen(50, errors=25)}

    state = step(
        at_first_step(plan), plan, 3, canary=READY, routing=shares(95, 5), seen={"v1": seen(9), "v2": seen(1)}
    )
    state, acts = advance(state, Facts(at=at(4), canary=READY, routing=shares(95, 5), seen=bad), plan)
    assert state.phase is Phase.ROLLING_BACK
    assert acts == (Route(weights={"v1": 100}),)

    state, acts = advance(state, Facts(at=at(5.5), canary=READY, routing=shares(100, 0)), plan)
    assert acts == (Retire(revision="v2"),)
    assert state.seconds_to_restore == 2.5  # from 3, the last look without a bad answer, to 5.5

    state, acts = advance(state, Facts(at=at(6), routing=Routing(weights={"v1": 100})), plan)
    assert (state.phase, acts) == (Phase.ROLLED_BACK, ())
    assert "25 of 49" in state.cause


def test_silence_is_rolled_back_at_the_deadline_and_not_before(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(step_deadline_s=60)
    state = at_first_step(plan)

    state = step(state, plan, 60, canary=READY, routing=shares(95, 5))
    assert state.phase is Phase.STEP
    state = step(state, plan, 62, canary=READY, routing=shares(95, 5))
    assert state.phase is Phase.ROLLING_BACK
    assert "no verdict within 60 s" in state.cause


@pytest.mark.parametrize("known", [None, Readiness(wanted=2, ready=1, problem="exit code 3")])
def test_a_canary_that_never_gets_ready_is_rolled_back(
    make_plan: Callable[..., Plan], known: Readiness | None
) -> None:
    plan = make_plan(ready_deadline_s=10)

    state = step(begin(plan, START), plan, 9, canary=known)
    assert state.phase is Phase.DEPLOYING
    state = step(state, plan, 11, canary=known)
    assert state.phase is Phase.ROLLING_BACK
    assert "not ready within 10 s" in state.cause


def test_a_canary_that_stops_being_ready_is_not_promoted_and_goes_in_time(
    make_plan: Callable[..., Plan], seen: Seen
) -> None:
    plan = make_plan(ready_deadline_s=10)
    half, good = Readiness(wanted=2, ready=1), {"v1": seen(9500), "v2": seen(500)}

    state = step(at_first_step(plan), plan, 3, canary=half, routing=shares(95, 5), seen=good)
    assert (state.phase, state.step) == (Phase.STEP, 0)
    state = step(state, plan, 14, canary=half, routing=shares(95, 5), seen=good)
    assert state.phase is Phase.ROLLING_BACK


def test_a_crash_loop_is_rolled_back_at_once(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()

    state = step(begin(plan, START), plan, 1, canary=Readiness(wanted=1, ready=0, restarts=3))

    assert state.phase is Phase.ROLLING_BACK


def test_an_abort_restores_and_is_named(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()

    state = step(at_first_step(plan), plan, 3, abort="lunch", routing=shares(95, 5))
    state = step(state, plan, 4, routing=shares(100, 0))
    state = step(state, plan, 5, routing=Routing(weights={"v1": 100}))

    assert state.phase is Phase.ABORTED
    assert state.cause == "aborted: lunch"


@pytest.mark.parametrize(("keep", "gone"), [((), (Retire(revision="v0"),)), (("v0",), ())])
def test_promotion_keeps_the_old_revision_warm_and_lets_older_ones_go_that_nobody_keeps(
    make_plan: Callable[..., Plan], seen: Seen, keep: tuple[str, ...], gone: tuple[Retire, ...]
) -> None:
    plan = make_plan(weights=(100,), keep=keep)
    old = {"v0": 0, "v1": 100, "v2": 0}
    state = step(begin(plan, START), plan, 1, canary=READY, routing=Routing(weights=old))
    now = Routing(weights={"v0": 0, "v1": 0, "v2": 100})
    state = step(state, plan, 2, canary=READY, routing=now)

    facts = Facts(at=at(3), canary=READY, routing=now, seen={"v1": seen(0), "v2": seen(5000)})
    state, acts = advance(state, facts, plan)

    assert state.phase is Phase.PROMOTED
    assert acts == gone


numbers = st.none() | st.integers(0, 3000)
observations = st.builds(
    Observations,
    requests=numbers,
    server_errors=numbers,
    answered=numbers,
    slo_exceeded=numbers,
    rejected=numbers,
)
facts = st.fixed_dictionaries(
    {
        "pause_s": st.floats(0.1, 90),
        "canary": st.none()
        | st.builds(Readiness, wanted=st.just(2), ready=st.integers(0, 2), restarts=st.integers(0, 3)),
        "follows": st.booleans(),
        "seen": st.dictionaries(st.sampled_from(["v1", "v2"]), observations),
        "abort": st.sampled_from(["", "", "", "asked"]),
    }
)


@given(st.lists(facts, max_size=40))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_seen_the_machine_keeps_its_promises(
    make_plan: Callable[..., Plan], looks: list[dict]
) -> None:
    plan = make_plan(strategy="shadow-canary")
    state, routing, now = begin(plan, START), Routing(weights={"v1": 100}), START
    before = state
    for look in looks:
        now += timedelta(seconds=look["pause_s"])
        seen = Facts(at=now, canary=look["canary"], routing=routing, seen=look["seen"], abort=look["abort"])
        state, acts = advance(state, seen, plan)
        again = RolloutState.model_validate_json(state.model_dump_json())
        assert again == state  # what is persisted is what was decided
        assert_promises(before, state, plan, seen)
        if look["follows"]:
            routing = follow(routing, acts)
        before = state


def assert_promises(before: RolloutState, state: RolloutState, plan: Plan, seen: Facts) -> None:
    onward = state.phase is Phase.STEP and before.phase is Phase.STEP and state.step > before.step
    if onward or (state.phase is Phase.PROMOTED and before.phase is not Phase.PROMOTED):
        verdict = state.timeline[-1].verdict
        assert verdict is not None
        assert verdict.passed  # nothing moves on without positive evidence
        assert seen.seen  # of this very look
    assert state.step - before.step in (0, 1)
    if before.phase is Phase.ROLLING_BACK:
        assert state.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED}
    if before.finished:
        assert state == before
    if state.phase in {Phase.ROLLED_BACK, Phase.ABORTED}:
        assert state.restored_at is not None
    late = (seen.at - state.entered_at).total_seconds() > plan.step_deadline_s
    assert not (state.phase is Phase.STEP and late)


def follow(routing: Routing, acts: tuple[object, ...]) -> Routing:
    weights, mirror = dict(routing.weights), routing.mirror
    for act in acts:
        match act:
            case Deploy(revision=revision):
                weights.setdefault(revision.id, 0)
            case Route():
                weights = {**dict.fromkeys(weights, 0), **act.weights}
                mirror = act.mirror
            case Retire(revision=revision):
                weights.pop(revision, None)
    return Routing(weights=weights, mirror=mirror)
