"""What one step of a rollout has shown so far: totals of both arms and the bets on them. Pure."""

from modelway.contract import Frozen
from modelway.stats.sequential import Bets, Counts, bet_above, bet_worse
from serving.rollout.plan import PROMISED, Limits, Metric
from serving.rollout.sights import Pairs
from serving.rollout.target import Observations


class Tally(Frozen):
    """One metric: both arms' totals, the last look's increment, and the wealth of each bet."""

    stable: Counts = Counts()
    canary: Counts = Counts()
    known: bool = False
    """The canary's counts were readable at the last look."""
    last: Counts = Counts()
    """What the canary added at the last look."""
    last_stable: Counts = Counts()
    """What the stable arm added at the last look."""
    canary_over: Bets = Bets()
    """Against "the canary keeps the step's limit"."""
    worse: Bets = Bets()
    """Against "the canary is at most a margin worse than the stable arm"."""
    paired_stable: Counts = Counts()
    paired_canary: Counts = Counts()
    """Totals at the last look that saw both arms: a block counts both over the same time."""


class Evidence(Frozen):
    """All metrics of one step."""

    tallies: dict[Metric, Tally] = {metric: Tally() for metric in Metric}  # noqa: RUF012 - pydantic copies it
    invalid_outputs: int | None = None
    pairs: Pairs | None = None
    """Answers to the same requests; None where they are not compared or not known."""


def counts_of(seen: Observations | None, metric: Metric) -> Counts | None:
    """The trials and events that a metric counts; None when either is not known."""
    if seen is None:
        return None
    trials, events = {
        Metric.ERRORS: (seen.requests, seen.server_errors),
        Metric.SLOW: (seen.answered, seen.slo_exceeded),
        Metric.REJECTED: (seen.requests, seen.rejected),
    }[metric]
    if trials is None or events is None:
        return None
    return Counts(trials=trials + (events if metric is Metric.REJECTED else 0), events=events)


def weigh(
    evidence: Evidence,
    stable: Observations | None,
    canary: Observations | None,
    limits: Limits,
    pairs: Pairs | None = None,
) -> Evidence:
    """Add one look: totals since the window opened, as each arm reports them now.

    Totals never run backwards: a smaller one than before, which two counters read at different moments
    can give, adds nothing.
    """
    return Evidence(
        tallies={
            metric: _add(tally, metric, counts_of(stable, metric), counts_of(canary, metric), limits)
            for metric, tally in evidence.tallies.items()
        },
        invalid_outputs=canary.invalid_outputs if canary else None,
        pairs=pairs,
    )


def _add(tally: Tally, metric: Metric, stable: Counts | None, canary: Counts | None, limits: Limits) -> Tally:
    stable_block, canary_block = _since(tally.stable, stable), _since(tally.canary, canary)
    moved = tally.model_copy(
        update={
            "stable": tally.stable + stable_block,
            "canary": tally.canary + canary_block,
            "known": canary is not None,
            "last": canary_block,
            "last_stable": stable_block,
        }
    )
    if metric in PROMISED:
        over = bet_above(tally.canary_over, limits.rates[metric], canary_block)
        moved = moved.model_copy(update={"canary_over": over})
    return moved if stable is None or canary is None else _compare(moved, limits.margins[metric])


def _compare(tally: Tally, margin: float) -> Tally:
    """Settle the two-sample bet once both arms have answered since the last such block."""
    stable = _since(tally.paired_stable, tally.stable)
    canary = _since(tally.paired_canary, tally.canary)
    if not (stable.trials and canary.trials):
        return tally
    return tally.model_copy(
        update={
            "worse": bet_worse(tally.worse, margin, tally.paired_stable, stable, canary),
            "paired_stable": tally.stable,
            "paired_canary": tally.canary,
        }
    )


def _since(before: Counts, now: Counts | None) -> Counts:
    if now is None:
        return Counts()
    events = max(0, now.events - before.events)
    return Counts(trials=max(events, now.trials - before.trials), events=events)
