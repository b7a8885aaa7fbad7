"""`modelway rollout`: carry a registered version to all traffic, under the judge's eyes."""

import getpass
import json
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli import rollout_extras
from modelway.cli.output import emit
from modelway.errors import ConfigError, RolloutError, TransitionError

if TYPE_CHECKING:
    from modelway.registry.model_version import ModelVersion
    from modelway.registry.registry import Registry
    from serving.rollout.runner import Record
    from serving.rollout.state import RolloutState

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Start, watch or abort a rollout.")
for _command in (rollout_extras.plan, rollout_extras.back, rollout_extras.ab, rollout_extras.drill):
    app.command()(_command)

_JSON = typer.Option(False, "--json", help="Print JSON.")
_UNCOMPARED = {
    "first": "nothing else did, so nobody compared",
    "again": "it was in production already",
    "settled": "its rollout was won before, and is in the books now",
}


@app.command()
def start(
    model: str = typer.Argument(help="NAME@VERSION or NAME@ALIAS; NAME alone is its challenger."),
    *,
    weights: str = typer.Option("5,25,50,100", help="Percent of traffic per step, rising to 100."),
    strategy: str = typer.Option("canary", help="canary, shadow-canary or blue-green."),
    replicas: int = typer.Option(None, min=1, help="Predictors of the new revision; blue-green: as live."),
    deadline_s: float = typer.Option(300.0, min=1, help="A step without a verdict by then is rolled back."),
    watch_s: float = typer.Option(None, min=0, help="Blue-green: how long it is watched after the switch."),
    dry_run: bool = typer.Option(False, "--dry-run", help="On a cluster: print the changes, make none."),
) -> None:
    """Roll a version out over what is live; the requests come from elsewhere. Goes on where it was killed."""
    from stacks.active import registry  # noqa: PLC0415 - ZenML and MLflow, seconds
    from stacks.release import release  # noqa: PLC0415 - as above

    version = candidate(registry(), model)
    if dry_run:
        from stacks.preview import preview  # noqa: PLC0415 - as above

        shares = parse_weights(weights)
        print(preview(version, weights=shares, replicas=replicas, strategy=strategy), end="")
        return
    released = release(
        version,
        who=getpass.getuser(),
        on_plan=rollout_extras.tell_needs,
        on_change=Narrator().tell,
        weights=parse_weights(weights),
        strategy=strategy,
        replicas=replicas,
        step_deadline_s=deadline_s,
        watch_s=watch_s,
    )
    if released.rollout is None:
        print(f"{version.reference} serves at {released.url}: {_UNCOMPARED[released.manner.value]}")
        return
    _conclude(released.rollout)


@app.command()
def status(service: str = typer.Argument(help="Model name, e.g. credit."), json_: bool = _JSON) -> None:
    """Show a service's last rollout: its steps, the judge's words, and the seconds to restore."""
    from serving.rollout.runner import Records  # noqa: PLC0415 - --help does without
    from stacks.active import serving_target  # noqa: PLC0415 - ZenML, a second

    records = Records(serving_target(service).root)
    record = records.require(service)
    if json_:
        print(json.dumps(_full(record, driven=records.is_driven(service)), indent=2))
        return
    emit(_timeline(record), as_json=False, title=_headline(record, driven=records.is_driven(service)))


@app.command()
def abort(
    service: str = typer.Argument(help="Model name, e.g. credit."),
    why: str = typer.Option("asked for on the command line", help="Kept in the timeline."),
) -> None:
    """Give all traffic back to the stable revision."""
    from serving.rollout.turns import Turn  # noqa: PLC0415 - --help does without
    from stacks.interrupted import abort as give_up  # noqa: PLC0415 - ZenML and MLflow, seconds

    final = give_up(service, who=getpass.getuser(), why=why, on_change=Narrator().tell)
    asked = f"{final} is asked to put the traffic back at its next look: `modelway rollout status {service}`"
    print(asked if isinstance(final, Turn) else ending(final))


@app.command()
def resume(service: str = typer.Argument(help="Model name, e.g. credit.")) -> None:
    """Carry on a rollout whose driver was killed."""
    from stacks.interrupted import resume as carry_on  # noqa: PLC0415 - ZenML and MLflow, seconds

    _conclude(carry_on(service, who=getpass.getuser(), on_change=Narrator().tell))


def parse_weights(text: str) -> tuple[int, ...]:
    """`5,25,50,100` as numbers.

    Raises:
        ConfigError: They are no numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"--weights {text}", expected="percentages rising to 100", remedy="for instance 5,25,50,100"
        ) from error


class Narrator:
    """Prints the moments of the timeline once each."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told = 0

    def tell(self, state: "RolloutState") -> None:
        """Print what is new."""
        for moment in state.timeline[self._told :]:
            print(f"{moment.at:%H:%M:%S}  {moment.phase.value:13} {moment.step:7} {moment.why}", flush=True)
        self._told = len(state.timeline)


def _conclude(final: "RolloutState") -> None:
    """Say how it ended.

    Raises:
        RolloutError: Not by promotion.
    """
    print(ending(final))
    if final.phase.value != "promoted":
        raise RolloutError(
            f"{final.canary} was not promoted: {final.cause}",
            expected="a canary that keeps every limit",
            remedy=f"`modelway rollout status {final.service}` shows the evidence",
        )


def candidate(models: "Registry", model: str) -> "ModelVersion":
    """The version that is named; NAME alone is its challenger.

    Raises:
        TransitionError: It did not pass its gates.
    """
    name, _, reference = model.partition("@")
    version = models.get(name, reference or "challenger")
    if version.stage.value not in {"Staging", "Production"}:
        raise TransitionError(
            f"{version.reference} is in {version.stage.value}",
            expected="a version that passed its gates: Staging",
            remedy="`modelway models list` shows which are: train a better one, or roll out another",
        )
    return version


def ending(state: "RolloutState") -> str:
    """How a rollout ended, in one line."""
    seconds = state.seconds_to_restore
    restored = "" if seconds is None else f"; {seconds:.1f} s from the first bad answer to restored traffic"
    return f"{state.canary}: {state.phase.value}{restored}"


def _headline(record: "Record", *, driven: bool) -> str:
    state = record.state
    idle = "" if driven or state.finished else " (no driver: `modelway rollout resume` carries it on)"
    return f"{ending(state)}{idle}"


def _timeline(record: "Record") -> list[dict[str, Any]]:
    moments: list[dict[str, Any]] = [
        {"at": f"{each.at:%Y-%m-%d %H:%M:%S}", "phase": each.phase.value, "step": each.step, "why": each.why}
        for each in record.state.timeline
    ]
    state = record.state
    if not state.finished and state.verdict is not None:
        now = f"{state.looked_at:%Y-%m-%d %H:%M:%S}"
        moments.append({"at": now, "phase": "now", "step": "", "why": state.verdict.summary()})
    return moments


def _full(record: "Record", *, driven: bool) -> dict[str, Any]:
    state = record.state
    extra = {"driven": driven, "finished": state.finished, "seconds_to_restore": state.seconds_to_restore}
    return {**record.model_dump(mode="json"), **extra}
