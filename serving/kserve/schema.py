"""A strict schema of KServe's kinds, derived from the installed SDK: names and types, unknown fields refused.

The SDK's own models check nothing: `trafficPercent=150` and `minReplicas="abc"` pass. Ranges and enumerations
are not in it; the CRDs know them, and tests hold what we render against those too.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from modelway.errors import ConfigError
from serving.kserve.spec import Manifest

Schema = dict[str, Any]
_MODELS = {"InferenceService": "V1beta1InferenceService", "ServingRuntime": "V1alpha1ServingRuntime"}
_TEXT_OR_NUMBER: Schema = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_PLAIN: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "object": {},
    "datetime": {"type": "string"},
    "ResourceQuantity": _TEXT_OR_NUMBER,
    "Quantity": _TEXT_OR_NUMBER,
    "IntOrString": _TEXT_OR_NUMBER,
    # Written by the API server or free by nature: not ours to judge.
    "V1ObjectMeta": {"type": "object"},
    "V1Time": {"type": "string"},
    "MetaV1Time": {"type": "string"},
    "KnativeVolatileTime": {"type": "string"},
    "V1beta1InferenceServiceStatus": {"type": "object"},
}
_REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
_LIST, _MAP = re.compile(r"list\[(.*)\]"), re.compile(r"dict\(\w+, (.*)\)")


def require_valid(manifest: Manifest) -> None:
    """Refuse a manifest with an unknown field, a missing one, or a value of the wrong type.

    Raises:
        ConfigError: Names the place of everything that is wrong.
    """
    wrong = list(violations(manifest))
    if wrong:
        raise ConfigError(
            f"{manifest.get('kind')}: {'; '.join(wrong)}",
            expected=f"what the installed KServe SDK knows of a {manifest.get('kind')}",
            remedy="correct the fields named; a cluster would drop a misspelt one without a word",
        )


def violations(manifest: Manifest) -> Iterator[str]:
    """Everything that is wrong, by place."""
    kind = str(manifest.get("kind"))
    if kind not in _MODELS:
        yield f"kind {kind} is none of {', '.join(_MODELS)}"
        return
    errors = sorted(_validator(kind).iter_errors(manifest), key=lambda error: error.json_path)
    for error in errors:
        place = "/".join(str(part) for part in error.absolute_path) or "the object"
        yield f"{place}: {error.message}"


@cache
def _validator(kind: str) -> Any:
    import jsonschema  # noqa: PLC0415 - for those who speak to a cluster

    return jsonschema.Draft202012Validator(schema_of(_MODELS[kind]))


def schema_of(model: str) -> Schema:
    """JSON Schema of one of the SDK's models and all it is made of."""
    definitions: dict[str, Schema] = {}
    return {**_schema(model, definitions), "$defs": definitions}


def _schema(kind: str, definitions: dict[str, Schema]) -> Schema:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if found := _LIST.fullmatch(kind):
        return {"type": "array", "items": _schema(found[1], definitions)}
    if found := _MAP.fullmatch(kind):
        return {"type": "object", "additionalProperties": _schema(found[1], definitions)}
    if kind not in definitions:
        definitions[kind] = {}  # a model may hold itself
        definitions[kind] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{kind}"}


def _object(kind: str, definitions: dict[str, Schema]) -> Schema:
    model = _model(kind)
    if model is None:
        return {}
    properties = {
        model.attribute_map[name]: _schema(of, definitions) for name, of in model.openapi_types.items()
    }
    required = [model.attribute_map[name] for name in _REQUIRED.findall(inspect.getsource(model))]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": sorted(set(required)),
    }


def _model(kind: str) -> Any:
    import kserve  # noqa: PLC0415 - two seconds, for those who speak to a cluster
    from kubernetes import client  # noqa: PLC0415 - as above

    return next(
        (found for place in (kserve, kserve.models, client) if (found := getattr(place, kind, None))), None
    )
