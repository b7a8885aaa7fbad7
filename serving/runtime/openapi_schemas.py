"""Schemas of the OpenAPI document that are the same for every model."""

from typing import Any

from serving.runtime.binary import DATATYPES

Json = dict[str, Any]


def ref(name: str) -> Json:
    """Points at a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(**properties: Json) -> Json:
    """An object with exactly these members."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


_TEXT, _FLAG = {"type": "string"}, {"type": "boolean"}
_TENSOR = closed(
    name=_TEXT, datatype={"enum": list(DATATYPES)}, shape={"type": "array", "items": {"type": "integer"}}
)
_OUTPUT = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"enum": ["probability", "decision"]},
        "datatype": {"enum": ["FP32", "INT64"]},
        "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 1},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {"type": "number"}, "minItems": 1},
    },
    "additionalProperties": False,
}
COMMON: Json = {
    "Anything": {"type": "object"},
    "Error": closed(error=_TEXT),
    "Live": closed(live=_FLAG),
    "Ready": closed(ready=_FLAG),
    "ModelReady": closed(name=_TEXT, ready=_FLAG),
    "ServerMetadata": closed(
        name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}, openapi=_TEXT
    ),
    "ModelMetadata": closed(
        name=_TEXT,
        versions={"type": "array", "items": _TEXT, "minItems": 1},
        platform=_TEXT,
        inputs={"type": "array", "items": _TENSOR},
        outputs={"type": "array", "items": _TENSOR},
        parameters={"type": "object"},
    ),
    "V2Answer": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": _OUTPUT, "minItems": 1},
        },
        "additionalProperties": False,
    },
    "V1Answer": closed(predictions={"type": "array", "items": {"type": "number"}, "minItems": 1}),
    "Index": {
        "type": "array",
        "items": closed(name=_TEXT, version=_TEXT, state={"enum": ["READY", "UNAVAILABLE"]}, reason=_TEXT),
    },
    "Changed": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": _TEXT, "load": _FLAG, "unload": _FLAG},
    },
}
