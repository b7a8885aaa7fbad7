"""Back to the version that served before: its traffic first, then the books, in one command."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelway.contract import Frozen, Outcome
from modelway.errors import InputError, IntegrityError, TransitionError
from modelway.registry.model_version import ModelVersion, RollbackPlan
from modelway.registry.registry import Registry
from serving.rollout.local import LocalTarget
from serving.rollout.switching import Switched, switch, weights_of
from serving.rollout.target import Revision, RevisionId
from stacks.active import local_gateway, registry, serves_on_a_cluster, serving_target
from stacks.guards import alone, refuse_others, require_booked, require_idle
from stacks.standby import keep_warm, revision_in, standby, superfluous

if TYPE_CHECKING:
    from serving.rollout.kserve import KServeTarget


class BackPlan(Frozen):
    """What going back would change."""

    books: RollbackPlan
    revision: Revision
    """Would get all traffic."""
    traffic: Mapping[RevisionId, int]
    """Percent per revision now; empty while nothing serves."""
    warm: bool
    """It is loaded and ready: traffic moves without a start."""
    load: tuple[RevisionId, ...] = ()
    """Would be loaded afterwards, to go back to next."""
    let_go: tuple[RevisionId, ...] = ()
    """Would be stopped afterwards."""


class WentBack(Frozen):
    """What going back has changed."""

    version: ModelVersion
    """In production again."""
    switched: Switched | None
    """None on a cluster, which tells no more than that it is done."""


def foresee(name: str) -> BackPlan:
    """What `go_back` would do. Changes nothing: no process, no file, no log.

    Raises:
        NotFoundError: Nobody registered that model, or the bundle to go back to is gone.
        TransitionError: No version served before, or the traffic is not this model's to move.
        BundleRejectedError: The bundle to go back to does not verify.
    """
    models = registry()
    target = serving_target(name) if serves_on_a_cluster() else local_gateway()  # the former writes settings
    books = models.rollback_plan(name)
    revision = revision_in(models, books.back)
    require_idle(target, name)
    routing = target.routing() if target.running else None
    holders = weights_of(routing) or (target.meant() if isinstance(target, LocalTarget) else ())
    require_booked(target, models, name, holders)
    if not isinstance(target, LocalTarget):
        return _foreseen_on_a_cluster(target, models, books, revision)
    refuse_others(name, holders)
    kept = standby(models, name, after=1)
    status = target.status()
    found = status.revisions.get(revision.id) if status else None
    return BackPlan(
        books=books,
        revision=revision,
        traffic=weights_of(routing),
        warm=found is not None and 0 < found.wanted <= found.ready,
        load=tuple(each.id for each in kept if each.id not in target.deployed()),
        let_go=_let_go(target, name, [revision, *kept], weights_of(routing)),
    )


def _foreseen_on_a_cluster(
    target: "KServeTarget", models: Registry, books: RollbackPlan, revision: Revision
) -> BackPlan:
    routing, found = target.routing(), target.ready(revision.id)
    there = frozenset(routing.weights) if routing else frozenset()
    kept = [each.id for each in standby(models, books.now.name, after=1)[:1]]
    return BackPlan(
        books=books,
        revision=revision,
        traffic=weights_of(routing),
        warm=found is not None and found.complete,
        load=tuple(each for each in kept if each not in there),
        let_go=tuple(sorted(there - {revision.id, *kept})),
    )


def go_back(name: str, *, who: str, why: str) -> WentBack:
    """Give all traffic to the version that served before, then write it into the books.

    The gateway goes on answering with the present version until every replica of the former one is ready;
    where the stack keeps it loaded that is at once. A call that was killed is carried on by the next.

    Args:
        name: The model.
        who: Person or program.
        why: In their words.

    Raises:
        InputError: No reason is given.
        NotFoundError: Nobody registered that model, or the bundle to go back to is gone.
        TransitionError: No version served before, a rollout is under way, another model has the traffic, or
            somebody else decided meanwhile: that is never undone by mistake.
        IntegrityError: What would come back, or the log, is not what it was.
        NotReadyError: Its replicas did not become ready; traffic stayed where it was.
    """
    if not (who.strip() and why.strip()):
        raise InputError("a rollback without a reason", expected="who and why", remedy='say --why "…"')
    target, left = serving_target(name), registry().champion(name)
    with alone(target, name, "`modelway rollout back`"):
        plan = foresee(name)
        _require_undecided(plan.books, left)
        require_whole(plan.books)
        switched = _moved(target, plan)
        facts = {} if switched is None else {"traffic": switched.model_dump(mode="json")}
        back = plan.books.back.version
        version = registry().rollback(name, who=who, why=why, evidence=facts, to=back)
        keep_warm(registry(), target, name)
    return WentBack(version=version, switched=switched)


def require_whole(books: RollbackPlan) -> None:
    """Refuse to go back to what was altered, or by a log that was.

    Raises:
        IntegrityError: It was.
    """
    if books.verdict.outcome is Outcome.FAIL:
        raise IntegrityError(
            f"{books.back.reference} does not hold: {books.verdict.summary()}",
            expected="bundle, evaluation and log as they were registered",
            remedy=f"restore what was altered; `modelway serve {books.back.reference}` moves traffic at your "
            "own risk, if its bundle verifies",
        )


def _require_undecided(books: RollbackPlan, left: ModelVersion | None) -> None:
    """Refuse where somebody else went back, or promoted, while this call waited its turn."""
    if left is None or left.version != books.now.version:
        raise TransitionError(
            f"{books.now.reference} is in production since a moment ago",
            expected=f"{left.reference if left else 'the version'} that was to be left",
            remedy=f"look again with `modelway rollout back {books.now.name} --dry-run`",
        )


def _moved(target: object, plan: BackPlan) -> Switched | None:
    if not isinstance(target, LocalTarget):
        serving_target(plan.books.back.name).serve(plan.revision)
        return None
    live = next(iter(plan.traffic), None)
    target.start()
    return switch(target, plan.revision, replicas=target.replicas(live) if live else 1)


def _let_go(
    target: LocalTarget, name: str, kept: list[Revision], traffic: Mapping[RevisionId, int]
) -> tuple[RevisionId, ...]:
    """What has no traffic now and is not kept, and what has it now: the version that is left."""
    leaving = set(traffic) - {each.id for each in kept}
    return tuple(sorted({*superfluous(target, name, kept), *leaving}))
