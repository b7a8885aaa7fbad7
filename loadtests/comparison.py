"""Two revisions under the same load: every body goes to both, in an order that a coin decides."""

import numpy as np
import numpy.typing as npt

from loadtests.outcomes import Flags, Requests
from modelway.contract import Frozen, Slo
from modelway.stats.paired_shares import PairedShares, b_is_worse, difference_interval


class ShareDifference(Frozen):
    """One kind of bad answer, revision B against revision A."""

    counts: PairedShares
    low: float | None = None
    """95% interval of B's share less A's; None without a pair."""
    high: float | None = None
    p_worse: float = 1.0
    """Chance of so many pairs that only B got wrong, if both were alike."""


class Comparison(Frozen):
    """What the pairs showed."""

    a: str
    b: str
    slow: ShareDifference
    """Slower than the SLO's limit, of the pairs in which both have a latency."""
    failed: ShareDifference
    misrouted: int
    """Answers of another revision than the one that was asked."""
    rejected: int
    """Pairs left out because a request was refused as wrong."""


def coin_order(requests: int, seed: int) -> npt.NDArray[np.int8]:
    """Which revision each request asks: pair by pair one of each, in random order."""
    coins = np.random.default_rng([seed, 2]).integers(0, 2, size=(requests + 1) // 2)
    return np.column_stack((coins, 1 - coins)).ravel()[:requests].astype(np.int8)


def compare(requests: Requests, revisions: tuple[str, str], slo: Slo) -> Comparison:
    """Count the pairs. A request whose partner was withdrawn is left out."""
    pairs = requests.status.size // 2
    arm = np.zeros(2 * pairs, dtype=np.int8) if requests.arm is None else requests.arm[: 2 * pairs]
    order = np.argsort(arm.reshape(-1, 2), axis=1)

    def sides(flags: Flags) -> tuple[Flags, Flags]:
        both = np.take_along_axis(flags[: 2 * pairs].reshape(-1, 2), order, axis=1)
        return both[:, 0], both[:, 1]

    rejected = np.logical_or(*sides(requests.rejected))
    timed = np.logical_and(*sides(requests.timed(slo.latency_limit_ms)))
    slow = sides(requests.by_server_ms > slo.latency_limit_ms)
    return Comparison(
        a=revisions[0],
        b=revisions[1],
        slow=_difference(*slow, chosen=timed & ~rejected),
        failed=_difference(*sides(requests.failed), chosen=~rejected),
        misrouted=_misrouted(requests, revisions),
        rejected=int(rejected.sum()),
    )


def _difference(of_a: Flags, of_b: Flags, *, chosen: Flags) -> ShareDifference:
    a, b = of_a[chosen], of_b[chosen]
    counts = PairedShares(
        pairs=int(chosen.sum()),
        both=int((a & b).sum()),
        only_a=int((a & ~b).sum()),
        only_b=int((~a & b).sum()),
    )
    if not counts.pairs:
        return ShareDifference(counts=counts)
    low, high = difference_interval(counts)
    return ShareDifference(counts=counts, low=low, high=high, p_worse=b_is_worse(counts))


def _misrouted(requests: Requests, revisions: tuple[str, str]) -> int:
    """Only an answer says who gave it: where none came, nothing is known, and the failure counts."""
    arms = [] if requests.arm is None else requests.arm.tolist()
    answered = (requests.status > 0).tolist()
    asked = zip(arms, requests.revision, answered, strict=False)
    return sum(1 for arm, revision, came in asked if came and revision != revisions[arm])
