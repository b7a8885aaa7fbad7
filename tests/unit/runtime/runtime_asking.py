"""Asking a server that has no socket."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from serving.runtime.app import App

INFER, PREDICT = "/v2/models/paint/infer", "/v1/models/paint:predict"


class Asked(msgspec.Struct):
    """A request's head, as the transport gives it."""

    path: str
    method: str = "POST"
    query_string: str = ""
    client: str = "127.0.0.1:1"
    headers: Mapping[str, str] = {}


def ask(app: App, path: str, body: bytes | Mapping[str, Any]) -> tuple[int, Any]:
    answers: list[tuple[int, Any]] = []
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    app.heavy_body_bytes = 1 << 30  # everything here and now
    app.answer(
        Asked(path), raw, lambda status, _headers, reply: answers.append((status, json.loads(reply))), 0
    )
    assert len(answers) == 1
    return answers[0]


def matrix(*rows: list[float | None], **rest: Any) -> dict[str, Any]:
    tensor = {"name": "features", "shape": [len(rows), 3], "datatype": "FP32", "data": list(rows)}
    return {"inputs": [tensor], **rest}
