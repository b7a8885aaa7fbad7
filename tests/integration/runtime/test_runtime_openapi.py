"""The served document: valid, its examples work, and what it promises holds for whatever a client sends."""

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import onnx.parser
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
)
LOGISTIC = """
<ir_version: 8, opset_import: ["" : 17]>
logistic (float[N, 3] features) => (float[N] probability)
<float zero = {0}, float[3] weights = {0.5, -0.25, 1.0}> {
    missing = IsNaN(features)
    filled = Where(missing, zero, features)
    score = MatMul(filled, weights)
    probability = Sigmoid(score)
}
"""


@pytest.fixture(scope="module")
def document(speaking: Any) -> dict[str, Any]:
    answer = httpx.get(f"{speaking.url}/openapi.json", timeout=30)
    assert answer.status_code == 200
    assert httpx.get(f"{speaking.url}/v2", timeout=30).json()["openapi"] == "/openapi.json"
    return dict(answer.json())


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": document["components"]}


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if "$ref" in part:
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= names
    keys = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
        if "operationId" in operation
    ]
    assert len(keys) == len(set(keys))


def test_the_schemas_name_this_models_columns(document: dict[str, Any]) -> None:
    record = document["components"]["schemas"]["echo.Record"]

    assert record["required"] == ["score", "work", "colour"]
    assert "red" in record["properties"]["colour"]["description"]


def test_every_example_is_answered_as_its_schema_says(speaking: Any, document: dict[str, Any]) -> None:
    asked = 0
    for path, operations in document["paths"].items():
        content = (
            operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        )
        examples = [example["value"] for example in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        if "{" in path:
            continue
        for example in examples:
            jsonschema.validate(example, resolved(document, content["schema"]), Draft202012Validator)
            answer = httpx.post(speaking.url + path, json=example, timeout=30)
            assert answer.status_code == 200, (path, answer.text)
            schema = operations["post"]["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema.validate(answer.json(), resolved(document, schema), Draft202012Validator)
            asked += 1
    assert asked >= 8


@pytest.fixture(scope="module")
def robust(keys: Path, tmp_path_factory: pytest.TempPathFactory, launched: Any) -> Any:
    """A repository of one model that has a probability for every row, so that no 500 is its fault."""
    root = tmp_path_factory.mktemp("repository")
    written = write_bundle(
        root / ".bundles",
        onnx=onnx.parser.parse_model(LOGISTIC).SerializeToString(),
        signature=Signature(
            model_name="paint",
            key="paint_id",
            label="sold",
            inputs=(
                Input(name="amount", kind="numeric"),
                Input(name="months", kind="numeric"),
                Input(name="colour", kind="category", vocabulary=("red", "green", "blue")),
            ),
            threshold=0.5,
        ),
        reference=b"",
        slo=Slo(latency_limit_ms=20.0, rate_rps=100.0),
        card="",
        lineage=Lineage(
            use_case="paint", snapshot_id="0" * 64, as_of=datetime(2020, 1, 1, tzinfo=UTC), kind="l", seed=1
        ),
        key=load_or_create_key(keys),
    )
    shutil.copytree(written.path, root / "paint" / "r1")
    settings = root / ".settings.yaml"
    settings.write_text(json.dumps({"jobs": {"file": str(root / ".jobs.db")}}))
    where = ["--repository", str(root), "--verify-key", str(keys / VERIFY_KEY_FILE), "--model-control"]
    where += ["--settings", str(settings)]
    return launched([sys.executable, "-m", "serving.runtime", *where, "--port", "0"])


def fuzzed(operation: Any) -> set[int]:
    """Ask with whatever the schema allows and with what it does not; which statuses came."""
    statuses: set[int] = set()
    strategy = st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def holds(case: Any) -> None:
        answer = case.call()
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    holds()
    return statuses


def test_whatever_the_document_allows_is_answered_as_it_says(robust: Any) -> None:
    api = schemathesis.openapi.from_url(f"{robust.url}/openapi.json")
    operations = [operation.ok() for operation in api.get_all_operations()]
    seen = {operation.path: fuzzed(operation) for operation in operations}

    assert 400 in seen["/v2/models/paint/infer"]
    assert 200 in seen["/v1/models/paint:predict"]
    assert 202 in seen["/v2/models/paint/infer"] | seen["/v1/models/paint:predict"]
    assert len(seen) == 17
    assert httpx.get(f"{robust.url}/v2/health/ready", timeout=30).status_code == 200
