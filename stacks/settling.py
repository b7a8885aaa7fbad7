"""The end of a rollout, written into the registry: traffic first, then the books. Repeatable."""

import json
from datetime import UTC, datetime

from modelway.errors import ApprovalError, BundleRejectedError, GateError
from modelway.registry.model_version import ModelVersion
from modelway.registry.stages import Stage
from serving.rollout.driver import given_up
from serving.rollout.local import LocalTarget
from serving.rollout.runner import Record, Records
from serving.rollout.start import version_of
from serving.rollout.state import Phase, RolloutState
from serving.rollout.target import Revision, RevisionId
from stacks.active import registry, serving_target
from stacks.standby import keep_warm, replicas_of, revision_in


def settle(version: ModelVersion, state: RolloutState, *, who: str) -> ModelVersion:
    """Write what a finished rollout says about its canary into the registry.

    Raises:
        ApprovalError: It was rejected meanwhile, or the rules changed; traffic is back on the champion, as …
        GateError: … where its newest evaluation says no, or …
        BundleRejectedError: … where its bundle is gone or was altered: no replica could start again.
    """
    now = registry().get(version.name, version.version)
    undecided = state.trial is not None and state.trial.winner is None
    if now.stage is not Stage.STAGING or state.phase is Phase.ABORTED or undecided:
        return now  # an abort, or a test without a winner, says nothing about the version
    evidence = {
        "rollout": state.plan_id,
        "verdict": json.loads(state.verdict.model_dump_json()) if state.verdict else None,
        "seconds_to_restore": state.seconds_to_restore,
    }
    why = state.cause or "its canary kept every limit"
    if state.phase is not Phase.PROMOTED:
        return registry().retire(now.name, now.version, who=who, why=why, evidence=evidence)
    try:
        return registry().promote(now.name, now.version, who=who, why=why, evidence=evidence)
    except (ApprovalError, BundleRejectedError, GateError) as error:
        _give_back(now.name, f"not entered into the books: {error.found}")
        raise


def settle_all(name: str, *, who: str) -> Record:
    """Write what the last rollout of a model says about every version in it; nothing while it is unfinished.

    A promotion that no book has, and whose traffic somebody gave to another version since, is none any more:
    the rollout's record says so afterwards.

    Returns:
        The record as it stands then.

    Raises:
        NotFoundError: There was no rollout of that model.
        ApprovalError, GateError, BundleRejectedError: As `settle`.
    """
    records = Records(serving_target(name).root)
    record = records.require(name)
    if not record.state.finished:
        return record
    for arm in record.plan.challengers:
        version = _unbooked(name, arm)
        if version is not None:
            _book(version, arm, record, who)
    return records.require(name)


def _unbooked(name: str, arm: Revision) -> ModelVersion | None:
    """The version of an arm, where no decision on it is in the books; None for a bundle without a version."""
    number = version_of(arm.id)
    version = None if number is None else registry().get(name, number)
    return version if version is not None and version.stage is Stage.STAGING else None


def _book(version: ModelVersion, arm: Revision, record: Record, who: str) -> None:
    state = record.state
    trial = state.trial.arms.get(arm.id) if state.trial else None
    if trial is not None and trial.dropped:
        registry().retire(version.name, version.version, who=who, why=trial.dropped)
    elif arm.id == state.canary and state.phase is Phase.PROMOTED and _live(version.name) != arm.id:
        _amend(version.name, f"{_live(version.name)} was given its traffic before it was in the books")
    elif arm.id == state.canary:
        settle(version, state, who=who)


def _live(name: str) -> RevisionId:
    target = serving_target(name)
    if isinstance(target, LocalTarget):
        target.start()  # as it was meant to be when it was stopped or killed
    return target.live().id


def _give_back(name: str, why: str) -> None:
    """All traffic to the version that the books call champion; the rollout was in vain."""
    if champion := registry().champion(name):
        target = serving_target(name)
        revision = revision_in(registry(), champion)
        target.serve(revision, replicas=replicas_of(target, revision.id))
        keep_warm(registry(), target, name)
    _amend(name, why)


def _amend(name: str, why: str) -> None:
    records = Records(serving_target(name).root)
    record = records.read(name)
    if record is not None and record.state.phase is Phase.PROMOTED:
        state = given_up(record.state, record.plan, datetime.now(UTC), why)
        records.write(Record(plan=record.plan, state=state))
