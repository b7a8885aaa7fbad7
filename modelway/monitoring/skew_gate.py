"""What skew forbids: a training on other features than are served, a rollout that nobody looked into."""

from typing import Literal

from modelway.contract import Outcome, Verdict
from modelway.errors import GateError


def require_no_skew(verdict: Verdict, *, where: str) -> None:
    """Stop where features are known to be other ones than those that training sees.

    A successor would learn the one and be asked the other, and what was measured says nothing of its answers.

    Args:
        verdict: Of a comparison with the point-in-time join. INCONCLUSIVE stops nothing here: a use case
            without online features has nothing to compare.
        where: What was compared, for the message.

    Raises:
        GateError: It is FAIL.
    """
    if verdict.outcome is Outcome.FAIL:
        raise GateError(
            f"features in {where} are not those of training. {verdict.summary()}",
            expected="the values of the point-in-time join",
            remedy="`modelway monitor skew` names features and rows; mend what writes them, or fill "
            "the online store anew with `modelway features materialise --restart`",
        )


def require_compared(verdict: Verdict, reference: str, *, unseen: Literal["hold", "go_on"]) -> None:
    """Hold a rollout where nobody can say whether served features are training's.

    Args:
        verdict: Of the prediction log.
        reference: The version that would be rolled out.
        unseen: Whether an INCONCLUSIVE verdict holds it.

    Raises:
        GateError: The verdict is no PASS, and nobody said to go on without one.
    """
    if verdict.passed or (unseen == "go_on" and verdict.outcome is Outcome.INCONCLUSIVE):
        return
    raise GateError(
        f"{reference} is registered and not rolled out. {verdict.summary()}",
        expected="enough logged rows, with their keys, that the snapshot knows",
        remedy="`modelway rollout start` brings it to traffic by hand; `unseen_skew: go_on` does so always",
    )
