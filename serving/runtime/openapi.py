"""The OpenAPI 3.1 document of a server: its models' own columns, and examples that work as they stand.

What JSON Schema cannot say is left to the server: that `shape` and the length of `data` belong together.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelway import __version__
from modelway.bundle.signature import GRAPH_INPUT, Input, Signature
from serving.runtime.binary import DATATYPES
from serving.runtime.columns import EVENT_TIME, Columns
from serving.runtime.openapi_jobs import JOB_SCHEMAS, PURPOSE, job_paths, takes_jobs
from serving.runtime.openapi_schemas import COMMON, Json, ref
from serving.runtime.records import RECORDS
from serving.runtime.served import Served

_REFUSALS = {
    "400": "It cannot be understood: the message says what was found and what was expected.",
    "401": "A key is missing or unknown, where the server asks for keys.",
    "403": "It is not allowed.",
    "404": "There is no such model, version, subject or address.",
    "409": "What is stored of the subject is too old.",
    "413": "The body, or the number of rows, is beyond the limit.",
    "415": "The body is compressed, which is not read.",
    "429": "Too many requests from this client; see Retry-After.",
    "500": "The model failed or gave no probability.",
    "503": "Not ready, not loaded, or too busy; see Retry-After.",
    "504": "The deadline passed before it was scored.",
}
_PREDICTION = tuple(_REFUSALS)
_LOOK = ("401", "404", "429", "503")
_CONTROL = ("400", "401", "403", "404", "413", "429", "503")
_BINARY = "application/octet-stream"
_ID = {"type": ["string", "integer", "null"]}


def document(models: Sequence[Served], *, with_repository: bool, with_jobs: bool = False) -> Json:
    """Everything that can be asked of these models.

    Args:
        models: In service; of several with one name, the first answers where no version is named.
        with_repository: Whether models can be listed, loaded and unloaded.
        with_jobs: Whether requests can be answered later.
    """
    paths = dict(_server_paths())
    newest: set[str] = set()
    for served in models:
        paths |= dict(_model_paths(served, newest=served.name not in newest))
        newest.add(served.name)
    if with_repository:
        paths |= dict(_repository_paths())
    if with_jobs:
        paths = {path: _later(operations) for path, operations in paths.items()} | job_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelway model server",
            "version": __version__,
            "description": "Open Inference Protocol V2 and V1 over HTTP.",
        },
        "paths": paths,
        "components": {"schemas": {**COMMON, **(JOB_SCHEMAS if with_jobs else {}), **_model_schemas(models)}},
    }


def _later(operations: Json) -> Json:
    """The same address, where it predicts as one that takes jobs too."""
    post = operations.get("post", {})
    predicts = PURPOSE in post.get("parameters", ())
    return {**operations, "post": takes_jobs(post)} if predicts else operations


def _model_schemas(models: Sequence[Served]) -> Json:
    newest = {served.name: served for served in reversed(models)}
    schemas: Json = {}
    for name, served in newest.items():
        schemas[f"{name}.Record"] = _record(served.bundle.signature, served.columns)
        schemas[f"{name}.V2Request"] = _v2_request(served.bundle.signature, served.columns)
        schemas[f"{name}.V1Request"] = _v1_request(served.bundle.signature)
    return schemas


def _server_paths() -> Iterator[tuple[str, Json]]:
    yield "/v2", _get("serverMetadata", "Name, version and extensions of the server.", "ServerMetadata", ())
    yield "/v2/health/live", _get("serverLive", "Whether the process lives.", "Live", ())
    yield "/v2/health/ready", _get("serverReady", "Whether requests are welcome.", "Ready", (), busy="Ready")
    yield "/openapi.json", _get("openapi", "This document.", "Anything", ())
    text = {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    yield "/metrics", {"get": _operation("metrics", "Counters of this process.", {"200": text}, ())}


def _model_paths(served: Served, *, newest: bool) -> Iterator[tuple[str, Json]]:
    name, version = served.name, served.revision
    places = [(f"/v2/models/{name}/versions/{version}", f"{name}.{version}")]
    if newest:
        places.append((f"/v2/models/{name}", name))
        yield (
            f"/v1/models/{name}",
            _get(f"{name}.v1.ready", "Whether it is ready.", "ModelReady", (), busy="ModelReady"),
        )
        yield f"/v1/models/{name}:predict", _v1_predict(served)
    for path, key in places:
        yield path, _get(f"{key}.metadata", "Inputs, outputs, versions.", "ModelMetadata", _LOOK)
        yield (
            f"{path}/ready",
            _get(f"{key}.ready", "Whether it is ready.", "ModelReady", _LOOK, busy="ModelReady"),
        )
        yield f"{path}/infer", _v2_infer(served, f"{key}.infer")


def _repository_paths() -> Iterator[tuple[str, Json]]:
    index = {"type": "object", "properties": {"ready": {"type": "boolean"}}, "additionalProperties": False}
    yield (
        "/v2/repository/index",
        {
            "post": _post(
                "repositoryIndex", "Models and versions.", _body(index, {"ready": True}), "Index", _CONTROL
            )
        },
    )
    name = {"name": "model_name", "in": "path", "required": True, "schema": {"type": "string"}}
    for verb in ("load", "unload"):
        body = {**_body({"type": "object"}, {}), "required": False}
        operation = _post(
            f"repository.{verb}", f"{verb.title()} all versions of a model.", body, "Changed", _CONTROL
        )
        yield f"/v2/repository/models/{{model_name}}/{verb}", {"parameters": [name], "post": operation}


def _v2_infer(served: Served, key: str) -> Json:
    signature = served.bundle.signature
    examples = {name: {"value": value} for name, value in v2_examples(signature).items()}
    content: Json = {
        "application/json": {"schema": ref(f"{served.name}.V2Request"), "examples": examples},
        _BINARY: {"schema": {"type": "string", "format": "binary"}},
    }
    operation = _post(key, "Predict.", {"required": True, "content": content}, "V2Answer", _PREDICTION)
    operation["parameters"] = [_header_length("of the JSON before the tensors of a body of bytes"), PURPOSE]
    answer = operation["responses"]["200"]
    answer["content"][_BINARY] = {"schema": {"type": "string", "format": "binary"}}
    return {"post": operation}


def _v1_predict(served: Served) -> Json:
    request = ref(f"{served.name}.V1Request")
    example = {"instances": [v1_example(served.bundle.signature)]}
    key = f"{served.name}.predict"
    operation = _post(key, "Predict, V1.", _body(request, example), "V1Answer", _PREDICTION)
    return {"post": {**operation, "parameters": [PURPOSE]}}


def v2_examples(signature: Signature) -> Mapping[str, Json]:
    """Requests of one row in each form."""
    columns = [{**_asked(column), "shape": [1], "data": [_example(column)]} for column in signature.inputs]
    row = [0.0] * len(signature.inputs)
    matrix = {"name": GRAPH_INPUT, "datatype": "FP32", "shape": [1, len(row)], "data": row}
    record = {"name": RECORDS, "datatype": "BYTES", "shape": [1], "data": [v1_example(signature)]}
    return {"columns": {"inputs": columns}, "matrix": {"inputs": [matrix]}, "records": {"inputs": [record]}}


def v1_example(signature: Signature) -> Json:
    """One row by name."""
    return {column.name: _example(column) for column in signature.inputs}


def _example(column: Input) -> Any:
    return column.vocabulary[0] if column.kind == "category" else 0.0


def _asked(column: Input) -> Json:
    return {"name": column.name, "datatype": "BYTES" if column.kind == "category" else "FP32"}


def _record(signature: Signature, columns: Columns) -> Json:
    properties = {column.name: _value(column) for column in signature.inputs}
    properties.setdefault(signature.key, dict(_ID))
    properties |= {name: dict(_ID) for name in sorted(columns.entities)}
    properties.setdefault(
        EVENT_TIME, {"type": ["integer", "null"], "description": "Microseconds since 1970 UTC."}
    )
    required = [column.name for column in signature.inputs if column.name not in columns.stored]
    record = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return record | ({"description": _by_key(columns)} if columns.stored else {})


def _by_key(columns: Columns) -> str:
    """Which columns may be left out, and by what they are found."""
    found: dict[str, list[str]] = {}
    for name, entity in columns.stored.items():
        found.setdefault(entity, []).append(name)
    told = "; ".join(f"{', '.join(names)} by {entity}" for entity, names in sorted(found.items()))
    return (
        f"Columns that are left out are taken from the online store: {told}. All rows bring the same columns."
    )


def _value(column: Input) -> Json:
    if column.kind == "category":
        known = ", ".join(column.vocabulary[:20])
        return {"type": ["string", "null"], "description": f"A category. Others are missing. Known: {known}"}
    return {"type": ["number", "boolean", "null"]}


def _v2_request(signature: Signature, columns: Columns) -> Json:
    names = [GRAPH_INPUT, RECORDS, *signature.names, signature.key, *sorted(columns.entities), EVENT_TIME]
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"enum": list(dict.fromkeys(names))},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": list(DATATYPES)},
            "parameters": {"type": "object"},
            "data": {"type": "array", "description": "Row-major, flat or nested; null is missing."},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": ["probability", "decision"]}},
    }
    properties = {
        "id": {"type": "string", "maxLength": 256},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "minItems": 1, "items": tensor},
        "outputs": {"type": "array", "items": output},
    }
    request = {"type": "object", "required": ["inputs"], "properties": properties}
    return request | ({"description": _by_key(columns)} if columns.stored else {})


def _v1_request(signature: Signature) -> Json:
    values = {"type": ["number", "string", "boolean", "null"]}
    width = len(signature.inputs)
    row = {"type": "array", "items": values, "minItems": width, "maxItems": width}
    rows = {"type": "array", "minItems": 1, "items": {"anyOf": [ref(f"{signature.model_name}.Record"), row]}}
    return {"type": "object", "required": ["instances"], "properties": {"instances": rows}}


def _get(key: str, says: str, schema: str, statuses: Sequence[str], *, busy: str | None = None) -> Json:
    responses = {"200": _answer(says, schema)}
    if busy is not None:
        responses["503"] = _answer("Not ready.", busy)
    return {"get": _operation(key, says, responses, statuses)}


def _post(key: str, says: str, body: Json, schema: str, statuses: Sequence[str]) -> Json:
    operation = _operation(key, says, {"200": _answer(says, schema)}, statuses)
    return {**operation, "requestBody": body}


def _operation(key: str, says: str, responses: Json, statuses: Sequence[str]) -> Json:
    refusals = {status: _answer(_REFUSALS[status], "Error") for status in statuses}
    everywhere = {status: _answer(_REFUSALS[status], "Error") for status in ("401", "429")}
    return {"operationId": key, "summary": says, "responses": {**everywhere, **refusals, **responses}}


def _answer(says: str, schema: str) -> Json:
    return {"description": says, "content": {"application/json": {"schema": ref(schema)}}}


def _body(schema: Json, example: Any) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _header_length(says: str) -> Json:
    schema = {"type": "string", "pattern": "^[0-9]{1,9}$"}
    return {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": f"Length {says}.",
        "schema": schema,
    }
