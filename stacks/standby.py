"""Former production versions that stay loaded, so that going back to one needs no start."""

import logging
import re
from collections.abc import Sequence

from modelway.bundle.signing import VERIFY_KEY_FILE
from modelway.errors import BundleRejectedError
from modelway.home import Home
from modelway.registry.model_version import ModelVersion
from modelway.registry.registry import Registry
from serving.rollout.local import LocalTarget
from serving.rollout.sights import Keeps
from serving.rollout.start import revision_of
from serving.rollout.strategies import FULL
from serving.rollout.switching import weights_of
from serving.rollout.target import Revision, RevisionId, service_of
from stacks.active import warm_versions

logger = logging.getLogger(__name__)


def revision_in(models: Registry, version: ModelVersion) -> Revision:
    """The revision under which a version serves, its bundle verified; always the same for a version.

    Raises:
        BundleRejectedError: The bundle does not verify.
    """
    bundle = models.bundle(version.name, version.version)
    return revision_of(bundle, verify_key=Home.current().keys / VERIFY_KEY_FILE, version=version.version)


def standby(models: Registry, name: str, *, after: int = 0) -> tuple[Revision, ...]:
    """Revisions of the former production versions to keep loaded, the one to go back to first.

    A bundle that does not verify is left out: nothing could go back to it.

    Args:
        models: The registry.
        name: The model.
        after: How many rollbacks from now.
    """
    found: list[Revision] = []
    for version in models.fallbacks(name)[after : after + warm_versions()]:
        try:
            found.append(revision_in(models, version))
        except BundleRejectedError as error:
            logger.warning("%s is not kept loaded: %s", version.reference, error.found)
    return tuple(found)


def loaded(models: Registry, target: object, name: str) -> tuple[RevisionId, ...]:
    """What a rollout of the model has to leave loaded at its end."""
    return tuple(each.id for each in standby(models, name)) if isinstance(target, LocalTarget) else ()


def keep_warm(models: Registry, target: object, name: str) -> None:
    """Load what the stack wants kept loaded, and let other versions of the model without traffic go.

    A cluster has one place for it, which a rollout's canary needs while there is one.
    Returns when it was asked for. Repeatable.
    """
    if isinstance(target, Keeps):
        kept = standby(models, name)
        if kept[1:]:
            logger.warning("a cluster keeps %s loaded, and no further version of %s", kept[0].id, name)
        target.keep(kept[0] if kept else None)
        return
    if not isinstance(target, LocalTarget) or not target.running:
        return
    kept = standby(models, name)
    for revision in superfluous(target, name, kept):
        target.retire(revision)
    live = next((r for r, weight in weights_of(target.routing()).items() if weight == FULL), None)
    if live and service_of(live) != name:
        return  # a model without the gateway's traffic has nothing to go back to
    replicas = target.replicas(live) if live else 1
    for each in kept:
        if each.id not in target.deployed() or target.replicas(each.id) < replicas:
            target.deploy(each, replicas=replicas)


def replicas_of(target: object, revision: RevisionId) -> int:
    """How many of it to ask for when it is served again: as many as it has here; one where nobody knows."""
    return target.replicas(revision) if isinstance(target, LocalTarget) else 1


def superfluous(target: LocalTarget, name: str, kept: Sequence[Revision]) -> tuple[RevisionId, ...]:
    """Numbered versions of the model that are deployed, have no traffic and are not kept."""
    keep = {revision.id for revision in kept}
    ours = re.compile(rf"{re.escape(name)}-v[0-9]+")
    idle = (each for each in target.idle() if ours.fullmatch(each))
    return tuple(sorted(each for each in idle if each not in keep))
