"""The highest rate that keeps the SLO, from a run that climbs. Pure."""

from typing import Literal

from loadtests.judge import LEAST_OFFERED, judge_slo, overworked
from loadtests.results import LoadResults, PhaseResults
from modelway.contract import Frozen, Outcome, Slo

Limit = Literal["server", "generator", "evidence", "nothing"]


class Step(Frozen):
    """One rate, held against the SLO by itself."""

    rate_rps: float
    outcome: Outcome
    summary: str


class Saturation(Frozen):
    """Where a service bends."""

    kept_rps: float | None
    """The highest rate that kept the SLO, as did every rate below; None: not even the first."""
    next_rps: float | None
    """The rate above, which did not; None: every rate kept it."""
    limited_by: Limit
    """Who set the limit: the server broke its promise, the generator could not send or measure it,
    a step was too short to say, or nothing did: saturation lies above."""
    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        """One line for people."""
        kept = "no step" if self.kept_rps is None else f"{self.kept_rps:g} requests/s"
        why = {
            "server": f"the server broke its promise at {self.next_rps or 0:g}",
            "generator": f"the generator could not do {self.next_rps or 0:g}; the server's limit lies above",
            "evidence": f"{self.next_rps or 0:g} was not offered for long enough to say",
            "nothing": "no step broke it; saturation lies above",
        }
        return f"{kept} kept the SLO; {why[self.limited_by]}"


def saturation(results: LoadResults, slo: Slo) -> Saturation:
    """Go up the phases until one does not keep the SLO."""
    kept_rps, steps = None, []
    for phase in results.phases:
        verdict = judge_slo(phase.results, slo)
        steps.append(Step(rate_rps=phase.rate_rps, outcome=verdict.outcome, summary=verdict.summary()))
        if not verdict.passed:
            limit = _limit(phase, verdict.outcome, slo)
            break
        kept_rps = phase.rate_rps
    else:
        return Saturation(kept_rps=kept_rps, next_rps=None, limited_by="nothing", steps=tuple(steps))
    return Saturation(kept_rps=kept_rps, next_rps=phase.rate_rps, limited_by=limit, steps=tuple(steps))


def _limit(phase: PhaseResults, outcome: Outcome, slo: Slo) -> Limit:
    if outcome is Outcome.FAIL:
        return "server"
    unsent = phase.results.judged_offered_share < LEAST_OFFERED
    late = phase.results.slow > phase.results.slow_by_server
    return "generator" if unsent or late or overworked(phase.results, slo) else "evidence"
