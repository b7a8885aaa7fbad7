"""Probabilities as bytes on the wire. Numbers are written in the shortest form that float32 reads back."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from modelway.bundle.signature import Signature
from serving.runtime.parsed import Matrix

_encode = msgspec.json.encode


def error_body(message: str) -> bytes:
    """The one form of every error."""
    return _encode({"error": message})


class V2Reply:
    """Responses of one model and revision; what never changes is written once."""

    __slots__ = ("_head", "_threshold", "threshold")

    def __init__(self, signature: Signature, revision: str) -> None:
        names = b'"model_name":' + _encode(signature.model_name) + b',"model_version":' + _encode(revision)
        self._head = b"{" + names + b',"outputs":['
        self.threshold = np.float32(signature.threshold)  # compared in the precision the graph answers in
        self._threshold = float(self.threshold)

    def one(self, probability: np.float32, request_id: str | None) -> bytes:
        """The answer to one row, both outputs."""
        decision = b"1" if float(probability) >= self._threshold else b"0"
        text = b"%b%b" % (self._head, _PROBABILITY_ONE) + str(probability).encode()
        return b"%b%b%b%b" % (text, _DECISION_ONE, decision, _tail(request_id))

    def many(self, probabilities: Matrix, request_id: str | None, outputs: Iterable[str] | None) -> bytes:
        """The answer to any number of rows, only the outputs asked for."""
        wanted = outputs or ("probability", "decision")
        shape = b"[%d]" % len(probabilities)
        parts = [self._tensor(name, probabilities, shape) for name in wanted]
        return self._head + b",".join(parts) + _tail(request_id)[2:]

    def _tensor(self, name: str, probabilities: Matrix, shape: bytes) -> bytes:
        if name == "probability":
            return b'{"name":"probability","datatype":"FP32","shape":%b,"data":[%b]}' % (
                shape,
                numbers(probabilities),
            )
        decisions = b",".join(b"1" if yes else b"0" for yes in (probabilities >= self.threshold).tolist())
        return b'{"name":"decision","datatype":"INT64","shape":%b,"data":[%b]}' % (shape, decisions)


_PROBABILITY_ONE = b'{"name":"probability","datatype":"FP32","shape":[1],"data":['
_DECISION_ONE = b']},{"name":"decision","datatype":"INT64","shape":[1],"data":['


def numbers(probabilities: Matrix) -> bytes:
    """Float32 values, comma between: `0.35`, not `0.3499999940395355`."""
    return ",".join(map(str, probabilities)).encode()


def v1_body(probabilities: Matrix) -> bytes:
    """V1's answer: one probability a row."""
    return b'{"predictions":[%b]}' % numbers(probabilities)


def _tail(request_id: str | None) -> bytes:
    return b"]}]}" if request_id is None else b']}],"id":%b}' % _encode(request_id)


def json_body(document: Mapping[str, Any]) -> bytes:
    """Any other answer."""
    return _encode(document)
