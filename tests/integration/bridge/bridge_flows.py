"""Small flows that the bridge's tests run, here and in other processes."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

from zenml import step
from zenml.config.retry_config import StepRetryConfig

from flows.bridge import ml_flow
from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import GateError, TransientError
from stacks import active, apply

MEETING_LIMIT_S = 120.0


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


@step(enable_cache=False, retry=StepRetryConfig(max_retries=2, delay=0, backoff=1))
def succeed_at_third_attempt(counter: str) -> Annotated[int, "attempts"]:
    attempt = int(Path(counter).read_text()) + 1
    Path(counter).write_text(str(attempt))
    if attempt < 3:
        raise TransientError("not yet")
    return attempt


@ml_flow(name="flaky")
def flaky_flow(counter: str) -> None:
    succeed_at_third_attempt(counter)


@step(enable_cache=False)
def refuse() -> Annotated[int, "never"]:
    raise GateError("0.4 was measured", expected="0.5", remedy="train longer")


@ml_flow(name="refused")
def refused_flow(parallel: bool) -> None:
    never = refuse.submit() if parallel else refuse()
    deploy(never)


@step(enable_cache=False)
def meet(folder: str, me: str, other: str) -> Annotated[str, "met"]:
    """Return only if the other one runs at the same time."""
    (Path(folder) / me).touch()
    deadline = time.monotonic() + MEETING_LIMIT_S
    while not (Path(folder) / other).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{other} never came")
        time.sleep(0.02)
    return me


@step(enable_cache=False)
def join(left: str, right: str) -> Annotated[str, "joined"]:
    return f"{left} and {right}"


@ml_flow(name="meeting")
def meeting_flow(folder: str) -> None:
    left = meet.submit(folder, "left", "right", id="meet_left")
    right = meet.submit(folder, "right", "left", id="meet_right")
    join(left, right)


@ml_flow(name="inner")
def inner_flow(numbers: tuple[int, ...]) -> int:
    return total(numbers)


@ml_flow(name="outer")
def outer_flow(numbers: tuple[int, ...]) -> None:
    deploy(inner_flow(numbers))


@step(enable_cache=False)
def name_stack() -> Annotated[str, "stack"]:
    return active.stack_name()


@ml_flow(name="switched-meanwhile")
def switched_meanwhile_flow() -> None:
    apply.activate("local-dev")
    name_stack()


@step(enable_cache=False, runtime="isolated")
def name_process() -> Annotated[int, "process"]:
    return os.getpid()


@ml_flow(name="isolated")
def isolated_flow() -> None:
    name_process()


@step(enable_cache=False)
def linger(folder: str, limit_s: int) -> Annotated[int, "lingered"]:
    (Path(folder) / "lingering").touch()
    time.sleep(limit_s)
    return limit_s


@ml_flow(name="lingering")
def lingering_flow(folder: str, parallel: bool = False, limit_s: int = 60) -> None:
    waiting = linger.submit(folder, limit_s) if parallel else linger(folder, limit_s)
    deploy(waiting)


if __name__ == "__main__":
    lingering_flow(sys.argv[1])
