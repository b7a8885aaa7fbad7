"""What the arms of an a-b test have shown so far, and what follows. Pure.

Per challenger two bets run on the pre-registered metric: against "no better than the control", and
against "better by at least the effect". The first one won makes a winner, once the arm is also shown to
keep the SLO; the second one won by all challengers says that no difference worth having exists.
"""

from collections.abc import Mapping
from enum import StrEnum

from modelway.contract import Frozen, Verdict
from modelway.stats.difference import bet_better, bet_level
from modelway.stats.sequential import Bets, Counts
from serving.rollout.evidence import Evidence
from serving.rollout.experiment import Experiment
from serving.rollout.sights import Slot
from serving.rollout.strategies import FULL
from serving.rollout.target import RevisionId


class Conclusion(StrEnum):
    """What an a-b test found."""

    WINNER = "winner"
    NO_DIFFERENCE = "no difference"
    INCONCLUSIVE = "inconclusive"


class ArmTrial(Frozen):
    """One challenger: its guardrail and its bets."""

    guard: Evidence = Evidence()
    verdict: Verdict | None = None
    """The guardrail's last word."""
    dropped: str = ""
    """Why it lost its traffic; empty while it has some."""
    rewarded: Counts = Counts()
    paired: Counts = Counts()
    """Totals at the last block that counted both, this arm's …"""
    paired_control: Counts = Counts()
    """… and the control's."""
    better: Bets = Bets()
    level: Bets = Bets()


class Trial(Frozen):
    """All arms of an a-b test."""

    arms: dict[RevisionId, ArmTrial]
    control: Counts = Counts()
    winner: RevisionId | None = None
    conclusion: Conclusion | None = None

    @property
    def alive(self) -> dict[RevisionId, ArmTrial]:
        """Challengers that still have traffic."""
        return {name: arm for name, arm in self.arms.items() if not arm.dropped}


def slots(experiment: Experiment, trial: Trial, stable: RevisionId) -> tuple[Slot, ...]:
    """Who serves which stretch of the keys.

    The stretches never move: a dropped challenger's keys go to the control, everybody else's stay.
    """
    rest = FULL - experiment.percent * len(trial.arms)
    own = (
        Slot(revision=stable if arm.dropped else name, percent=experiment.percent)
        for name, arm in trial.arms.items()
    )
    return (Slot(revision=stable, percent=rest), *own)


def shares(cut: tuple[Slot, ...]) -> dict[RevisionId, int]:
    """Percent per revision."""
    sums: dict[RevisionId, int] = {}
    for slot in cut:
        sums[slot.revision] = sums.get(slot.revision, 0) + slot.percent
    return sums


def reward(trial: Trial, totals: Mapping[RevisionId, Counts], stable: RevisionId, effect: float) -> Trial:
    """Add one look at the rewards: totals per arm since the test began."""
    control = _not_less(trial.control, totals.get(stable))
    arms = {
        name: arm if arm.dropped else _settle(arm, control, totals.get(name), effect)
        for name, arm in trial.arms.items()
    }
    return trial.model_copy(update={"control": control, "arms": arms})


def _settle(arm: ArmTrial, control: Counts, total: Counts | None, effect: float) -> ArmTrial:
    now = _not_less(arm.rewarded, total)
    block, other = _since(arm.paired, now), _since(arm.paired_control, control)
    if not (block.trials and other.trials):
        return arm.model_copy(update={"rewarded": now})
    return arm.model_copy(
        update={
            "rewarded": now,
            "paired": now,
            "paired_control": control,
            "better": bet_better(arm.better, effect, arm.paired_control, other, block),
            "level": bet_level(arm.level, effect, arm.paired_control, other, block),
        }
    )


def _not_less(before: Counts, now: Counts | None) -> Counts:
    """Totals never run backwards: a file that shrank says nothing."""
    if now is None or now.trials < before.trials or now.events < before.events:
        return before
    grown = now.trials - before.trials >= now.events - before.events
    return now if grown else before


def _since(before: Counts, now: Counts) -> Counts:
    return Counts(trials=now.trials - before.trials, events=now.events - before.events)


def conclude(trial: Trial, experiment: Experiment) -> Trial:
    """Name a winner or say that there is no difference, as soon as either is proven."""
    proven = {name: arm for name, arm in trial.alive.items() if _wins(arm, experiment)}
    if proven:
        best = max(proven, key=lambda name: (proven[name].rewarded.rate or 0.0, name))
        return trial.model_copy(update={"winner": best, "conclusion": Conclusion.WINNER})
    level = [arm.level.log_wealth >= experiment.log_level for arm in trial.alive.values()]
    if level and all(level):
        return trial.model_copy(update={"conclusion": Conclusion.NO_DIFFERENCE})
    return trial


def _wins(arm: ArmTrial, experiment: Experiment) -> bool:
    """Better on the metric, and shown to keep the SLO: no winner is promoted on half of the evidence."""
    return bool(
        arm.better.log_wealth >= experiment.log_better and arm.verdict is not None and arm.verdict.passed
    )


def told(trial: Trial) -> str:
    """Every arm's rate in one line."""
    control = f"control {_rate(trial.control)}"
    arms = (f"{name} {arm.dropped or _rate(arm.rewarded)}" for name, arm in trial.arms.items())
    return ", ".join((control, *arms))


def _rate(counts: Counts) -> str:
    return "no rewards" if counts.rate is None else f"{counts.rate:.3f} ({counts.trials:,} units)"
