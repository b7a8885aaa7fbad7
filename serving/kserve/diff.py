"""What a rollout would change in the cluster, for people: one YAML diff per patch. Changes nothing."""

import difflib
from collections.abc import Iterator, Sequence

import yaml

from serving.kserve.access import Access
from serving.kserve.admission import require_new, require_room
from serving.kserve.changes import Spec, changed, next_name, promoted, toward, with_canary, without_standby
from serving.kserve.client import Kind
from serving.kserve.manifests import stable_manifest
from serving.kserve.spec import Arm, Manifest, Service
from serving.kserve.view import view_of

Patch = tuple[str, Manifest, Spec]


def planned_diff(access: Access, service: Service, arm: Arm, weights: Sequence[int]) -> str:
    """Every patch of a rollout in which all pods become ready and all steps pass, as diffs in their order.

    The cluster is asked about the first one, by a dry run on its side: it knows rules that we do not.

    Args:
        access: The service's object; without one, a first release is shown.
        service: What all revisions have in common.
        arm: The new revision; its name is chosen here.
        weights: Percent of traffic per step.

    Raises:
        ConfigError: The rules, the SDK's schema or the cluster refuse it.
        TransitionError: Another canary stands beside the stable revision.
    """
    manifest = access.manifest()
    if manifest is None:
        new = stable_manifest(service, arm)
        access.cluster.create(Kind.INFERENCE_SERVICE, new, dry_run=True)
        return _diff(f"create InferenceService {service.name}", {}, new)
    view = view_of(manifest)
    require_room(view)
    require_new(view, arm.revision, arm.digest)
    cleared = without_standby(manifest)
    named = arm.model_copy(update={"name": next_name(cleared)})
    patches = walk(cleared, with_canary(cleared, service, named), weights, access.surplus(view.stable))
    access.patch(manifest, patches[0][2], dry_run=True)
    if view.standby is not None:
        patches.insert(0, (f"let {view.standby.revision} go", manifest, cleared["spec"]))
    return "\n".join(_diff(what, before["spec"], after) for what, before, after in patches)


def walk(manifest: Manifest, first: Spec, weights: Sequence[int], surplus: int) -> list[Patch]:
    """What each patch does, the object before it, and the spec after it."""
    patches: list[Patch] = [("deploy without traffic", manifest, first)]
    now = changed(manifest, first)
    for weight in weights:
        for what, spec in _toward(now, weight, surplus):
            patches.append((what, now, spec))
            now = changed(now, spec)
    return [*patches, ("promote", now, promoted(now))]


def _toward(manifest: Manifest, weight: int, surplus: int) -> Iterator[tuple[str, Spec]]:
    while True:
        canary = view_of(manifest).canary
        spec = toward(manifest, weight, surplus=surplus, canary_now=canary.replicas if canary else 0)
        if spec is None:
            return
        manifest = changed(manifest, spec)
        moved = view_of(manifest).weight == weight
        yield (f"{weight} % of traffic" if moved else f"pods for {weight} %"), spec


def _diff(what: str, before: object, after: object) -> str:
    lines = difflib.unified_diff(_lines(before), _lines(after), fromfile="now", tofile=what, lineterm="", n=2)
    return "\n".join(lines) + "\n"


def _lines(value: object) -> list[str]:
    return yaml.safe_dump(value, sort_keys=True).splitlines() if value else []
