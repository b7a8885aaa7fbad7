"""Options, shapes, schedules and the handing-out of requests: fixed before the first one is sent."""

from pathlib import Path

import numpy as np
import pytest

from loadtests.__main__ import parse
from loadtests.offer import Answer, Offer
from loadtests.options import LoadOptions, make_options, read_slo
from loadtests.outcomes import NEVER_SENT
from loadtests.profiles import PROFILES, Phase, Profile, profile_of
from loadtests.schedule import Schedule, make_schedule
from modelway.contract import Slo
from modelway.errors import ConfigError

SLO = Slo(latency_limit_ms=25, rate_rps=200)


def options(**changes: object) -> LoadOptions:
    given = {"url": "http://127.0.0.1:1", "model": "credit", "rows": "r.parquet", "out": "out", "slo": SLO}
    return make_options(**(given | changes))


def test_the_rate_is_the_slos_unless_said_otherwise() -> None:
    assert options().rate == 200
    assert options(rate_rps=50).rate == 50


def test_too_few_users_to_offer_the_rate_are_refused_with_the_number_needed() -> None:
    # 200 rps of answers that may take 25 ms keep 5 connections busy
    assert options(users=5).user_count == 5
    with pytest.raises(ConfigError, match="at least 5 are needed"):
        options(users=4)


@pytest.mark.parametrize(
    "wrong",
    [{"url": "127.0.0.1"}, {"profile": "heavy"}, {"rate_rps": 0}, {"timeout_s": -1}, {"colour": "red"}],
)
def test_a_wrong_option_is_a_config_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        options(**wrong)


def test_options_survive_the_road_to_the_process(tmp_path: Path) -> None:
    given = options(
        out=tmp_path,
        rate_rps=10,
        duration_s=3,
        key="loan_id",
        columns=("a", "b"),
        once=True,
        arrivals="even",
        seed=7,
    )
    (tmp_path / "slo.yaml").write_text("latency_limit_ms: 25\nrate_rps: 200\n")

    found, stop_on_eof = parse([*given.arguments(), "--stop-on-eof"])

    assert found == given
    assert stop_on_eof


@pytest.mark.parametrize("text", ["", "latency_limit_ms: fast", "rate: 1", "a: [", "\xff"])
def test_an_slo_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "slo.yaml").write_bytes(text.encode("latin-1"))

    with pytest.raises(ConfigError, match="cannot read an SLO"):
        read_slo(tmp_path / "slo.yaml")


def test_a_missing_slo_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read an SLO"):
        read_slo(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.name)
def test_every_profile_offers_rate_times_duration_in_order(profile: Profile) -> None:
    schedule = make_schedule(options(profile=profile.name, duration_s=20, users=None), bodies=1)
    expected = sum(200 * p.factor * p.share * 20 for p in profile.phases)

    assert schedule.due_s.size == pytest.approx(expected, abs=len(profile.phases))
    assert (np.diff(schedule.due_s) >= 0).all()
    assert schedule.due_s[0] >= 0
    assert schedule.due_s[-1] <= 20


def test_overload_on_purpose_is_not_judged() -> None:
    schedule = make_schedule(options(profile="stress", duration_s=14), bodies=1)

    assert schedule.judged.sum() == 400
    assert schedule.due_s[schedule.judged].max() <= 2.0
    assert [span.rate_rps for span in schedule.spans] == [200, 250, 320, 400, 500, 640, 800]


def test_the_same_seed_gives_the_same_arrivals_and_another_gives_others() -> None:
    first, again, other = (make_schedule(options(seed=s), 1).due_s for s in (1, 1, 2))

    assert (first == again).all()
    assert not (first == other).all()


def test_poisson_gaps_scatter_like_an_exponential_and_even_ones_do_not() -> None:
    gaps = np.diff(make_schedule(options(duration_s=50), 1).due_s)
    even = np.diff(make_schedule(options(duration_s=50, arrivals="even"), 1).due_s)

    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.05)
    assert even == pytest.approx(1 / 200)


def test_once_offers_each_body_once_at_the_rate() -> None:
    schedule = make_schedule(options(once=True), bodies=400)

    assert schedule.due_s.size == 400
    assert schedule.duration_s == 2.0


def test_a_profile_must_fill_its_run() -> None:
    with pytest.raises(ValueError, match=r"fill 0\.5"):
        Profile(name="half", description="", duration_s=1, phases=(Phase(name="all", share=0.5, factor=1),))
    with pytest.raises(ConfigError, match="smoke, steady, spike, soak, stress"):
        profile_of("heavy")


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def offer(clock: FakeClock) -> Offer:
    schedule = Schedule(np.array([0.0, 1.0, 2.0, 3.0]), np.ones(4, dtype=np.bool_), 4.0)
    return Offer(schedule, [b"a", b"b"], clock)


def test_nothing_is_due_before_the_start(offer: Offer) -> None:
    assert offer.take() is None


def test_requests_are_handed_out_in_order_and_the_bodies_repeat(offer: Offer, clock: FakeClock) -> None:
    offer.start()
    taken = [offer.take() for _ in range(5)]

    assert [t and (t.body, t.due) for t in taken] == [
        (b"a", 100.0),
        (b"b", 101.0),
        (b"a", 102.0),
        (b"b", 103.0),
        None,
    ]


def test_a_request_taken_late_was_ready_only_then(offer: Offer, clock: FakeClock) -> None:
    offer.start()
    clock.now = 100.5
    late, early = offer.take(), offer.take()

    assert (late.ready, early.ready) == (100.5, 101.0)


def test_the_outcome_keeps_what_was_sent_and_names_what_never_was(offer: Offer, clock: FakeClock) -> None:
    offer.start()
    request = offer.take()
    offer.record(request, 100.1, 100.3, Answer(200, "r1", ""))
    clock.now = 106.0
    requests, duration_s, _ = offer.outcome()

    assert duration_s == 4.0
    assert requests.status.tolist() == [200, NEVER_SENT, NEVER_SENT, NEVER_SENT]
    assert requests.corrected_ms.tolist() == pytest.approx([300.0, 5000.0, 4000.0, 3000.0])
    assert requests.revision[0] == "r1"
    assert "never sent" in requests.error[1]


def test_a_stop_before_the_start_sends_nothing(offer: Offer, clock: FakeClock) -> None:
    offer.stop()
    offer.start()
    clock.now = 102.5
    requests, duration_s, _ = offer.outcome()

    assert offer.take() is None
    assert offer.exhausted
    assert requests.status.size == 0
    assert duration_s == 0.0


def test_a_stop_withdraws_what_is_not_due_yet(offer: Offer, clock: FakeClock) -> None:
    offer.start()
    first, second = offer.take(), offer.take()
    offer.record(first, 100.0, 100.1, Answer(200, "", ""))
    clock.now = 100.5
    offer.stop()
    requests, duration_s, _ = offer.outcome()

    assert offer.take() is None
    assert offer.withdrawn(second)
    assert not offer.withdrawn(first)
    assert requests.status.tolist() == [200]
    assert duration_s == 0.5
