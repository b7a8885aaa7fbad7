"""An a-b test of registered versions on the active stack: the winner is promoted in traffic and books."""

from collections.abc import Callable, Sequence
from typing import Any

from modelway.contract import Frozen
from modelway.errors import ConfigError, NotFoundError
from modelway.registry.model_version import ModelVersion
from serving.rollout.experiment import Experiment
from serving.rollout.plan import Plan
from serving.rollout.runner import carry_out
from serving.rollout.sights import RewardSource
from serving.rollout.start import plan_over_live
from serving.rollout.state import Phase, RolloutState
from serving.rollout.strategies import Strategy
from stacks.active import registry, serving_target
from stacks.guards import alone, require_free
from stacks.release import present_rate_rps, revision_for, wake
from stacks.settling import settle_all
from stacks.standby import keep_warm


class Tested(Frozen):
    """What came of an a-b test."""

    rollout: RolloutState
    winner: ModelVersion | None
    """Has all traffic now; None where the stable version kept it."""


def compare(  # noqa: PLR0913 - versions, who, a metric with its effect, two listeners
    versions: Sequence[ModelVersion],
    *,
    who: str,
    effect: float,
    source: RewardSource,
    on_plan: Callable[[Plan, float | None], None] | None = None,
    on_change: Callable[[RolloutState], None] | None = None,
    **options: Any,
) -> Tested:
    """Compare versions with the live one; a test that was killed is carried on by calling this again.

    Args:
        versions: Challengers in Staging, at least one, all of one model.
        who: Person or program, for the audit log.
        effect: Smallest difference of the metric worth having, absolute.
        source: Where the metric comes from.
        on_plan: Told of the plan and the present requests per second before it begins.
        on_change: Told of every look.
        options: Other fields of `Experiment`: key_header, share, deadline_s, false_winner …

    Raises:
        NotFoundError: No version serves that could be compared with.
        ApprovalError: One of them could not be promoted as a winner: the stack's rules are not kept.
        ConfigError: No version, versions of several models, or an experiment that cannot be.
    """
    first, *others = _of_one_model(versions)
    target = serving_target(first.name)
    with alone(target, first.name, "an a-b test", drives=True):
        require_free(target, first.name)
        control = _control(first)
        for version in versions:
            registry().approvals.check(version.name, version.version, who=who)
        wake(target, control)
        plan = plan_over_live(
            target,
            registry().bundle(first.name, first.version),
            revision_for(first),
            strategy=Strategy.A_B,
            experiment=_experiment(others, effect, source, options),
        )
        if on_plan is not None:
            on_plan(plan, present_rate_rps(target, None))
        carry_out(target, plan, root=target.root, on_change=on_change)
        state = settle_all(first.name, who=who).state
        keep_warm(registry(), target, first.name)
    return Tested(rollout=state, winner=_winner(versions, state))


def _winner(versions: Sequence[ModelVersion], state: RolloutState) -> ModelVersion | None:
    won = (each for each in versions if revision_for(each).id == state.canary)
    promoted = state.phase is Phase.PROMOTED
    return next((registry().get(each.name, each.version) for each in won if promoted), None)


def _control(challenger: ModelVersion) -> ModelVersion:
    champion = registry().champion(challenger.name)
    if champion is None:
        raise NotFoundError(
            f"no version of {challenger.name} is in production",
            expected="a control to compare with",
            remedy=f"`modelway rollout start {challenger.reference}` first",
        )
    return champion


def _experiment(
    others: Sequence[ModelVersion], effect: float, source: RewardSource, options: dict[str, Any]
) -> Experiment:
    try:
        arms = tuple(revision_for(version) for version in others)
        return Experiment(more_arms=arms, effect=effect, source=source, **options)
    except ValueError as error:
        raise ConfigError(
            f"no a-b test can be planned so: {error}",
            expected="an effect between 0 and 1, and a share for the control",
            remedy="change the options",
        ) from error


def _of_one_model(versions: Sequence[ModelVersion]) -> Sequence[ModelVersion]:
    names = {version.name for version in versions}
    if len(names) != 1:
        raise ConfigError(
            f"arms of {len(names)} models: {', '.join(sorted(names)) or 'none'}",
            expected="one or more versions of one model",
            remedy="name NAME@VERSION for every arm",
        )
    return versions
