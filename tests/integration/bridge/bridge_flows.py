"""Small flows that the bridge's tests run."""

from typing import Annotated

from zenml import step

from flows.bridge import ml_flow
from modelway.contract import Frozen, Outcome, Reason, Verdict


class NumberConfig(Frozen):
    numbers: tuple[int, ...] = (1, 2, 3)
    limit: int = 5


@step
def total(numbers: tuple[int, ...]) -> Annotated[int, "total"]:
    return sum(numbers)


@step(enable_cache=False)
def judge(total: int, limit: int) -> Annotated[Verdict, "gate_verdict"]:
    outcome = Outcome.PASS if total > limit else Outcome.FAIL
    return Verdict.of(
        [Reason(metric="total", outcome=outcome, message=f"{total} against {limit}", found=total)]
    )


@step(enable_cache=False)
def deploy(total: int) -> Annotated[str, "deployed"]:
    return f"deployed {total}"


@ml_flow(name="numbers")
def numbers_flow(config: NumberConfig) -> None:
    """Add, judge, and deploy only what passed."""
    added = total(config.numbers)
    verdict = judge(added, config.limit)
    if verdict.load().passed:
        deploy(added)
