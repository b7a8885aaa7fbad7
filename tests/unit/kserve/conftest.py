import copy
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the renderers are test equipment, not a package

from kserve_whole_objects import canary_manifest

from serving.kserve.manifests import stable_manifest
from serving.kserve.spec import Arm, Service

DATA = Path(__file__).parents[2] / "data" / "kserve"
CRDS = {
    "InferenceService": "inferenceservice.v1beta1",
    "ServingRuntime": "servingruntime.v1alpha1",
    "HTTPRoute": "httproute.v1",
}
STABLE = Arm(storage_uri="s3://m/1", replicas=4, revision="paint-v1", digest="a" * 64)
CANARY = Arm(storage_uri="s3://m/2", replicas=1, name="r2", revision="paint-v2", digest="b" * 64)


def _closed(schema: Any) -> Any:
    """Every object that names its fields takes no others: a cluster would drop them without a word."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {
        key: {name: _closed(each) for name, each in value.items()} if key == "properties" else _closed(value)
        for key, value in schema.items()
        if key != "nullable"
    }
    free = closed.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in closed
    if "properties" in closed and not free:
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="session")
def crd_errors() -> Callable[[dict[str, Any]], list[str]]:
    """What the CRD of an object's kind says against it."""
    validators: dict[str, Any] = {}

    def errors(manifest: dict[str, Any]) -> list[str]:
        kind = manifest["kind"]
        if kind not in validators:
            with gzip.open(DATA / "schema" / f"{CRDS[kind]}.json.gz") as file:
                schema = _closed(json.load(file))
            schema["properties"]["metadata"] = {"type": "object"}
            validators[kind] = jsonschema.Draft202012Validator(schema)
        found = validators[kind].iter_errors(manifest)
        return [f"{'/'.join(map(str, each.absolute_path))}: {each.message}" for each in found]

    return errors


@pytest.fixture
def accepted() -> Callable[[str], dict[str, Any]]:
    """A manifest that a real installation accepted."""

    def read(name: str) -> dict[str, Any]:
        return yaml.safe_load((DATA / "manifests" / f"{name}.yaml").read_text())

    return read


@pytest.fixture
def service() -> Service:
    return Service(name="paint")


@pytest.fixture
def stable(service: Service) -> dict[str, Any]:
    """An InferenceService of ours in the cluster: one revision, four replicas, generation 1."""
    manifest = stable_manifest(service, STABLE)
    manifest["metadata"]["generation"] = 1
    return manifest


@pytest.fixture
def shared(service: Service) -> dict[str, Any]:
    """The same with a canary at 5 %, generation 2."""
    manifest = canary_manifest(service, STABLE, CANARY, weight=5)
    manifest["metadata"]["generation"] = 2
    return manifest


@pytest.fixture
def altered() -> Callable[..., dict[str, Any]]:
    """A copy with one value set, or removed by None, at a path such as `spec.canary.0.trafficPercent`."""

    def alter(manifest: dict[str, Any], path: str, value: object) -> dict[str, Any]:
        changed = copy.deepcopy(manifest)
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = changed
        for part in way:
            place = place[part]
        if value is None:
            place.pop(last)
        else:
            place[last] = value
        return changed

    return alter
