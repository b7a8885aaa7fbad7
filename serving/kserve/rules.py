"""What a cluster would refuse, and what it would accept and silently ignore. Both are refused here first.

Where KServe's webhook has a text of its own, ours is the same (recorded in tests/data/kserve/recorded).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelway.errors import ConfigError
from serving.kserve.manifests import ONLY_STABLE
from serving.kserve.spec import FULL, MAX_NAME_LENGTH, MODE_ANNOTATION, Manifest, Mode, deployment_name

Problem = tuple[str, str]
"""What was found, and what to do."""


def require_sound(manifest: Manifest, *, before: Manifest | None = None) -> None:
    """Refuse an InferenceService that would not do what it says.

    Args:
        manifest: The whole object, as it would be applied.
        before: The object as it stands in the cluster; None when it is new.

    Raises:
        ConfigError: The first problem found.
    """
    for found, remedy in problems(manifest, before):
        raise ConfigError(found, expected="an InferenceService that does what it says", remedy=remedy)


def problems(manifest: Manifest, before: Manifest | None = None) -> Iterator[Problem]:
    """Every problem, the webhook's own first."""
    rules: tuple[Callable[[Manifest], Iterator[Problem]], ...] = (
        _canary_needs_standard_mode,
        _canary_names,
        _canary_is_fixed,
        _share_needs_knative_mode,
        _transformer_is_bypassed,
        _canary_model_name,
        _shares,
        _capacity,
        _lengths,
    )
    for rule in rules:
        yield from rule(manifest)
    if before is not None:
        yield from _rename(manifest, before)


def mode_of(manifest: Manifest) -> Mode:
    """The deployment mode: Standard unless an annotation says otherwise; `RawDeployment` is its old name."""
    annotations = manifest.get("metadata", {}).get("annotations") or {}
    return Mode.KNATIVE if annotations.get(MODE_ANNOTATION) in {"Knative", "Serverless"} else Mode.STANDARD


def _canary_needs_standard_mode(manifest: Manifest) -> Iterator[Problem]:
    if _canaries(manifest) and mode_of(manifest) is Mode.KNATIVE:
        remedy = "in Knative mode set predictor.canaryTrafficPercent"
        yield "canary is only supported in Standard deployment mode", remedy


def _canary_names(manifest: Manifest) -> Iterator[Problem]:
    stable, seen = _predictor(manifest).get("name"), set[str]()
    for place, canary in enumerate(_canaries(manifest)):
        name = canary.get("predictor", {}).get("name")
        if not name:
            yield f"canary[{place}] predictor.name is required", "give it a name that was never used"
        elif name == stable:
            yield (
                f'canary predictor.name "{name}" conflicts with stable predictor name',
                "give it a name that was never used",
            )
        elif name in seen:
            yield f'two canaries are named "{name}"', "give each a name of its own"
        seen.add(name or "")


def _canary_is_fixed(manifest: Manifest) -> Iterator[Problem]:
    for name, predictor in _canary_predictors(manifest):
        if "maxReplicas" in predictor:
            yield (
                f'canary "{name}" must not set maxReplicas (canary uses fixed replicas)',
                "set minReplicas alone",
            )
        for field in sorted(set(ONLY_STABLE[1:]) & set(predictor)):
            yield f'canary "{name}" sets {field}, which does nothing there', "set minReplicas alone"
        if "minReplicas" not in predictor:
            yield (
                f'canary "{name}" has no minReplicas: its pods would be taken from the stable arm',
                "set minReplicas, and add as many to the stable arm's",
            )


def _share_needs_knative_mode(manifest: Manifest) -> Iterator[Problem]:
    if "canaryTrafficPercent" in _predictor(manifest) and mode_of(manifest) is Mode.STANDARD:
        yield (
            "predictor.canaryTrafficPercent is accepted in Standard deployment mode and does nothing",
            "use spec.canary",
        )


def _transformer_is_bypassed(manifest: Manifest) -> Iterator[Problem]:
    if _canaries(manifest) and manifest["spec"].get("transformer"):
        yield (
            "there are a transformer and a canary: the canary's traffic would go past the transformer",
            "roll out without a transformer, or put its work into the model",
        )


def _canary_model_name(manifest: Manifest) -> Iterator[Problem]:
    for name, predictor in _canary_predictors(manifest):
        if predictor.get("model", {}).get("name"):
            yield f'canary "{name}" sets model.name, which the webhook forbids', "leave it empty"


def _shares(manifest: Manifest) -> Iterator[Problem]:
    shares = [canary.get("trafficPercent", 0) for canary in _canaries(manifest)]
    numbers = [share for share in shares if type(share) is int and 0 <= share <= FULL]
    if len(numbers) < len(shares) or sum(numbers) > FULL:
        yield f"the canaries' trafficPercent are {shares}", "whole percentages whose sum is at most 100"


def _capacity(manifest: Manifest) -> Iterator[Problem]:
    wanted = [predictor.get("minReplicas", 0) for _, predictor in _canary_predictors(manifest)]
    stable = _predictor(manifest).get("minReplicas", 1)
    if not all(type(number) is int for number in [stable, *wanted]):
        return  # the schema says so in better words
    if wanted and stable <= sum(wanted):
        yield (
            f"predictor.minReplicas is {stable}, from which KServe subtracts {sum(wanted)} canary replicas",
            "ask for the sum of both arms' replicas in predictor.minReplicas",
        )


def _lengths(manifest: Manifest) -> Iterator[Problem]:
    service = manifest["metadata"]["name"]
    names = [_predictor(manifest).get("name"), *(name for name, _ in _canary_predictors(manifest))]
    for name in (deployment_name(service, name) for name in names):
        if len(name) > MAX_NAME_LENGTH:
            yield f"the Deployment would be named {name}", f"shorten the names to {MAX_NAME_LENGTH} together"


def _rename(manifest: Manifest, before: Manifest) -> Iterator[Problem]:
    new, old = _predictor(manifest), _predictor(before)
    if new.get("name") != old.get("name") and _source(new) == _source(old):
        yield (
            "predictor.name change requires a model change (e.g. storageUri)",
            "promote another revision's bundle",
        )


def _source(predictor: Mapping[str, Any]) -> Any:
    return predictor.get("model", {}).get("storageUri")


def _predictor(manifest: Manifest) -> Mapping[str, Any]:
    predictor: Mapping[str, Any] = manifest.get("spec", {}).get("predictor") or {}
    return predictor


def _canaries(manifest: Manifest) -> list[Mapping[str, Any]]:
    return list(manifest.get("spec", {}).get("canary") or [])


def _canary_predictors(manifest: Manifest) -> list[tuple[str, Mapping[str, Any]]]:
    predictors = [canary.get("predictor") or {} for canary in _canaries(manifest)]
    return [(predictor.get("name", ""), predictor) for predictor in predictors]
