"""One registered version as callers see it, and the refusals that concern one."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import AwareDatetime

from modelway.bundle.variant import Variant
from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import ConfigError, GateError, NotFoundError
from modelway.registry.ledger import Ledger, Record
from modelway.registry.opinions import approvals, rejection
from modelway.registry.stages import Move, Stage

_MOVE_TO = {Stage.STAGING: Move.STAGED, Stage.PRODUCTION: Move.PROMOTED}


class ModelVersion(Frozen):
    """One registered version, as it stands now."""

    name: str
    version: int
    stage: Stage
    digest: str
    bundle_path: Path
    run_id: str
    aliases: tuple[str, ...]
    verdict: Verdict
    created_at: AwareDatetime
    semantic: str | None = None
    """MAJOR.MINOR.PATCH; None for versions registered before there were any."""
    approved_by: tuple[str, ...] = ()
    """Whose approval stands since the newest evaluation; whether it counts is the stack's policy."""
    rejected_by: str | None = None
    trained_by: str | None = None
    """Person or program; None where nobody noted it."""
    variant: Variant | None = None
    """Which version it is another form of; None: a training made it."""
    pruned: str | None = None
    """When, by whom and why its bundle was removed; None: it is there."""

    @classmethod
    def of(cls, ledger: Ledger, version: int, bundles: Path) -> "ModelVersion":
        """The version as the decisions leave it; its bundle lies in `bundles`."""
        record, said = ledger.records[version], ledger.said(version)
        rejected = rejection(said)
        return cls(
            name=ledger.name,
            version=version,
            stage=ledger.shelf.stages[version],
            digest=record.digest,
            bundle_path=bundles / record.digest,
            run_id=record.run_id,
            aliases=tuple(alias for alias, v in ledger.aliases.items() if v == version),
            verdict=record.verdict,
            created_at=record.registered_at,
            semantic=record.semantic,
            approved_by=tuple(opinion.who for opinion in approvals(said).values()),
            rejected_by=rejected.who if rejected else None,
            trained_by=record.trained_by,
            variant=record.variant,
            pruned=ledger.pruned.get(version),
        )

    @property
    def reference(self) -> str:
        """`credit@3`."""
        return f"{self.name}@{self.version}"


class RollbackPlan(Frozen):
    """What a rollback would do now."""

    now: ModelVersion
    """In production; it would be archived."""
    back: ModelVersion
    """It would be in production again."""
    verdict: Verdict
    """Whether its bundle and evaluation, and the log, still hold: a rollback is refused where they do not."""
    then: int | None
    """The version that a second rollback would return to."""


def move_to(stage: Stage) -> Move:
    """The move that brings a version forward to `stage`.

    Raises:
        ConfigError: Nothing is promoted to that stage.
    """
    if stage not in _MOVE_TO:
        raise ConfigError(
            f"a version cannot be promoted to {stage}",
            expected=" or ".join(_MOVE_TO),
            remedy="`retire` archives a version that is not in production",
        )
    return _MOVE_TO[stage]


def check_verdict(name: str, record: Record) -> None:
    """Refuse a version whose newest verdict is anything but PASS.

    Raises:
        GateError: It is.
    """
    if not record.verdict.passed:
        raise GateError(
            f"{name}@{record.version} did not pass its gates: {record.verdict.summary()}",
            expected="verdict pass",
            remedy=f"`modelway evaluate show {name}@{record.version}` shows every limit; train a better one",
        )


def check_kept(version: ModelVersion) -> None:
    """Refuse a version whose bundle was pruned.

    Raises:
        NotFoundError: It was.
    """
    if version.pruned is not None:
        raise NotFoundError(
            f"the bundle of {version.reference} was pruned on {version.pruned}",
            expected="a version whose bundle was kept",
            remedy="train it again: its lineage and its card lie beside its report, which is still there",
        )


def gone(pruned: str) -> Reason:
    """What a check finds of a bundle that was pruned."""
    message = f"the bundle was pruned on {pruned}"
    return Reason(metric="bundle", outcome=Outcome.INCONCLUSIVE, message=message)


def unknown(name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a model that nobody registered."""
    return NotFoundError(
        f"no model named {name!r} is registered",
        expected=f"one of {', '.join(known) or '(none yet)'}",
        remedy="`modelway train` trains and registers one; `modelway models list` shows what there is",
    )
