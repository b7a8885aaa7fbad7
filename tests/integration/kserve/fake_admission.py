"""What KServe's webhooks and the CRD say about an InferenceService, texts as recorded."""

import copy
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from fake_objects import Object, Refusal

SCHEMA = Path(__file__).parents[2] / "data/kserve/schema/inferenceservice.v1beta1.json.gz"
_GO_TYPES = {"trafficPercent": ("CanarySpec.spec.canary.trafficPercent", "int32")}
MODE = "serving.kserve.io/deploymentMode"


@cache
def crd() -> Any:
    with gzip.open(SCHEMA) as file:
        return json.load(file)


def admit(body: Object, before: Object | None) -> Object:
    """The object as stored. Order as in the API server: mutating webhook, schema, validating webhook."""
    defaulted = _default(body)
    _check_schema(defaulted)
    _validate(defaulted, before)
    return defaulted


def prune(body: Object, *, strict: bool) -> Object:
    """Drop unknown fields, as a cluster does without a word; or refuse them, if asked to be strict."""
    unknown: list[str] = []
    pruned = {**body, "spec": _known(body.get("spec"), crd()["properties"]["spec"], "spec", unknown)}
    if unknown and strict:
        as_sent = json.dumps(json.dumps(body, separators=(",", ":"), sort_keys=True))
        why = f'strict decoding error: unknown field "{unknown[0]}"'
        raise Refusal(422, "Invalid", f' "" is invalid: patch: Invalid value: {as_sent}: {why}')
    return pruned


def _known(value: Any, schema: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, list):
        return [_known(each, schema.get("items", {}), path, unknown) for each in value]
    fields = schema.get("properties")
    if not isinstance(value, dict) or not fields or schema.get("x-kubernetes-preserve-unknown-fields"):
        return value
    unknown += [f"{path}.{name}" for name in value if name not in fields]
    return {
        name: _known(each, fields[name], f"{path}.{name}", unknown)
        for name, each in value.items()
        if name in fields
    }


def _default(body: Object) -> Object:
    """Go reads the object and writes it again: what a type does not fit is refused, empty fields appear."""
    made = copy.deepcopy(body)
    canaries = made["spec"].get("canary") or []
    for canary in canaries:
        _require_number(canary, "trafficPercent")
    for predictor in (made["spec"].get("predictor") or {}, *(one.get("predictor") or {} for one in canaries)):
        if "model" in predictor:
            predictor["model"] = {"name": "", "resources": {}, **predictor["model"]}
    model = (made["spec"].get("predictor") or {}).get("model")
    if model:
        annotations = made["metadata"].setdefault("annotations", {})
        annotations["modelFormat"] = model["modelFormat"]["name"]
    return made


def _require_number(canary: Object, field: str) -> None:
    if field in canary and not isinstance(canary[field], int):
        place, kind = _GO_TYPES[field]
        raise _denied(
            "defaulter", 400, f"json: cannot unmarshal string into Go struct field {place} of type {kind}"
        )


def _check_schema(body: Object) -> None:
    errors = jsonschema.Draft202012Validator(crd()["properties"]["spec"]).iter_errors(body["spec"])
    for error in sorted(errors, key=lambda each: each.json_path):
        place = "spec" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
        said = f"{place}: Invalid value: {error.instance}: {place} in body {_in_gos_words(error)}"
        kind = 'InferenceService.serving.kserve.io "' + body["metadata"]["name"]
        raise Refusal(422, "Invalid", f'{kind}" is invalid: {said}')


def _in_gos_words(error: Any) -> str:
    limit = error.validator_value
    texts = {
        "maximum": f"should be less than or equal to {limit}",
        "minimum": f"should be greater than or equal to {limit}",
    }
    return texts.get(error.validator, str(error.message))


def _validate(body: Object, before: Object | None) -> None:
    stable, canaries = body["spec"]["predictor"], body["spec"].get("canary") or []
    if canaries and body["metadata"].get("annotations", {}).get(MODE) in {"Knative", "Serverless"}:
        raise _denied("validator", 403, "canary is only supported in Standard deployment mode")
    for place, canary in enumerate(canaries):
        _validate_canary(place, canary.get("predictor") or {}, stable.get("name"))
    if before is not None:
        old = before["spec"]["predictor"]
        same_model = old["model"].get("storageUri") == stable["model"].get("storageUri")
        if old.get("name") != stable.get("name") and same_model:
            text = "predictor.name change requires a model change (e.g. storageUri)"
            raise _denied("validator", 403, text)


def _validate_canary(place: int, predictor: Object, stable_name: str | None) -> None:
    name = predictor.get("name")
    if not name:
        raise _denied("validator", 403, f"canary[{place}] predictor.name is required")
    if name == stable_name:
        text = f'canary predictor.name "{name}" conflicts with stable predictor name'
        raise _denied("validator", 403, text)
    if "maxReplicas" in predictor:
        text = f'canary "{name}" must not set maxReplicas (canary uses fixed replicas)'
        raise _denied("validator", 403, text)


def _denied(webhook: str, code: int, text: str) -> Refusal:
    who = f'admission webhook "inferenceservice.kserve-webhook-server.{webhook}" denied the request: '
    return Refusal(code, "Forbidden" if code == 403 else "BadRequest", who + text)
