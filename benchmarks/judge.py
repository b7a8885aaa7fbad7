"""How often the rollout judge errs, and how soon it acts, beside two published ways to judge a canary.

    python benchmarks/judge.py [--rollouts 2000] [--rate-rps 200] [--seed 1] [--only A/A]

Each row is so many whole rollouts (5 → 25 → 50 → 100 %): every look brings a Poisson number of requests,
split by weight, each bad with its arm's probability. An A/A row has twice the same revision: whatever is
rolled back there is a false alarm. A sample of each row is replayed through the real driver and must end
alike. Exit code 1: a bound of ours is broken, or driver and arrays disagree.

The rivals (judging/rivals.py) get the same arms and load, 100 s at each of 5, 25 and 50 %.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

# benchmarks/serving.py is not the package of that name: this folder is asked last
sys.path.append(sys.path.pop(sys.path.index(str(Path(__file__).parent))))

from judging.rivals import argo_fails, kayenta_fails, shares
from judging.rollouts import Endings, Traffic, disagreements, run
from judging.rows import ROWS, SLO, Floats, Row

RIVAL_WEIGHTS, RIVAL_STEP_S = (0.05, 0.25, 0.5), 100


def rivals(row: Row, count: int, rate_rps: float, generator: np.random.Generator) -> dict[str, Floats]:
    """Per rival: the step (1 to 3) at which each rollout is rolled back; 0 where it is promoted."""
    traffic = Traffic(row, rate_rps, generator)
    ended = {"Kayenta": np.zeros(count), "Argo": np.zeros(count)}
    for index, weight in enumerate(RIVAL_WEIGHTS):
        blocks = [
            traffic.block(np.full(count, weight), index * RIVAL_STEP_S + second, 1.0)
            for second in range(RIVAL_STEP_S)
        ]
        stable, canary = (np.stack(arm, axis=1) for arm in zip(*blocks, strict=True))
        if row.dark_from_s is not None:
            canary[:, max(0, row.dark_from_s - index * RIVAL_STEP_S) :] = 0.0  # an empty query reads as 0
        for name, failed in _judged(stable, canary).items():
            ended[name][failed & (ended[name] == 0)] = index + 1
    return ended


def _judged(stable: Floats, canary: Floats) -> dict[str, npt.NDArray[np.bool_]]:
    kayenta, argo = np.zeros(len(stable), bool), np.zeros(len(stable), bool)
    for column, limit in ((1, SLO.max_error_rate), (2, SLO.max_exceedance)):
        five = [shares(arm[:, :, column], arm[:, :, 0], 5) for arm in (canary, stable)]
        kayenta |= kayenta_fails(*five)
        argo |= argo_fails(shares(canary[:, :, column], canary[:, :, 0], 10), limit)
    return {"Kayenta": kayenta, "Argo": argo}


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson bound of a share."""
    return 1.0 if events == trials else float(beta.ppf(confidence, events + 1, trials - events))


def wrong_ends(row: Row, ended: Endings) -> int:
    """How many ended as they should not."""
    if row.should == "promote":
        return int((~ended.promoted).sum())
    if row.should == "hold":
        return int((ended.promoted | ended.blamed).sum())
    return int(ended.promoted.sum())


def line(row: Row, ended: Endings, theirs: dict[str, Floats]) -> str:
    """One row of the table."""
    count, wrong = len(ended.promoted), wrong_ends(row, ended)
    late = int((~ended.promoted & ~ended.blamed).sum())
    bad = row.should == "roll back"
    figures = [np.median(ended.took_s), np.median(ended.canary_requests)]
    restored = f"{np.nanmedian(ended.restore_s):9.1f}" if bad else " " * 9
    rolled = " ".join(f"{(steps > 0).mean():8.1%}" for steps in theirs.values())
    return (
        f"{row.name:36} {row.should:9} {wrong / count:7.2%} {upper_bound(wrong, count):7.2%}"
        f" {late / count:6.1%} {figures[0]:6.0f} {figures[1]:8.0f} {restored} {rolled}"
    )


def broken(row: Row, ended: Endings) -> bool:
    """The row's bound does not hold."""
    return row.bound is not None and wrong_ends(row, ended) / len(ended.promoted) > row.bound


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=2000, help="per row")
    parser.add_argument("--rate-rps", type=float, default=200.0, help="offered load, requests per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args(argv)
    print(
        f"{options.rollouts} rollouts a row at {options.rate_rps:g} requests/s; SLO: {SLO.max_error_rate:.1%}"
        f" errors, {SLO.max_exceedance:.0%} slower than {SLO.latency_limit_ms:g} ms\n"
        f"{'row':36} {'should':9} {'wrong':>7} {'95% <':>7} {'late':>6} {'took s':>6} {'requests':>8}"
        f" {'restore s':>9}  rolled back by Kayenta, Argo"
    )
    failures = 0
    for number, row in enumerate(ROWS):
        if options.only not in row.name:
            continue
        generator = np.random.default_rng([options.seed, number])
        ended, tape = run(row, options.rollouts, options.rate_rps, generator)
        differ = disagreements(row, ended, tape)
        print(line(row, ended, rivals(row, options.rollouts, options.rate_rps, generator)), flush=True)
        if differ or broken(row, ended):
            failures += 1
            print(f"  ^ broken: {differ} replayed rollouts differ" if differ else "  ^ the bound is broken")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
