"""Two revisions in one run: a coin's order, pairs counted by hand, and what the verdict makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.comparison import Comparison, ShareDifference, coin_order, compare
from loadtests.outcomes import Requests
from loadtests.results import summarise
from loadtests.verdict import judge_load, seconds_to_compare
from modelway.contract import Outcome, Slo
from modelway.stats.paired_shares import PairedShares, b_is_worse, difference_interval

SLO = Slo(latency_limit_ms=25, rate_rps=100)
A, B = "m-v1", "m-v2"
FAST, SLOW = 0.010, 0.040


def requests(rows: list[tuple[int, float, int]]) -> Requests:
    """(arm, seconds, status), in the order of being due."""
    arm, took, status = (np.array(column) for column in zip(*rows, strict=True))
    due = np.arange(len(rows)) / 100.0
    return Requests(
        due_s=due,
        ready_s=due,
        sent_s=due,
        ended_s=due + took,
        status=status.astype(np.int64),
        judged=np.ones(len(rows), dtype=np.bool_),
        revision=tuple((A, B)[k] for k in arm),
        error=("",) * len(rows),
        arm=arm.astype(np.int8),
    )


def test_pairs_are_counted_by_what_happened_to_each_side() -> None:
    found = compare(
        requests(
            [
                *((0, FAST, 200), (1, FAST, 200)),
                *((1, SLOW, 200), (0, FAST, 200)),  # B first: only B is slow
                *((1, FAST, 200), (0, SLOW, 200)),
                *((0, SLOW, 200), (1, SLOW, 200)),
                *((0, FAST, 200), (1, 0.001, 503)),  # no latency: counts as failed alone
                *((0, 0.001, 422), (1, 0.001, 422)),  # refused as wrong: left out
                (0, FAST, 200),  # its partner was withdrawn
            ]
        ),
        (A, B),
        SLO,
    )

    assert found.slow.counts == PairedShares(pairs=4, both=1, only_a=1, only_b=1)
    assert found.failed.counts == PairedShares(pairs=5, both=0, only_a=0, only_b=1)
    assert (found.rejected, found.misrouted) == (1, 0)


def test_an_answer_of_another_revision_is_seen() -> None:
    pair = requests([(0, FAST, 200), (1, FAST, 200)])
    strayed = Requests(**{name: getattr(pair, name) for name in Requests.__slots__} | {"revision": (A, A)})

    assert compare(strayed, (A, B), SLO).misrouted == 1


@given(count=st.integers(0, 500), seed=st.integers(0, 10))
def test_each_pair_asks_both_in_an_order_that_the_seed_decides(count: int, seed: int) -> None:
    order = coin_order(count, seed)

    assert order.size == count
    assert (order[: count // 2 * 2].reshape(-1, 2).sum(axis=1) == 1).all()
    assert (order == coin_order(count, seed)).all()


def test_the_coin_is_fair() -> None:
    # 10,000 tosses: 5,000 +- 4 standard deviations of 50
    assert 4_800 < coin_order(20_000, 0)[::2].sum() < 5_200


def difference(pairs: int, *, only_a: int = 0, only_b: int = 0) -> ShareDifference:
    counts = PairedShares(pairs=pairs, only_a=only_a, only_b=only_b)
    low, high = difference_interval(counts)
    return ShareDifference(counts=counts, low=low, high=high, p_worse=b_is_worse(counts))


CLEAN = difference(20_000)


@pytest.mark.parametrize(
    ("slow", "failed", "outcome"),
    [
        pytest.param(CLEAN, CLEAN, Outcome.PASS, id="nothing-bad-in-20000-pairs"),
        pytest.param(difference(764), CLEAN, Outcome.INCONCLUSIVE, id="764-pairs-leave-half-a-percent-open"),
        pytest.param(difference(765), CLEAN, Outcome.PASS, id="765-do-not"),
        pytest.param(difference(2000, only_b=8), CLEAN, Outcome.FAIL, id="eight-to-none-is-no-coin"),
        pytest.param(
            difference(20_000, only_a=50, only_b=52), CLEAN, Outcome.PASS, id="both-alike-on-a-bad-day"
        ),
        pytest.param(CLEAN, difference(20_000, only_b=9), Outcome.FAIL, id="only-b-fails"),
        pytest.param(CLEAN, difference(5_000), Outcome.INCONCLUSIVE, id="too-few-to-say-for-errors"),
        pytest.param(CLEAN, ShareDifference(counts=PairedShares(pairs=0)), Outcome.INCONCLUSIVE, id="none"),
        pytest.param(difference(20_000, only_a=40), CLEAN, Outcome.PASS, id="better-is-not-worse"),
    ],
)
def test_worse_must_be_shown_and_so_must_not_worse(
    slow: ShareDifference, failed: ShareDifference, outcome: Outcome
) -> None:
    assert judged(Comparison(a=A, b=B, slow=slow, failed=failed, misrouted=0, rejected=0)) is outcome


def test_a_comparison_that_strayed_says_nothing() -> None:
    found = Comparison(a=A, b=B, slow=CLEAN, failed=CLEAN, misrouted=1, rejected=0)

    assert judged(found) is Outcome.INCONCLUSIVE


def judged(found: Comparison) -> Outcome:
    good = requests([(k % 2, FAST, 200) for k in range(400)])
    results = summarise(good, SLO, asked_rps=100, duration_s=4.0, cpu_share=0.1)
    return judge_load(results.model_copy(update={"comparison": found}), SLO).outcome


def test_a_promise_of_no_error_at_all_cannot_be_compared() -> None:
    strict = SLO.model_copy(update={"max_error_rate": 0.0})
    good = requests([(k % 2, FAST, 200) for k in range(400)])
    results = summarise(good, strict, asked_rps=100, duration_s=4.0, cpu_share=0.1)
    found = Comparison(a=A, b=B, slow=CLEAN, failed=CLEAN, misrouted=0, rejected=0)

    assert (
        judge_load(results.model_copy(update={"comparison": found}), strict).outcome is Outcome.INCONCLUSIVE
    )


def test_the_default_length_is_enough_for_spotless_answers() -> None:
    # 7,680 clean pairs show an error share less than 0.05 % apart: 15,360 requests, and a quarter more
    assert seconds_to_compare(SLO, 100.0) == pytest.approx(192.0)
    pairs = int(seconds_to_compare(SLO, 100.0) * 100.0 / 2)
    assert difference_interval(PairedShares(pairs=pairs))[1] < 0.0005
