"""Any JSON document, also one with the NaN that Python clients write."""

import json
from typing import Any

import msgspec

from serving.runtime.problems import RequestError


def loads(body: bytes) -> Any:
    """Read a document that fits none of the typed decoders.

    JSON has no NaN, yet `json.dumps(float("nan"))` writes one; a client that means "missing" by
    it is understood.

    Raises:
        RequestError: It is no JSON.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise RequestError("malformed JSON: nested too deeply") from error
    except (msgspec.MsgspecError, ValueError) as error:
        if b"NaN" in body or b"Infinity" in body:
            return _loads_with_nan(body)
        raise RequestError(f"malformed JSON: {error}") from error


def _loads_with_nan(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise RequestError(f"malformed JSON: {error}") from error
