"""`modelway rollout plan`, `back`, `ab` and `drill`: what it takes, the way back, several arms, practice."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelway.cli.naming import NAME, WHO
from modelway.cli.output import emit
from modelway.errors import ConfigError, RolloutError
from modelway.people import account

if TYPE_CHECKING:
    from serving.rollout.plan import Plan
    from serving.rollout.state import RolloutState
    from stacks.rollback import BackPlan

_JSON = typer.Option(False, "--json", help="Print JSON.")


def tell_needs(plan: "Plan", rate_rps: float | None, *, as_json: bool = False) -> None:
    """Print what each stop will ask for, before it begins."""
    from serving.rollout.forecast import forecast  # noqa: PLC0415 - --help does without

    needs = forecast(plan, rate_rps=rate_rps)
    rows = [
        {
            "stop": need.stop,
            "requests": need.requests,
            "of the service": need.of_service,
            "minutes": "?" if need.least_s is None else f"{need.least_s / 60:.1f}",
            "deadline, minutes": f"{need.deadline_s / 60:.1f}",
            "in time": {True: "yes", False: "NO", None: "?"}[need.in_time],
        }
        for need in needs
    ]
    rate = "at a rate that is not known" if not rate_rps else f"at {rate_rps:.0f} requests/s"
    emit(rows, as_json=as_json, title=f"{plan.strategy.value}: least evidence, none bad, {rate}")


def plan(
    model: str = typer.Argument(help="NAME@VERSION or NAME@ALIAS; NAME alone is its challenger."),
    *,
    strategy: str = typer.Option("canary", help="canary, shadow-canary or blue-green."),
    weights: str = typer.Option("5,25,50,100", help="Percent of traffic per step, rising to 100."),
    rate_rps: float = typer.Option(0.0, min=0, help="Requests per second; 0 measures the present rate."),
    json_: bool = _JSON,
) -> None:
    """Say how many requests and minutes each step needs. Changes nothing."""
    from modelway.cli.rollout import candidate, parse_weights  # noqa: PLC0415 - it imports this module
    from serving.rollout.start import plan_over_live  # noqa: PLC0415 - --help does without
    from stacks.active import registry, serving_target  # noqa: PLC0415 - ZenML and MLflow, seconds
    from stacks.release import full_capacity, present_rate_rps, revision_for  # noqa: PLC0415 - as above

    version = candidate(registry(), model)
    target = serving_target(version.name)
    options = full_capacity(target, {"strategy": strategy, "weights": parse_weights(weights)})
    bundle = registry().bundle(version.name, version.version)
    planned = plan_over_live(target, bundle, revision_for(version), **options)
    tell_needs(planned, rate_rps or present_rate_rps(target, None), as_json=json_)


def back(
    name: str = NAME,
    *,
    why: str = typer.Option("", "--why", help="The reason; it goes into the audit log. Not for a dry run."),
    who: str = WHO,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would change; change nothing."),
    json_: bool = _JSON,
) -> None:
    """Give all traffic back to the version that served before, and write it into the books."""
    from stacks.rollback import foresee, go_back, require_whole  # noqa: PLC0415 - ZenML and MLflow, seconds

    if dry_run:
        plan = foresee(name)
        emit([_change(plan)], as_json=json_, title="Going back would change")
        require_whole(plan.books)
        return
    gone = go_back(name, who=who or account(), why=why)
    if json_:
        print(gone.model_dump_json(indent=2))
        return
    took = "" if gone.switched is None else f" after {gone.switched.seconds:.2f} s"
    start = "" if gone.switched is None or gone.switched.warm else "; it was not loaded and had to start"
    print(f"{gone.version.reference} has all traffic{took} and is champion again{start}")


def _change(plan: "BackPlan") -> dict[str, object]:
    traffic = ", ".join(f"{name} {weight} %" for name, weight in plan.traffic.items())
    then = plan.books.then
    return {
        "champion": f"{plan.books.now.reference} -> {plan.books.back.reference}",
        "traffic": f"{traffic or 'nobody'} -> {plan.revision.id} 100 %",
        "loaded": "yes: at once" if plan.warm else "no: it has to start first",
        "would load": ", ".join(plan.load),
        "would stop": ", ".join(plan.let_go),
        "holds": plan.books.verdict.outcome.value,
        "the next one after that": None if then is None else f"version {then}",
    }


def ab(
    models: list[str] = typer.Argument(help="One or more challengers: NAME@VERSION NAME@VERSION …"),
    *,
    effect: float = typer.Option(help="Smallest difference of the metric worth having, e.g. 0.02."),
    rewards: Path = typer.Option(
        None, help="CSV or Parquet with key and reward (0 or 1); without it: the decision itself."
    ),
    key_header: str = typer.Option("x-key", help="Requests with the same value see the same arm."),
    share: int = typer.Option(0, min=0, max=99, help="Percent of keys per challenger; 0: all arms alike."),
    deadline_s: float = typer.Option(3600.0, min=1, help="Inconclusive by then."),
) -> None:
    """Compare versions with the live one on a metric fixed beforehand, and promote a proven winner."""
    from modelway.cli.rollout import Narrator, candidate, ending  # noqa: PLC0415 - it imports this module
    from serving.rollout.sights import RewardKind, RewardSource  # noqa: PLC0415 - --help does without
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds
    from stacks.experiment import compare  # noqa: PLC0415 - as above

    source = RewardSource(kind=RewardKind.FILE, path=rewards) if rewards else RewardSource()
    found = compare(
        [candidate(registry(), model) for model in models],
        who=getpass.getuser(),
        effect=effect,
        source=source,
        on_plan=tell_needs,
        on_change=Narrator().tell,
        key_header=key_header,
        share=share,
        deadline_s=deadline_s,
    )
    print(ending(found.rollout))
    _require_conclusion(found.rollout)


def _require_conclusion(state: "RolloutState") -> None:
    """A winner and "no difference" are answers.

    Raises:
        RolloutError: The test found neither.
    """
    if state.phase.value not in {"promoted", "kept"}:
        raise RolloutError(
            f"the a-b test found nothing: {state.cause}",
            expected="a winner, or proof that no difference worth having exists",
            remedy=f"`modelway rollout status {state.service}` shows the evidence",
        )


def drill(
    service: str = typer.Argument(help="Model name, e.g. credit."),
    *,
    fault: str = typer.Option("slow", help="slow, errors, invalid or crash."),
    rate_rps: float = typer.Option(100.0, min=1, help="Requests offered per second."),
    json_: bool = _JSON,
) -> None:
    """Practise: a bad twin of the live revision meets real requests and has to be rolled back."""
    from modelway.cli.rollout import Narrator  # noqa: PLC0415 - it imports this module
    from modelway.home import Home  # noqa: PLC0415 - --help does without
    from serving.rollout.local import LocalTarget  # noqa: PLC0415 - as above
    from stacks.active import registry, serving_target  # noqa: PLC0415 - ZenML and MLflow, seconds
    from stacks.drill import drill as practise  # noqa: PLC0415 - as above
    from stacks.faults import Fault  # noqa: PLC0415 - as above
    from stacks.release import revision_for  # noqa: PLC0415 - as above

    if fault not in {each.value for each in Fault}:
        raise ConfigError(f"--fault {fault}", expected="slow, errors, invalid or crash", remedy="name one")
    target = serving_target(service)
    if not isinstance(target, LocalTarget):
        raise ConfigError(
            "the active stack serves on a cluster", expected="the local gateway", remedy="switch"
        )
    if not target.running:
        target.serve(revision_for(registry().get(service, "champion")))
    told = None if json_ else Narrator().tell
    done = practise(target, Fault(fault), keys=Home.current().keys, rate_rps=rate_rps, on_change=told)
    if json_:
        print(done.model_dump_json(indent=2))
        return
    took = (
        ""
        if done.seconds_to_restore is None
        else f" in {done.seconds_to_restore:.1f} s from its first bad answer"
    )
    print(f"{fault}: rolled back{took}; {done.live} serves alone again")
