"""Probabilities as bytes on the wire. Numbers are written in the shortest form that float32 reads back."""

from collections.abc import Iterable
from struct import Struct

import msgspec
import numpy as np

from modelway.bundle.signature import Signature
from serving.runtime.parsed import Matrix

OUTPUTS = ("probability", "decision")
"""What a model answers, in the order of an answer to a request that asks for nothing particular."""

_encode = msgspec.json.encode


def error_body(message: str) -> bytes:
    """The one form of every error."""
    return _encode({"error": message})


class V2Reply:
    """Responses of one model and revision; what never changes is written once."""

    __slots__ = (
        "_head",
        "_named_binary",
        "_one",
        "_one_binary",
        "_threshold",
        "one_binary_header_bytes",
        "threshold",
    )

    def __init__(self, signature: Signature, revision: str) -> None:
        """Encode once what is the same in every answer."""
        who = b'"model_name":' + _encode(signature.model_name) + b',"model_version":' + _encode(revision)
        self._head = b"{" + who + b',"outputs":['
        self.threshold = np.float32(signature.threshold)  # compared in the precision the graph answers in
        self._threshold = float(self.threshold)
        self._one_binary, _ = self.binary(np.zeros(1, np.float32), None, None, frozenset(OUTPUTS))
        self.one_binary_header_bytes = len(self._one_binary)
        self._one, self._named_binary = self._head + _PROBABILITY_ONE, self._one_binary[:-1] + b',"id":'

    def one(self, probability: np.float32, request_id: str | None) -> bytes:
        """The answer to one row, both outputs."""
        decision = _YES if float(probability) >= self._threshold else _NO
        number = str(probability).encode()
        if request_id is None:
            return b"%b%b%b]}]}" % (self._one, number, decision)
        return b'%b%b%b]}],"id":%b}' % (self._one, number, decision, _encode(request_id))

    def one_binary(self, probability: np.float32) -> bytes:
        """The answer to one row, both outputs as bytes behind the JSON."""
        return self._one_binary + _ONE(probability, float(probability) >= self._threshold)

    def one_binary_named(self, probability: np.float32, request_id: str) -> tuple[bytes, int]:
        """The same with the request's id; and how long its JSON is."""
        name = _encode(request_id)
        answer = _ONE(probability, float(probability) >= self._threshold)
        return b"%b%b}%b" % (self._named_binary, name, answer), len(self._named_binary) + len(name) + 1

    def many(self, probabilities: Matrix, request_id: str | None, outputs: Iterable[str] | None) -> bytes:
        """The answer to any number of rows, only the outputs asked for."""
        wanted = outputs or OUTPUTS
        shape = b"[%d]" % len(probabilities)
        parts = [self._tensor(name, probabilities, shape) for name in wanted]
        return self._head + b",".join(parts) + _tail(request_id)[2:]

    def binary(
        self,
        probabilities: Matrix,
        request_id: str | None,
        outputs: Iterable[str] | None,
        as_bytes: frozenset[str],
    ) -> tuple[bytes, bytes]:
        """The answer with the outputs of `as_bytes` behind its JSON: the JSON, the bytes."""
        wanted = tuple(outputs or OUTPUTS)
        shape = b"[%d]" % len(probabilities)
        parts = [
            _sized(name, probabilities) if name in as_bytes else self._tensor(name, probabilities, shape)
            for name in wanted
        ]
        raw = b"".join(self.raw(name, probabilities) for name in wanted if name in as_bytes)
        return self._head + b",".join(parts) + _tail(request_id)[2:], raw

    def raw(self, name: str, probabilities: Matrix) -> bytes:
        """One output's values, little-endian."""
        if name == "probability":
            return probabilities.astype("<f4", copy=False).tobytes()
        return (probabilities >= self.threshold).astype("<i8").tobytes()

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
_NO, _YES = _DECISION_ONE + b"0", _DECISION_ONE + b"1"
_ONE = Struct("<fq").pack
_DATATYPES = {"probability": (b"FP32", 4), "decision": (b"INT64", 8)}


def _sized(name: str, probabilities: Matrix) -> bytes:
    datatype, width = _DATATYPES[name]
    rows = len(probabilities)
    return b'{"name":"%b","datatype":"%b","shape":[%d],"parameters":{"binary_data_size":%d}}' % (
        name.encode(),
        datatype,
        rows,
        rows * width,
    )


def numbers(probabilities: Matrix) -> bytes:
    """Float32 values, comma between: `0.35`, not `0.3499999940395355`."""
    return ",".join(map(str, probabilities)).encode()


def v1_body(probabilities: Matrix) -> bytes:
    """V1's answer: one probability a row."""
    return b'{"predictions":[%b]}' % numbers(probabilities)


def _tail(request_id: str | None) -> bytes:
    return b"]}]}" if request_id is None else b']}],"id":%b}' % _encode(request_id)


def json_body(document: object) -> bytes:
    """Any other answer."""
    return _encode(document)
